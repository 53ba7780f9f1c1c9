"""Writing, moving and deleting files, locally and on object stores."""

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from transforms.storage import local, remote
from transforms.storage.files import files_below
from transforms.storage.paths import is_local


def create(
    path: str, mime_type: str = "application/octet-stream", lasting: bool = True
) -> BinaryIO:
    """Opens a file for writing bytes; for a local file, missing parent folders are created.

    Args:
      path: the path of the file.
      mime_type: the MIME type of its content, for object stores.
      lasting: whether a local file must survive a power failure.

    Raises:
      OSError, or what an object store's client raises: it cannot be opened or, later, written.
    """
    return local.create(path, lasting) if is_local(path) else remote.create_object(path, mime_type)


def write_text(path: str, text: str) -> None:
    """Writes a file and its parent folders. Raises what the file system raises."""
    with create(path, "text/plain") as file:
        file.write(text.encode())


def write_whole(
    path: str, content: bytes, folder: str, mime_type: str = "application/octet-stream"
) -> None:
    """Writes a file that appears under its name atomically, by way of `folder`, on the same file
    system; objects of a store always do. Raises what the file system raises."""
    write_all({path: content}, folder, mime_type)


def write_all(
    files: Mapping[str, bytes], folder: str, mime_type: str = "application/octet-stream"
) -> None:
    """Writes files by path, as `write_whole` does, but flushes local folders once for all files.
    Raises what the file system raises; some files may then have been written."""
    if not all(map(is_local, files)):
        remote.write_all(files, mime_type)
        return
    parts = {os.path.join(folder, f".part-{uuid.uuid4().hex}"): path for path in files}
    try:
        for part, content in zip(parts, files.values(), strict=True):
            with local.create(part, flush_name=False) as file:
                file.write(content)
        local.move(list(parts.items()))
    except BaseException:
        for part in parts:
            local.remove(part)
        raise


def make_folder(path: str) -> None:
    """Creates a folder if it does not exist. Raises what the file system raises."""
    (local if is_local(path) else remote).make_folder(path)


def move(pairs: Sequence[tuple[str, str]]) -> None:
    """Moves files to new paths.

    If this raises, some files may have been moved, and some files of an object store may be in both
    places; moving those that are still at their old paths completes the operation.

    Args:
      pairs: pairs of old and new paths, all on one file system.

    Raises:
      OSError, or what an object store's client raises: some files could not be moved.
    """
    if pairs and is_local(pairs[0][0]):
        local.move(pairs)
    else:
        remote.rename(pairs)


def remove_files(paths: Sequence[str]) -> None:
    """Deletes existing files, those of an object store in one operation. Raises what the file
    system raises."""
    if paths and is_local(paths[0]):
        for path in paths:
            local.remove(path)
    else:
        remote.delete(paths)


def remove(path: str) -> None:
    """Deletes a file, or a folder with its content, if it exists. Raises what the file system
    raises."""
    if is_local(path):
        local.remove(path)
        return
    if remote.object_exists(path):
        remote.delete([path])
    # Without real folders, files can exist below a path even if nothing exists at it.
    remote.delete(files_below(path))
