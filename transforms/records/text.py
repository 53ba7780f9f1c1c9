"""Text of records and paths as valid Unicode, which Arrow requires."""

import os
from collections.abc import Mapping
from typing import Any


def printable(path: str) -> str:
    """A path as valid Unicode: bytes of a name that are not UTF-8 are written as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace") if not path.isascii() else path


def printable_facts(value: Any) -> Any:
    """A value to write as JSON, with all texts as valid Unicode: other JSON readers reject halves
    of surrogate pairs, with which Python represents bytes of a name that are not UTF-8."""
    if isinstance(value, str):
        try:
            return printable(value)
        except UnicodeEncodeError:  # halves that do not represent bytes of a name
            return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {printable_facts(name): printable_facts(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [printable_facts(found) for found in value]
    return value
