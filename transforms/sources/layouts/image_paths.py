"""Image files named by the records of another file: untrusted, so none outside the input."""

import os
import posixpath
import urllib.parse
from collections.abc import Callable

from transforms.records.rejects import Reason, RecordError
from transforms.records.text import printable
from transforms.storage.files import TooLargeError, read_whole
from transforms.storage.paths import is_local, scheme

_FILE_SCHEME = "file:"


def read_image_file(text: str, find: Callable[[str], str], most: int, within: str | None) -> bytes:
    """The content of the file that a record's path names.

    Args:
      text: the path, as given in the record.
      find: returns the file of a path, as `path_within` does.
      most: maximum size of a file, in bytes.
      within: the real path of the folder that the file must be in, as for `read_whole`.

    Raises:
      RecordError: there is no such file, or it is empty, too large or unreadable.
    """
    try:
        content = read_whole(find(text), most, within)
    except TooLargeError as error:
        raise RecordError(Reason.TOO_LARGE, f"{printable(text)}: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: not a valid name
        raise RecordError(Reason.UNREADABLE, f"{printable(text)}: {error}") from error
    if not content:
        raise RecordError(Reason.EMPTY, f"{printable(text)}: the file has zero bytes")
    return content


def path_within(text: str, folder: str, root: str, follow_links: bool) -> str:
    """The file that a record's path names, relative to `folder` or absolute: `file:/data/a.png`.

    Raises:
      RecordError: the path leads out of `root`.
      ValueError: it is not a path.
    """
    path = text
    if text.startswith(_FILE_SCHEME):
        path = urllib.parse.unquote(urllib.parse.urlsplit(text).path)
    if "\0" in path or not path or (scheme(path) and scheme(path) != scheme(root)):
        raise _outside(text, root)
    if is_local(root):
        return _local_within(path, text, folder, root, follow_links)
    inner = path.removeprefix(f"{root}/")
    if inner == path:
        inner = posixpath.join(folder.removeprefix(root).lstrip("/"), path)
    inner = posixpath.normpath(inner)
    if inner.startswith(("/", "..")):
        raise _outside(text, root)
    return f"{root}/{inner}"


def _local_within(path: str, text: str, folder: str, root: str, follow_links: bool) -> str:
    path = os.path.abspath(os.path.join(folder, path))
    pairs = [(path, os.path.abspath(root or "."))]
    if not follow_links:
        path = os.path.realpath(path)
        pairs.append((path, os.path.realpath(root or ".")))
    for inner, outer in pairs:
        if os.path.commonpath([inner, outer]) != outer:
            raise _outside(text, root)
    return path


def _outside(text: str, root: str) -> RecordError:
    where = root or "the current folder"
    return RecordError(
        Reason.UNREADABLE, f"{printable(text)[:200]!r} is outside the input's folder, {where}"
    )
