"""One file as a command's output, here or on an object store."""

import os
import posixpath

from ae_models.errors import OutputError
from transforms.storage.changes import write_whole
from transforms.storage.paths import check_no_pattern, is_local
from transforms.storage.staging import output_errors


def check_file(path: str, ending: str, what: str) -> None:
    """Whether a file can be written there; one that is there already is replaced.

    Args:
      path: of the file.
      ending: that its name must have, such as `.png`.
      what: it is, for people.

    Raises:
      OutputError: the name has another ending, is a folder's, its folder is not there, or an object
        store would take it for a pattern.
    """
    if not path.lower().endswith(ending):
        raise OutputError(f"a {what}'s name must end in {ending}. Received: {path!r}")
    if not is_local(path):
        check_no_pattern(path)
        return
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise OutputError(f"cannot write {path}: there is no folder {folder}")


def write_file(path: str, content: bytes, mime_type: str) -> None:
    """Writes a file, which appears under its name at once: of two, one is always there.

    Raises:
      OutputError: it cannot be written.
    """
    folder = posixpath.dirname(path)
    with output_errors(folder or "."):
        write_whole(path, content, folder, mime_type)
