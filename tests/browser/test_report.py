"""The report in headless Chromium, as people see it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.browser import Browser, open_browser
from benchmarks.report_page import seconds_to_open
from pipelines.report.command import report
from tests.support.anomalous import Anomalous
from tests.support.report_rows import HOSTILE, clusters_of_run, hostile_run

pytestmark = pytest.mark.browser

# What Bokeh draws lies in shadow trees.
_FIND = """
const find = (selector, root = document) => [...root.querySelectorAll("*")].flatMap((e) =>
    [...(e.matches(selector) ? [e] : []), ...(e.shadowRoot ? find(selector, e.shadowRoot) : [])])
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def digits_page(
    bundle: Callable[[str], Path],
    digits_run: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder, run = tmp_path_factory.mktemp("report"), digits_run("vae")
    ids = pq.read_table(run / "scores")["id"].to_pylist()
    clusters = clusters_of_run(folder / "clusters", ids, 10)
    page = folder / "report.html"
    report(str(run), str(bundle("vae")), str(page), clusters=clusters)
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_works(browser: Browser, digits_page: Path, width: int) -> None:
    print(f"\n{width} pixels: drawn in {seconds_to_open(browser, digits_page, width):.2f} s")
    widest = browser.run("return document.documentElement.scrollWidth")
    assert widest == width
    labels = browser.run(f"{_FIND} return find('.bk-btn').map((e) => e.textContent)")
    assert labels == ["score", "cluster", "label"]
    for place, label in enumerate(labels):
        browser.run(f"{_FIND} find('.bk-btn')[arguments[0]].click()", place)
        shown = browser.run("return [...document.querySelectorAll('.key:not([hidden])')]"
                            ".map((e) => e.id)")  # fmt: skip
        assert shown == ([] if label == "score" else [f"key-{label}"])
    tip = _hovered(browser)
    assert tip["text"][:7] == "digits/"
    for name in ("score", "p-value", "cluster", "label"):
        assert f"{name} " in tip["text"]
    assert tip["src"].startswith("data:image/webp")
    assert tip["width"] == 8  # the picture was decoded
    assert browser.errors() == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", ["whole", "tiles"])
@pytest.mark.parametrize("order", ["score", "region"])
def test_cards_with_overlays_fit_and_can_be_seen(
    browser: Browser,
    anomalous: Callable[[str], Anomalous],
    tmp_path: Path,
    kind: str,
    order: Any,
    width: int,
) -> None:
    found, page = anomalous(kind), tmp_path / "report.html"
    report(str(found.run), str(found.model), str(page), order=order)
    seconds_to_open(browser, page, width)
    assert browser.run("return document.documentElement.scrollWidth") == width
    pictures = browser.run(
        "return [...document.querySelectorAll('.card img')].map((e) => {"
        "const box = e.getBoundingClientRect(), card = e.closest('.card').getBoundingClientRect();"
        "return {alt: e.alt, complete: e.complete, longest: Math.max(e.naturalWidth,"
        "e.naturalHeight), shown: [box.width, box.height], shape: e.naturalWidth / e.naturalHeight,"
        "fits: box.left >= card.left && box.right <= card.right}})"
    )
    cards = browser.run("return document.querySelectorAll('.card').length")
    assert len(pictures) == cards * (3 if kind == "whole" else 2) > 0
    assert sum(own["alt"].startswith("map and regions of ") for own in pictures) == cards
    for own in pictures:
        assert own["complete"]
        assert own["longest"] >= 200  # it was decoded
        assert min(own["shown"]) >= 60
        assert own["fits"]
    assert browser.errors() == []


def test_strangers_texts_are_text(
    browser: Browser, bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    run = hostile_run(tmp_path / "run", bundle("vae"))
    ids = pq.read_table(Path(run) / "scores")["id"].to_pylist()
    page = tmp_path / "report.html"
    report(
        run, str(bundle("vae")), str(page), clusters=clusters_of_run(tmp_path / "clusters", ids, 3)
    )
    seconds_to_open(browser, page)
    for place in range(3):
        browser.run(f"{_FIND} find('.bk-btn')[arguments[0]].click()", place)
    text = HOSTILE[0] + HOSTILE[2]  # a dialog of `alert` would be an error here
    assert text in _hovered(browser, text)["text"]
    assert browser.run("return document.scripts.length") == 2
    assert browser.run(f"{_FIND} return find('img[src=x], [onerror], [onmouseover]').length") == 0
    assert browser.errors() == []


def test_the_policy_would_stop_what_slips_through(
    browser: Browser, digits_page: Path, tmp_path: Path
) -> None:
    text = digits_page.read_text(encoding="utf-8")
    slipped = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    page = tmp_path / "slipped.html"
    page.write_text(text.replace("<main>", f"<main>{slipped}"), encoding="utf-8")
    seconds_to_open(browser, page)
    assert browser.run("return window.ran === undefined")
    assert any("Content Security Policy" in error for error in browser.errors())


def _hovered(browser: Browser, text: str = "") -> dict[str, Any]:
    """The tooltip, with such a text, of a point of the map, the pointer moved there as a hand
    would."""
    browser.run("document.getElementById('map').scrollIntoView()")
    # Below the map there are the curves of training alone.
    left, top, width, height = browser.run(
        f"{_FIND} const box = find('.bk-Canvas').at(-2).getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height]"
    )
    for step in range(600):
        across, down = 0.2 + 0.02 * (step % 30), 0.3 + 0.025 * (step // 30)
        browser.move_to(left + across * width, top + down * height)
        time.sleep(0.02)
        found = browser.run(
            f"{_FIND} const image = find('img.thumbnail')[0];"
            "return image == null ? null : {text: image.parentElement.innerText.trim(),"
            "src: image.src, width: image.naturalWidth}"
        )
        if found is not None and text in found["text"]:
            return dict(found)
    raise AssertionError(f"no point of the map has a tooltip with {text!r}")
