"""One file as a command's output, local or on an object store."""

import os
import posixpath

from ae_models.errors import OutputError
from transforms.storage.changes import write_whole
from transforms.storage.paths import check_no_pattern, is_local
from transforms.storage.staging import output_errors


def check_file(path: str, ending: str, what: str) -> None:
    """Checks that a file can be written there. An existing file will be replaced.

    Args:
      path: the file's path.
      ending: the required ending of its name, such as `.png`.
      what: what the file is, for messages.

    Raises:
      OutputError: the name has another ending, it is an existing folder, its folder does not exist,
        or an object store would interpret it as a pattern.
    """
    if not path.lower().endswith(ending):
        raise OutputError(f"a {what}'s name must end in {ending}. Received: {path!r}")
    if not is_local(path):
        check_no_pattern(path)
        return
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder: give the path of a file")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise OutputError(f"cannot write {path}: there is no folder {folder}; create it first")


def write_file(path: str, content: bytes, mime_type: str) -> None:
    """Writes a file atomically: its name always refers to the earlier file or to the new one.

    Raises:
      OutputError: it cannot be written.
    """
    folder = posixpath.dirname(path)
    with output_errors(folder or "."):
        write_whole(path, content, folder, mime_type)
