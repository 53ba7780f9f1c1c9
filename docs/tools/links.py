"""A hook of MkDocs: a link that leaves docs/ becomes the name of the file that it leads to.

On a code host such links work. The site consists of docs/ alone, and there is no public repository
that they could lead to instead.
"""

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

# After links are made of Markdown (20), before MkDocs checks where they lead (0).
_PRIORITY = 5


class _NamedFiles(Treeprocessor):
    """Changes links of the page that was announced last."""

    docs = Path("docs")
    page = ""

    def run(self, root: ET.Element) -> None:
        for link in root.iter("a"):
            name = self._outside(link.get("href", ""))
            if name is None:
                continue
            link.tag = "span"
            link.attrib.clear()
            if name not in "".join(link.itertext()):
                last = list(link)[-1:]
                if last:
                    last[0].tail = f"{last[0].tail or ''} ("
                else:
                    link.text = f"{link.text or ''} ("
                code = ET.SubElement(link, "code")
                code.text = AtomicString(name)
                code.tail = ")"

    def _outside(self, target: str) -> str | None:
        """The path, in the project, of a file outside docs/; None for every other target."""
        url = urlsplit(target)
        if url.scheme or url.netloc or not url.path:
            return None
        folder = posixpath.dirname(f"{self.docs.name}/{self.page}")
        path = posixpath.normpath(f"{folder}/{unquote(url.path)}")
        inside = path.startswith((f"{self.docs.name}/", ".."))
        return None if inside or not (self.docs.parent / path).exists() else path


class _NamedFilesExtension(Extension):
    """For each page MkDocs makes a `Markdown` that has it."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.treeprocessors.register(_LINKS, "named_files", _PRIORITY)


_LINKS = _NamedFiles()


def on_config(config: Any) -> Any:
    """Adds the change of links to how pages are rendered."""
    _LINKS.docs = Path(config.docs_dir)
    config.markdown_extensions.append(_NamedFilesExtension())
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Notes which page is rendered next; its text stays as it is."""
    _LINKS.page = page.file.src_uri
    return markdown
