"""The manifest of a bundle and the files that it covers: read without running any of them."""

import functools
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ae_models.bundles.names import EARLIER, FILES, FORMAT_VERSION, GRAPHS, MANIFEST, OPTIONAL_FILES
from ae_models.errors import BundleError

FINGERPRINT = "fingerprint"
# Size limits of files that are read into memory. Weights are not.
MOST_GRAPH_BYTES = 64 << 20
_MOST_BYTES = {
    MANIFEST: 16 << 20,
    **{f"{graph}/saved_model.pb": MOST_GRAPH_BYTES for graph in GRAPHS},
}
# File systems' clocks are coarse: a file changed just now may change again without a new timestamp.
_SETTLED_NS = 2_000_000_000
_NEXT = "; give the folder that train wrote"


def read_manifest(path: Path, name: str) -> dict[str, Any]:
    """Reads and parses the manifest in a bundle's folder (`parse_manifest`).

    Raises:
      BundleError: there is no bundle, the manifest was changed, or its format is unknown.
    """
    if not path.is_dir():
        earlier, hint = earlier_place(path), ""
        if earlier.is_dir() and not path.exists():
            hint = f"; the bundle being replaced is in {earlier}: move it back, or train again"
        raise BundleError(f"no such model bundle: {name}{hint or _NEXT}")
    if not (path / MANIFEST).exists():
        raise BundleError(f"{name} is not a model bundle: it has no {MANIFEST}{_NEXT}")
    try:
        _check_file(path / MANIFEST, MANIFEST, name)
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"{name} is not a model bundle: {MANIFEST}: {error}") from error
    return parse_manifest(data, name)


def earlier_place(path: Path) -> Path:
    """Where a path's earlier bundle is while another is moved into its place, on file systems that
    cannot exchange the two atomically."""
    whole = path.absolute()
    return whole.with_name(EARLIER.format(whole.name))


def parse_manifest(data: bytes, name: str) -> dict[str, Any]:
    """Parses a manifest and checks that it is unchanged since it was written.

    `files` contains the SHA-256 of each of `FILES`, and optionally of some of `OPTIONAL_FILES`.

    Args:
      data: the content of `manifest.json`.
      name: the bundle's name in error messages.

    Raises:
      BundleError: it was changed, or its format is unknown.
    """
    if len(data) > _MOST_BYTES[MANIFEST]:
        raise BundleError(f"{name}: {MANIFEST} is larger than {_MOST_BYTES[MANIFEST]} bytes")
    try:
        text = data.decode("utf-8")
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is not a model bundle: {MANIFEST}: {error}") from error
    # The exact text is compared, so that no byte of the manifest itself can change unnoticed.
    intact = (
        isinstance(manifest, dict)
        and manifest.get(FINGERPRINT) == fingerprint(manifest)
        and text == canonical(manifest)
    )
    if not intact:
        raise BundleError(f"{name}: {MANIFEST} was changed since the bundle was written")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(f"{name}: unsupported format version {version!r}, not {FORMAT_VERSION}")
    if not isinstance(files := manifest.get("files"), dict):
        raise BundleError(f"{name}: {MANIFEST} lists no files")
    for file in sorted((files.keys() ^ FILES) - OPTIONAL_FILES):
        if file in FILES:
            raise BundleError(f"{name}: {MANIFEST} does not list {file}")
        raise BundleError(f"{name}: {MANIFEST} lists {file!r}, which is not a file of a bundle")
    return manifest


def fingerprint(manifest: dict[str, Any]) -> str:
    """SHA-256 over everything in a manifest except this digest, in hexadecimal."""
    facts = {key: value for key, value in manifest.items() if key != FINGERPRINT}
    return hashlib.sha256(canonical(facts).encode()).hexdigest()


def canonical(value: dict[str, Any]) -> str:
    """The canonical text of a manifest."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


class _State(NamedTuple):
    """What distinguishes a file from a changed one: nobody can set an inode's change time."""

    within: str
    size: int
    modified_ns: int
    changed_ns: int
    device: int
    inode: int


def file_digests(path: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file except the manifest, by its path within the bundle. A process reads
    unchanged files only once, since a run opens its bundle several times.

    Raises:
      BundleError: a file does not belong in a bundle, cannot be read, or is a link, whose target
        the manifest does not cover.
    """
    states = tuple(sorted(_states(path, name)))
    newest = max((state.changed_ns for state in states), default=0)
    digests = _digests if newest > time.time_ns() - _SETTLED_NS else _remembered_digests
    return dict(digests(path, name, states))


def _digests(path: Path, name: str, states: tuple[_State, ...]) -> tuple[tuple[str, str], ...]:
    digests = []
    for state in states:
        try:
            with (path / state.within).open("rb") as content:
                digests.append((state.within, hashlib.file_digest(content, "sha256").hexdigest()))
        except OSError as error:
            raise BundleError(f"{name}: cannot read {state.within}: {error.strerror}") from error
    return tuple(digests)


_remembered_digests = functools.lru_cache(maxsize=64)(_digests)


def _states(path: Path, name: str) -> Iterator[_State]:
    """The files except the manifest; raises at the first that does not belong there."""
    for file in path.rglob("*"):
        within = file.relative_to(path).as_posix()
        if file.is_dir() and not file.is_symlink():
            continue
        facts = _check_file(file, within, name)
        if within != MANIFEST:
            if within not in FILES | OPTIONAL_FILES:
                raise BundleError(f"{name}: {within} is not in {MANIFEST}: no bundle has this file")
            times = facts.st_mtime_ns, facts.st_ctime_ns
            yield _State(within, facts.st_size, *times, facts.st_dev, facts.st_ino)


def _check_file(file: Path, within: str, name: str) -> os.stat_result:
    """Refuses links, which may lead anywhere, and devices and pipes, which may never end or block.

    Raises:
      BundleError: it is not a regular file, or is larger than a bundle's file can be.
      OSError: it does not exist.
    """
    facts = file.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise BundleError(f"{name}: {within} is not in {MANIFEST}: links are never followed")
    if not stat.S_ISREG(facts.st_mode):
        raise BundleError(f"{name}: {within} is not in {MANIFEST}: it is not a regular file")
    if facts.st_size > _MOST_BYTES.get(within, facts.st_size):
        raise BundleError(f"{name}: {within} is larger than {_MOST_BYTES[within]} bytes")
    return facts
