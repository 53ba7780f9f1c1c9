"""Text beside images: of records, which may carry anything, and no wider than its place."""

import textwrap

from pipelines.terminal import shown

TITLE_POINTS, LABEL_POINTS, HEADING_POINTS = 8, 9, 11
_WIDTH_OF_HEIGHT = 0.56  # of a character, on average
_POINTS_PER_INCH = 72


def inches(characters: int, points: float) -> float:
    """About how wide a line of so many characters of a size is."""
    return characters * points * _WIDTH_OF_HEIGHT / _POINTS_PER_INCH


def characters(width: float, points: float) -> int:
    """About how many characters of a size fit into a width, in inches."""
    return max(4, int(width * _POINTS_PER_INCH / (points * _WIDTH_OF_HEIGHT)))


def shortened(text: str, most: int, lines: int = 2) -> str:
    """The first lines of a text, each by its end: ids differ there more often than where they
    begin."""
    kept = [shown(line) for line in text.split("\n")[:lines]]
    return "\n".join(
        line if len(line) <= most else f"…{line[len(line) - most + 1 :]}" for line in kept
    )


def signed(number: float) -> str:
    """A number with its sign, three digits."""
    return f"{number:+.3g}".replace("-", "−")


def wrapped(text: str, most: int, lines: int) -> str:
    """A text broken into at most `lines` lines of at most `most` characters."""
    return "\n".join(textwrap.wrap(shown(text), most, max_lines=lines, placeholder="…"))
