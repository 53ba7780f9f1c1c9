"""Text beside images: from records, which may contain anything, and no wider than its place."""

import bisect
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from pipelines.console.escape import shown

TITLE_POINTS, LABEL_POINTS, HEADING_POINTS = 8, 9, 11
_POINTS_PER_INCH = 72
_AVERAGE, _NARROWEST = 0.5, 0.2  # a character's width divided by its height
_DRAWN_WIDER = 1.03  # width as drawn in pixels, divided by the measured one


def width_of(text: str, points: float) -> float:
    """The width of a line, in inches."""
    with missing_glyphs():
        measured, _, _ = text_to_path.get_text_width_height_descent(
            text, FontProperties(size=points), ismath=False
        )
    return _DRAWN_WIDER * measured / _POINTS_PER_INCH


@contextmanager
def missing_glyphs() -> Iterator[None]:
    """Suppresses warnings about scripts that matplotlib's font lacks: boxes are drawn instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def shortened(text: str, room: float, points: float, lines: int = 2) -> str:
    """The first lines of a text, each reduced to as much of its end as fits into `room` inches:
    ids differ more often at their end than at their beginning."""
    return "\n".join(_ending(shown(line), room, points) for line in text.split("\n")[:lines])


def _ending(line: str, room: float, points: float) -> str:
    most = int(room * _POINTS_PER_INCH / (points * _NARROWEST))
    if len(line) <= most and width_of(line, points) <= room:
        return line
    lengths = range(1, min(most, len(line)))
    fitting = bisect.bisect_right(lengths, room, key=lambda n: width_of(f"…{line[-n:]}", points))
    return f"…{line[len(line) - fitting :]}"


def wrapped(text: str, room: float, points: float, lines: int) -> str:
    """A text broken into at most `lines` lines that fit into `room` inches."""
    most = max(8, int(room * _POINTS_PER_INCH / (points * _AVERAGE)))
    while True:
        broken = textwrap.wrap(shown(text), most, max_lines=lines, placeholder="…")
        if most <= 8 or all(width_of(line, points) <= room for line in broken):
            return "\n".join(broken)
        most = most * 9 // 10


def signed(number: float) -> str:
    """A number with its sign and three digits."""
    return f"{number:+.3g}".replace("-", "−")
