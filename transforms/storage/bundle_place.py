"""A finished bundle put in an earlier one's place, on this machine: at every moment a whole bundle
stands there, the old or the new."""

import ctypes
import os
from pathlib import Path

from ae_models.bundles.manifest import earlier_place
from ae_models.errors import OutputError
from transforms.storage import local

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux: fcntl.h, fs.h


def put_local_bundle(new: Path, output: Path) -> None:
    """Moves the folder `new` to `output`, on the same file system, once all of it is on the disk.

    What stood there is given the place of `new`, the two being exchanged at once, and there called
    `earlier`. Where the file system cannot exchange them, the earlier folder waits beside `output`
    while the new one is moved, and is moved back if that fails. If this process dies in that
    instant, whoever opens `output` is told of it (`earlier_place`), and `settle` undoes it.

    Raises:
      OutputError: it cannot be moved; what stood there does still.
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
    """Undoes what a process that died while it put a bundle at `output` has left there.

    Raises:
      OSError: it cannot be undone.
    """
    earlier = earlier_place(output)
    if not os.path.lexists(earlier):
        return
    if os.path.lexists(output):  # it died after the new one had been moved
        local.remove(str(earlier))
    else:
        local.move([(str(earlier), str(output))])


def _exchanged(one: Path, other: Path) -> bool:
    """Whether the system has given two paths each other's folder. Python has no call for it."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # another system's, or an old, C library
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
    """Has all that is in a folder written to the disk, files before the folders that name them."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        local.flush_folders([parent])
