"""Values that repeat, as numbers and as colours that the colour-blind can distinguish."""

import collections
import dataclasses
from collections.abc import Collection, Sequence
from typing import ClassVar

import numpy as np
from bokeh.palettes import Colorblind, TolRainbow

from pipelines.console.escape import shown

_OTHER_COLOUR = "#a6a6a6"
_LONGEST = 40


def shortened(text: str, longest: int = _LONGEST) -> str:
    """One line of at most `longest` characters, the last ones of `text`: paths differ there."""
    line = shown(text)
    return line if len(line) <= longest else f"…{line[len(line) - longest + 1 :]}"


@dataclasses.dataclass(frozen=True)
class Categories:
    """The values of N records.

    Attributes:
      names: the distinct values, most frequent first; those in grey last.
      codes: (N,) int16, indices of the names.
      colours: one for each name.
    """

    MOST_COLOURS: ClassVar[int] = 14
    _MOST_NAMES: ClassVar[int] = 1000

    names: list[str]
    codes: np.ndarray
    colours: list[str]

    @classmethod
    def of(cls, values: Sequence[str], grey: Collection[str] = ()) -> "Categories":
        """The 14 most frequent values have distinct colours. The others, and those in `grey`,
        share one colour; from the thousandth on, they also share one name."""
        frequent = [value for value, _ in collections.Counter(values).most_common()]
        coloured = _in_order([v for v in frequent if v not in grey][: cls.MOST_COLOURS])
        taken = set(coloured)
        rest = [value for value in frequent if value not in taken]
        places = {value: place for place, value in enumerate([*coloured, *rest])}
        last = min(len(places), cls._MOST_NAMES) - 1
        names = [shortened(value) for value in [*coloured, *rest][: last + 1]]
        if len(places) > len(names):
            names[last] = "other"
        codes = np.array([min(places[value], last) for value in values], np.int16)
        colours = [*_palette(len(coloured)), *[_OTHER_COLOUR] * (len(names) - len(coloured))]
        return cls(names, codes, colours)

    @property
    def key(self) -> list[tuple[str, str]]:
        """Names and colours for people; many grey values appear only as a number of others."""
        pairs = list(zip(self.names, self.colours, strict=True))
        grey = [pair for pair in pairs if pair[1] == _OTHER_COLOUR]
        if len(grey) > 2:
            grey = [(f"{len(grey)} others", _OTHER_COLOUR)]
        return [pair for pair in pairs if pair[1] != _OTHER_COLOUR] + grey


def _in_order(values: Sequence[str]) -> list[str]:
    """Values in natural order: numbers first, by size, compared digit by digit at any length."""

    def place(value: str) -> tuple[int, int, str, str]:
        if not (value.isascii() and value.isdecimal()):
            return 1, 0, value, value
        digits = value.lstrip("0")
        return 0, len(digits), digits, value

    return sorted(values, key=place)


def _palette(count: int) -> list[str]:
    """Okabe and Ito's colours; for more than eight, Tol's rainbow."""
    if count <= 8:
        return list(Colorblind[max(3, count)][:count])
    return list(TolRainbow[count])
