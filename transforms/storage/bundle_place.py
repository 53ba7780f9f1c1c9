"""Puts a finished model bundle in the place of an earlier one, on this machine: at every moment
there is a complete bundle, the old or the new one."""

import ctypes
import os
from pathlib import Path

from ae_models.bundles.manifest import earlier_place
from ae_models.errors import OutputError
from transforms.storage import local

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux: fcntl.h, fs.h


def put_local_bundle(new: Path, output: Path) -> None:
    """Moves the folder `new` to `output`, on the same file system, once all of it is on the disk.

    An existing folder is atomically exchanged with `new` and then renamed to `earlier`. If the file
    system cannot exchange folders, the earlier folder is moved next to `output` while the new one
    is moved, and is moved back if that fails. If this process is interrupted in that instant,
    opening `output` reports it (`earlier_place`), and `settle` undoes it.

    Raises:
      OutputError: the folder cannot be moved; an existing one is still in place.
    """
    try:
        _flush(new)
        settle(output)
        if not os.path.lexists(output) or _is_empty(output):
            local.move([(str(new), str(output))])
            return
        if not _exchanged(new, output):
            _move_by_turns(new, output)
        local.flush_folders(map(str, (output.absolute().parent, new.absolute().parent)))
        os.rename(new, new.with_name("earlier"))
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error


def settle(output: Path) -> None:
    """Undoes what a process left behind that was interrupted while it put a bundle at `output`.

    Raises:
      OSError: it cannot be undone.
    """
    earlier = earlier_place(output)
    if not os.path.lexists(earlier):
        return
    if os.path.lexists(output):  # interrupted after the new bundle was moved
        local.remove(str(earlier))
    else:
        local.move([(str(earlier), str(output))])


def _exchanged(one: Path, other: Path) -> bool:
    """Exchanges the folders at two paths, and returns whether that worked. Python has no function
    for this."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # an old C library, or one of another system
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def _move_by_turns(new: Path, output: Path) -> None:
    earlier = earlier_place(output)
    os.rename(output, earlier)
    try:
        os.rename(new, output)
    except BaseException:
        os.rename(earlier, output)
        raise
    local.flush_folders([str(output.absolute().parent)])
    os.rename(earlier, new)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _flush(folder: Path) -> None:
    """Flushes everything in a folder to the disk, files before the folders that contain them."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        local.flush_folders([parent])
