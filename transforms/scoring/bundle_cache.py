"""Bundles on remote paths, gs:// for one: copied to this machine to be opened, and copied there."""

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
    """The folder where a bundle can be opened: a local path itself, of a remote one its copy.

    Copies are called by their fingerprints, in `$XDG_CACHE_HOME/latentbeam/bundles`, else in
    `~/.cache`, else in a folder of this user's among the temporary ones. One that stands there is
    checked, and fetched again if it is damaged. Of the threads and processes of one machine that
    ask for the same bundle one fetches it, and the others wait.

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
    """Raises OutputError if `put_bundle` may not, or cannot, write to a remote path."""
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
        raise OutputError(f"{output} exists already: choose another folder{hint}")
    _earlier_files(output)


def put_bundle(bundle: Bundle, output: str) -> None:
    """Copies a bundle to a remote path, the manifest last: before, there is no bundle for anyone.

    Of a bundle that is there already the manifest is deleted first, then its files. Whoever is
    reading it meanwhile finds a file gone, or another than its manifest says.

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
    """The files, but for the manifest, of the bundle at `output`: nothing else is ever deleted."""
    try:
        manifest = parse_manifest(_read_manifest(output), output)
    except BundleError as error:
        raise OutputError(f"{error}: it is not overwritten") from error
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
    """The folder of all copies, of this user alone: in a folder that others can write to, they
    could change a copy after it was checked.

    Raises:
      OSError: none can be written.
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
    raise OSError(f"none of {', '.join(map(str, candidates))} can be written: set XDG_CACHE_HOME")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One thread of one process at a time; the system lets go when the process dies."""
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
    """Makes the copy appear under its name at once, and checked.

    Raises:
      BundleError: a file is missing, or not the one that the manifest tells of.
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
            if not _is_whole(copy):  # no lock, and someone else was faster
                raise


def _download(path: str, name: str, target: Path) -> None:
    with target.open("wb") as copy, contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_binary(posixpath.join(path, name)))
            shutil.copyfileobj(file, copy)
        except OSError as error:
            raise BundleError(f"{path}: cannot read {name}: {error}") from error
