"""The site that `make docs` builds: without a network, and read without one."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.pages import DOCS
from tests.support.project import PROJECT

pytestmark = pytest.mark.slow

_ASSETS = {"script": "src", "img": "src", "source": "srcset", "iframe": "src", "link": "href"}
_REMOTE = re.compile(r"(?:https?:)?//")
_NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


class _Assets(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and name == _ASSETS.get(tag)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _NOWHERE)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "1", "no_proxy": ""}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_can_be_searched(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    pages = pages - {"README"} | {"index"}
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert built == pages | {"404"}
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert [page for page in pages - {"index"} if f'"{page}.html' not in index] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        parser = _Assets()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.found
        for target in parser.found:
            assert not _REMOTE.match(target), f"{page.name}: {target}"
            if page.name != "404.html":  # which a server shows at any depth
                assert (page.parent / target.partition("#")[0].partition("?")[0]).exists()
    for style in site.rglob("*.css"):
        loaded = re.findall(r"(?:url\(|@import\s+)[\"']?([^\"')\s]+)", style.read_text("utf-8"))
        assert [target for target in loaded if _REMOTE.match(target)] == []


def test_public_names_have_their_docstrings(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in ("transforms.ReadImages", "ae_models.open_bundle"):
        assert f'id="{name}"' in page
    assert ":::" not in re.sub(r"<code>.*?</code>", "", page)


def test_links_that_leave_docs_name_files(site: Path) -> None:
    page = (site / "explanation" / "limits.html").read_text(encoding="utf-8")
    assert "(<code>deploy/README.md</code>)" in page
