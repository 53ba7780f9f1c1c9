"""The manifest of a bundle, and the files that it vouches for: read, and nothing of it run."""

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
# What is read whole. Weights are not.
MOST_GRAPH_BYTES = 64 << 20
_MOST_BYTES = {
    MANIFEST: 16 << 20,
    **{f"{graph}/saved_model.pb": MOST_GRAPH_BYTES for graph in GRAPHS},
}
# File systems' clocks are coarse: what was changed just now may change again, and tell nobody.
_SETTLED_NS = 2_000_000_000


def read_manifest(path: Path, name: str) -> dict[str, Any]:
    """The manifest of a bundle's folder, as `parse_manifest` gives it.

    Raises:
      BundleError: there is no bundle, the manifest was changed, or its format is unknown.
    """
    if not path.is_dir():
        earlier, hint = earlier_place(path), ""
        if earlier.is_dir() and not path.exists():
            hint = f"; the one that was being replaced is in {earlier}: move it back, or train anew"
        raise BundleError(f"no such model bundle: {name}{hint}")
    try:
        _check_file(path / MANIFEST, MANIFEST, name)
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"{name} is no model bundle: {MANIFEST}: {error}") from error
    return parse_manifest(data, name)


def earlier_place(path: Path) -> Path:
    """Where the earlier bundle of a path is while another is moved there, on file systems that
    cannot exchange the two at once."""
    whole = path.absolute()
    return whole.with_name(EARLIER.format(whole.name))


def parse_manifest(data: bytes, name: str) -> dict[str, Any]:
    """The manifest whose bytes these are, once it is found to be as it was written.

    `files` has the SHA-256 of each of `FILES`, and perhaps of some of `OPTIONAL_FILES`.

    Args:
      data: the content of `manifest.json`.
      name: what errors call the bundle.

    Raises:
      BundleError: it was changed, or its format is unknown.
    """
    if len(data) > _MOST_BYTES[MANIFEST]:
        raise BundleError(f"{name}: {MANIFEST} has more than {_MOST_BYTES[MANIFEST]} bytes")
    try:
        text = data.decode("utf-8")
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is no model bundle: {MANIFEST}: {error}") from error
    # The exact text is compared, so that no byte of the manifest itself can change unseen.
    intact = (
        isinstance(manifest, dict)
        and manifest.get(FINGERPRINT) == fingerprint(manifest)
        and text == canonical(manifest)
    )
    if not intact:
        raise BundleError(f"{name}: {MANIFEST} was changed since the bundle was written")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(f"{name}: format version {version!r} is not {FORMAT_VERSION}")
    if not isinstance(files := manifest.get("files"), dict):
        raise BundleError(f"{name}: {MANIFEST} lists no files")
    for file in sorted((files.keys() ^ FILES) - OPTIONAL_FILES):
        if file in FILES:
            raise BundleError(f"{name}: {MANIFEST} does not list {file}")
        raise BundleError(f"{name}: {MANIFEST} lists {file!r}, which is no file of a bundle")
    return manifest


def fingerprint(manifest: dict[str, Any]) -> str:
    """SHA-256 over all that a manifest says but this, in hexadecimal."""
    facts = {key: value for key, value in manifest.items() if key != FINGERPRINT}
    return hashlib.sha256(canonical(facts).encode()).hexdigest()


def canonical(value: dict[str, Any]) -> str:
    """The one text of a manifest."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


class _State(NamedTuple):
    """What tells a file from one that was changed: nobody can set when its inode was."""

    within: str
    size: int
    modified_ns: int
    changed_ns: int
    device: int
    inode: int


def file_digests(path: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by its path within the bundle. A process reads files
    once while they are unchanged: a run opens its bundle several times.

    Raises:
      BundleError: a file that no bundle has, a link, whose target nobody vouches for, or a file
        that cannot be read.
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
    """The files but the manifest; the first that does not belong there ends the search."""
    for file in path.rglob("*"):
        within = file.relative_to(path).as_posix()
        if file.is_dir() and not file.is_symlink():
            continue
        facts = _check_file(file, within, name)
        if within != MANIFEST:
            if within not in FILES | OPTIONAL_FILES:
                raise BundleError(f"{name}: {within} is not in {MANIFEST}: no bundle has it")
            times = facts.st_mtime_ns, facts.st_ctime_ns
            yield _State(within, facts.st_size, *times, facts.st_dev, facts.st_ino)


def _check_file(file: Path, within: str, name: str) -> os.stat_result:
    """Links may lead anywhere; devices and pipes have no end, or keep their reader waiting.

    Raises:
      BundleError: it is no plain file, or greater than one of a bundle can be.
      OSError: it is not there.
    """
    facts = file.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise BundleError(f"{name}: {within} is not in {MANIFEST}: links are never followed")
    if not stat.S_ISREG(facts.st_mode):
        raise BundleError(f"{name}: {within} is not in {MANIFEST}: it is no plain file")
    if facts.st_size > _MOST_BYTES.get(within, facts.st_size):
        raise BundleError(f"{name}: {within} has more than {_MOST_BYTES[within]} bytes")
    return facts
