"""Text of records and paths, which Arrow holds as valid Unicode."""

import os
from collections.abc import Mapping
from typing import Any


def printable(path: str) -> str:
    """A path as valid Unicode: bytes of a name that are no UTF-8 are written as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace") if not path.isascii() else path


def printable_facts(value: Any) -> Any:
    """What is to be written as JSON, its texts as valid Unicode: other readers of JSON refuse
    halves of surrogate pairs, which is what Python makes of the bytes of a name."""
    if isinstance(value, str):
        try:
            return printable(value)
        except UnicodeEncodeError:  # halves that are no name's bytes
            return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {printable_facts(name): printable_facts(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [printable_facts(found) for found in value]
    return value
