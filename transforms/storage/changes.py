"""Writing, moving and removing files: by the system's own calls where they are local, which know no
patterns, else by Beam's file systems, which are given many files at once."""

import os
import shutil
from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems

from transforms.storage.files import files_below, is_local

_MOVED_AT_ONCE = 100


def write_text(path: str, text: str) -> None:
    """Writes a file, and the folders that it lies in. Raises what the file system raises."""
    with FileSystems.create(path, mime_type="text/plain") as file:
        file.write(text.encode())


def make_folder(path: str) -> None:
    """Makes a folder where none is. Raises what the file system raises."""
    if is_local(path):
        os.makedirs(path, exist_ok=True)
    elif not FileSystems.exists(path):
        FileSystems.mkdirs(path)


def move(pairs: Sequence[tuple[str, str]]) -> None:
    """Gives files their new paths, in requests of at most 100 files.

    Where this raises, some files have moved, and of an object store's some are in both places:
    whoever moves those again that are still in their old ones has moved all.

    Args:
      pairs: of old and new paths, all on one file system.

    Raises:
      OSError, or what an object store's client raises: some files could not be moved.
    """
    if pairs and is_local(pairs[0][0]):
        for old, new in pairs:
            os.replace(old, new)
        return
    for start in range(0, len(pairs), _MOVED_AT_ONCE):
        some = pairs[start : start + _MOVED_AT_ONCE]
        FileSystems.rename([old for old, _ in some], [new for _, new in some])


def remove(path: str) -> None:
    """Deletes a file, or a folder with all that is in it; nothing if neither is there. Raises what
    the file system raises."""
    if is_local(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)
        return
    if FileSystems.exists(path):
        FileSystems.delete([path])
    # Where there are no folders, files outlive what they are thought to lie in.
    if below := files_below(path):
        FileSystems.delete(below)
