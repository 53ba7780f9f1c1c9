"""Links between pages, as code hosts follow them, and the site's navigation."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.support.pages import DOCS, pages, prose
from tests.support.project import PROJECT

_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINKS = (
    re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)"),
    re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE),
    re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"\s]+)", re.IGNORECASE),
)
_PLACED = re.compile(r"<\w+\b[^>]*?\b(?:id|name)=\"([^\"]+)\"", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ITEM = re.compile(r"(?:[-*+]|[0-9]+\.) ")


def anchors(path: Path) -> set[str]:
    """The places of a page that a link can lead to."""
    text = prose(path)
    found, seen = set(_PLACED.findall(text)), Counter[str]()
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def dead_links(path: Path) -> Iterator[str]:
    """What is wrong with the links of a page."""
    text = _CODE.sub(lambda code: "`" * len(code[0]), prose(path))
    for target in (found for pattern in _LINKS for found in pattern.findall(text)):
        if _ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (path.parent / name).resolve() if name else path
        if name.startswith("/") or not file.exists():
            yield f"{path.name}: there is no {target}"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{path.name}: there is no #{anchor} in {file.name}"


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_no_link_is_dead(path: Path) -> None:
    assert list(dead_links(path)) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](other.md) [b](other.md#a-title-and-code) [c](#here) <a href=\"folder\"></a>", 0),
        ("`[a](none.md)`\n\n```sh\n[b](none.md)\n```\n\n    [c](none.md)\n", 0),
        ("[a](https://example.org/none.md) <mailto:a@b.c>", 0),
        ("[a](none.md)", 1),
        ("[`a`](other.md#none)\n\n![b](none.png)\n\n<img src=\"none.png\">", 3),
        ("[a]: none.md\n[b](/other.md)", 2),
        ("[text with [brackets]](none.md)", 1),
        ("[a](other.md#twice-1)", 0),
        ("[a](other.md#twice-2)", 1),
    ],
)  # fmt: skip
def test_a_dead_link_is_found(tmp_path: Path, text: str, wrong: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.md").write_text("# A title, and `code`\n\n## Twice\n\n## Twice\n")
    (tmp_path / "page.md").write_text(f"## Here\n\n{text}\n")
    assert len(list(dead_links(tmp_path / "page.md"))) == wrong


class _Loader(yaml.SafeLoader):
    """Reads what is plain in mkdocs.yml: names of Python objects are none."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def _targets(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [
        page for part in (nav.values() if isinstance(nav, dict) else nav) for page in _targets(part)
    ]


def test_every_page_is_in_the_navigation_and_the_index() -> None:
    nav = yaml.load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)["nav"]
    there = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(_targets(nav)) == there
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page for page in there if page != "README.md" and f"]({page})" not in index] == []


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_lists_begin_after_an_empty_line(path: Path) -> None:
    """Code hosts do without; MkDocs would run their items into the paragraph before."""
    lines = prose(path).splitlines()
    found = []
    for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False), 1):
        in_list = before.startswith(" ") or _ITEM.match(before.lstrip())
        if _ITEM.match(line) and before.strip() and not in_list:
            found.append(f"{path.name}:{number}: {line}")
    assert found == []
