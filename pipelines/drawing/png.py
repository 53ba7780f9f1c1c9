"""A figure as a PNG file."""

import io

from matplotlib.figure import Figure

from pipelines.console.output_file import check_file, write_file
from pipelines.drawing.text import missing_glyphs

DOTS_PER_INCH = 120


def check_picture(path: str) -> None:
    """Raises OutputError if no picture can be written there (`check_file`)."""
    check_file(path, ".png", "picture")


def write_png(figure: Figure, path: str) -> None:
    """Writes a figure; the same figure gives the same bytes.

    Raises:
      OutputError: the file cannot be written.
    """
    content = io.BytesIO()
    with missing_glyphs():
        figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    write_file(path, content.getvalue(), "image/png")
