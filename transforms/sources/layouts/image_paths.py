"""Image files that the records of another file name: untrusted, so none outside of the input."""

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
    """What is in the file that a record's path names.

    Args:
      text: the path, as the record has it.
      find: gives the file of a path, as `path_within` does.
      most: of bytes, that a file may have.
      within: the real path of the folder that the file must lie in, as `read_whole` has it.

    Raises:
      RecordError: there is no such file, or it is empty, too large or not to be read.
    """
    try:
        content = read_whole(find(text), most, within)
    except TooLargeError as error:
        raise RecordError(Reason.TOO_LARGE, f"{printable(text)}: {error}") from error
    except (OSError, ValueError) as error:  # the second is of a name that can be none
        raise RecordError(Reason.UNREADABLE, f"{printable(text)}: {error}") from error
    if not content:
        raise RecordError(Reason.EMPTY, f"{printable(text)}: zero bytes")
    return content


def path_within(text: str, folder: str, root: str, follow_links: bool) -> str:
    """The file that a record's path names, relative to `folder`, or whole: `file:/data/a.png`.

    Raises:
      RecordError: it leads out of `root`.
      ValueError: it is no path.
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
        Reason.UNREADABLE, f"{printable(text)[:200]!r} leads out of the input's folder, {where}"
    )
