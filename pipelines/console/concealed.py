"""Texts that must not appear on the console: the values of flags that can be secrets.

Messages of other packages quote what they were given, such as an address with its password.
"""

from collections.abc import Mapping

_SHORTEST = 6  # shorter texts protect nothing, and are parts of other words
_names: dict[str, str] = {}


def conceal(values: Mapping[str, str]) -> None:
    """Makes `concealed` replace these texts, and no others, from now on.

    Args:
      values: each text with the name of its flag.
    """
    _names.clear()
    _names.update({text: name for text, name in values.items() if len(text) >= _SHORTEST})


def concealed(line: str) -> str:
    """The line with each concealed text replaced by the name of its flag."""
    for text in sorted(_names, key=len, reverse=True):
        line = line.replace(text, f"(--{_names[text]})")
    return line
