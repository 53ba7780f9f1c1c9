"""Model bundles on remote paths (for example gs://): local copies for reading, and uploads."""

import contextlib
import fcntl
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.manifest import parse_manifest
from ae_models.bundles.names import MANIFEST
from ae_models.errors import BundleError, OutputError
from transforms.storage.changes import create, remove, remove_files
from transforms.storage.files import exists, files_below, open_binary, present
from transforms.storage.paths import check_no_pattern, check_one, is_local
from transforms.storage.remote import client_errors


def local_bundle(path: str) -> str:
    """Returns the folder from which to open a bundle: a local path unchanged, or a remote path's
    local copy.

    Copies are named by their fingerprints and stored in `$XDG_CACHE_HOME/latentbeam/bundles`, or
    in `~/.cache`, or in a per-user temporary folder. An existing copy is checked, and fetched again
    if it is damaged. When several threads and processes of one machine request the same bundle, one
    fetches it and the others wait.

    Raises:
      BundleError: there is no bundle, it was changed, or it cannot be copied.
    """
    if is_local(path):
        return path
    check_one(path)
    data = _read_manifest(path)
    manifest = parse_manifest(data, path)
    try:
        cache = _cache()
        copy = cache / manifest["fingerprint"]
        with _alone(cache / f"{copy.name}.lock"):
            if not _is_whole(copy):
                _fetch(path, data, manifest, copy)
    except OSError as error:
        raise BundleError(f"cannot copy {path} to this machine: {error}") from error
    return str(copy)


def check_place(output: str, overwrite: bool) -> None:
    """Raises OutputError if `put_bundle` is not allowed, or not able, to write to a remote path."""
    check_no_pattern(output)
    try:
        files = files_below(output)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error
    if not files:
        return
    is_bundle = posixpath.join(output, MANIFEST) in files
    if not (is_bundle and overwrite):
        hint = ", or give --overwrite" if is_bundle else ""
        raise OutputError(f"{output} already exists: choose another folder{hint}")
    _earlier_files(output)


def put_bundle(bundle: Bundle, output: str) -> None:
    """Copies a bundle to a remote path. The manifest is written last: without it, readers see no
    bundle.

    If a bundle is already there, its manifest is deleted first, then its files. A concurrent reader
    of the old bundle finds a file missing, or one that does not match its manifest.

    Raises:
      OutputError: something there cannot be read, deleted or written.
    """
    try:
        with client_errors():
            if exists(posixpath.join(output, MANIFEST)):
                earlier = _earlier_files(output)
                remove(posixpath.join(output, MANIFEST))
                remove_files(sorted(present(earlier, output)))
            for name in (*bundle.manifest["files"], MANIFEST):
                _upload(bundle.path / name, posixpath.join(output, name))
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error


def _earlier_files(output: str) -> list[str]:
    """The files of the bundle at `output`, except the manifest: nothing else is ever deleted."""
    try:
        manifest = parse_manifest(_read_manifest(output), output)
    except BundleError as error:
        raise OutputError(f"{error}; not overwriting it: choose another folder") from error
    return [posixpath.join(output, name) for name in manifest["files"]]


def _upload(source: Path, target: str) -> None:
    with source.open("rb") as content, create(target) as file:
        shutil.copyfileobj(content, file)


def _read_manifest(path: str) -> bytes:
    try:
        with open_binary(posixpath.join(path, MANIFEST)) as file:
            return file.read()
    except OSError as error:
        raise BundleError(f"no such model bundle: {path}: {MANIFEST}: {error}") from error


def _cache() -> Path:
    """The folder of all copies, owned by this user: in a folder that others can write to, they
    could change a copy after it was checked.

    Raises:
      OSError: no candidate folder is writable.
    """
    shared = tempfile.gettempdir()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    candidates = [Path(shared, f"latentbeam-bundles-{os.getuid()}")]
    if os.path.isabs(home):
        candidates.insert(0, Path(home, "latentbeam", "bundles"))
    for folder in candidates:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.lstat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                return folder
    raise OSError(f"none of {', '.join(map(str, candidates))} is writable: set XDG_CACHE_HOME")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Admits one thread of one process at a time; the lock is released if the process dies."""
    with path.open("w") as file:
        with contextlib.suppress(OSError):  # no locks on this file system: several may fetch
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_whole(copy: Path) -> bool:
    try:
        return open_bundle(copy).fingerprint == copy.name
    except BundleError:
        return False


def _fetch(path: str, data: bytes, manifest: dict[str, Any], copy: Path) -> None:
    """Downloads and checks the bundle, then makes the copy appear under its name atomically.

    Raises:
      BundleError: a file is missing, or does not match the manifest.
      OSError: the copy cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=".", dir=copy.parent) as folder:
        fetched = Path(folder, "bundle")
        fetched.mkdir()
        (fetched / MANIFEST).write_bytes(data)
        for name in manifest["files"]:
            (fetched / name).parent.mkdir(parents=True, exist_ok=True)
            _download(path, name, fetched / name)
        open_bundle(fetched, name=path)
        if copy.exists():
            copy.rename(Path(folder, "damaged"))
        try:
            fetched.rename(copy)
        except OSError:
            if not _is_whole(copy):  # without locks, another process may have been faster
                raise


def _download(path: str, name: str, target: Path) -> None:
    with target.open("wb") as copy, contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_binary(posixpath.join(path, name)))
            shutil.copyfileobj(file, copy)
        except OSError as error:
            raise BundleError(f"{path}: cannot read {name}: {error}") from error
