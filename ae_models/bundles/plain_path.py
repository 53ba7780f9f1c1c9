"""Paths in a form that TensorFlow accepts."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PATTERN = re.compile(r"[*?\[\]\\]")


@contextlib.contextmanager
def plain_path(folder: str | Path) -> Iterator[Path]:
    """The folder under a name that TensorFlow does not misread: it searches for a model's variables
    by a pattern, and assumes that paths are UTF-8. Other names are replaced with a link, which
    exists within the context.

    Raises:
      OSError: there is no space for the link.
    """
    path = os.path.abspath(folder)
    if not _PATTERN.search(path) and _is_utf8(path):
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="latentbeam-") as place:
        link = Path(place, "folder")
        link.symlink_to(path)
        yield link


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
