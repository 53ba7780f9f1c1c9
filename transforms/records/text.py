"""Text of records and paths, which Arrow holds as valid Unicode."""

import os


def printable(path: str) -> str:
    """A path as valid Unicode: bytes of a name that are no UTF-8 are written as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace") if not path.isascii() else path
