"""The documentation's site in headless Chromium, opened as files."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.browser import Browser, open_browser
from tests.support.project import PROJECT

pytestmark = pytest.mark.browser

_SEARCH = """
document.querySelector("#__search").click()
const field = document.querySelector("input.md-search__input")
field.focus()
field.value = arguments[0]
field.dispatchEvent(new KeyboardEvent("keyup", {key: "n"}))
"""
_FOUND = "return [...document.querySelectorAll('.md-search-result__item a')].map((e) => e.href)"
_SECONDS = 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=PROJECT, check=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit(browser: Browser, site: Path, width: int) -> None:
    for page in sorted(site.rglob("*.html")):
        browser.open(page, width)
        assert browser.run("return document.documentElement.scrollWidth") == width, page.name
        if page.name != "404.html":  # whose paths are those of a server
            assert browser.errors() == [], page.name
        browser.errors()


def test_search_works_from_files(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html", 1280)
    browser.run(_SEARCH, "conformal")
    end, found = time.monotonic() + _SECONDS, []
    while not found and time.monotonic() < end:
        time.sleep(0.2)
        found = browser.run(_FOUND)
    assert any("reference/scores.html" in target for target in found)
    assert browser.errors() == []
