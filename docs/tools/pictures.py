"""The pictures in README and the pages, from what the demo wrote: `make pictures` remakes them.

Example: python -m docs.tools.pictures latentbeam-demo
"""

import io
import shutil
import tempfile
from pathlib import Path

import click
from PIL import Image

from benchmarks.browser import open_browser
from benchmarks.report_page import seconds_to_open
from docs.tools.reference import PROJECT

IMAGES = PROJECT / "docs" / "images"
_WIDTH, _HEIGHT = 1280, 1330  # the report's window, in pixels
_SHOWN_WIDTH, _QUALITY = 960, 80


@click.command()
@click.argument("demo", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(demo: Path) -> None:
    """Writes docs/images/parts.jpg and report.jpg from the folder that `latentbeam demo` wrote."""
    IMAGES.mkdir(exist_ok=True)
    shutil.copyfile(demo / "picture.jpg", IMAGES / "parts.jpg")
    (IMAGES / "report.jpg").write_bytes(_photographed(demo / "report.html"))


def _photographed(page: Path) -> bytes:
    """The beginning of a report as Chromium shows it, as a JPEG."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        shot = Path(folder) / "report.png"
        seconds_to_open(browser, page, _WIDTH, _HEIGHT)
        browser.screenshot(shot, whole=False)
        with Image.open(shot) as image:
            size = (_SHOWN_WIDTH, round(image.height * _SHOWN_WIDTH / image.width))
            small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


if __name__ == "__main__":
    main()
