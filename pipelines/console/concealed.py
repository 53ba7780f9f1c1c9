"""Texts that no line on the console may hold: the values of flags that can be secrets.

What others raise or log quotes what they were given: an address with its password, for one.
"""

from collections.abc import Mapping

_SHORTEST = 6  # what is shorter guards nothing, and stands in other words
_names: dict[str, str] = {}


def conceal(values: Mapping[str, str]) -> None:
    """From now on `concealed` leaves these texts out, and no others.

    Args:
      values: each text with the name of its flag.
    """
    _names.clear()
    _names.update({text: name for text, name in values.items() if len(text) >= _SHORTEST})


def concealed(line: str) -> str:
    """The line with the name of its flag in place of each concealed text."""
    for text in sorted(_names, key=len, reverse=True):
        line = line.replace(text, f"(--{_names[text]})")
    return line
