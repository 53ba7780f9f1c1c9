"""The model bundle: one folder whose manifest vouches for every byte of it."""

import dataclasses
import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ae_models.config import Configuration, configuration_from_mapping
from ae_models.errors import BundleError, ConfigError
from ae_models.mapping import from_mapping
from ae_models.pareto_tail import ParetoTail

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
KERAS_MODEL = "model.keras"
TRANSFORM_OUTPUT = "transform_fn"
SCORING = "scoring"
CALIBRATION = "calibration.parquet"
_FINGERPRINT = "fingerprint"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle whose files were found to match its manifest."""

    path: Path
    manifest: dict[str, Any]
    config: Configuration

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the digests of all files and over the manifest itself, in hexadecimal."""
        return str(self.manifest[_FINGERPRINT])

    def calibration_scores(self) -> np.ndarray:
        """The primary score of the held-out normal records, (n,) float32, ascending."""
        column = pq.read_table(self.path / CALIBRATION, columns=["score"])["score"]
        return np.sort(column.to_numpy())

    def pareto_tail(self) -> ParetoTail | None:
        """What extends p-values beyond the calibration scores; None if nothing does."""
        mapping = self.manifest["calibration"].get("pareto_tail")
        return None if mapping is None else from_mapping(ParetoTail, mapping)


def seal_bundle(path: Path, facts: dict[str, Any]) -> Bundle:
    """Writes the manifest of a folder that holds all other files of a bundle."""
    manifest = {"format_version": FORMAT_VERSION, **facts, "files": _file_digests(path, str(path))}
    manifest[_FINGERPRINT] = _fingerprint(manifest)
    (path / MANIFEST).write_bytes(_canonical(manifest).encode())
    return open_bundle(path)


def open_bundle(path: str | Path, name: str | None = None) -> Bundle:
    """Checks every file of a bundle against its manifest; runs nothing that it contains.

    Args:
      path: the bundle's folder.
      name: what errors call it, of a copy for one; None: its path.

    Raises:
      BundleError: there is no bundle, its format is unknown, or a file was changed, removed or
        added.
    """
    path, name = Path(path), name or str(path)
    manifest = _read_manifest(path, name)
    expected, found = manifest["files"], _file_digests(path, name)
    for file in sorted(expected.keys() | found.keys()):
        if file not in found:
            raise BundleError(f"{name}: {file} is missing")
        if file not in expected:
            raise BundleError(f"{name}: {file} is not in {MANIFEST}")
        if expected[file] != found[file]:
            raise BundleError(f"{name}: {file} was changed since the bundle was written")
    try:
        config = configuration_from_mapping(_as_trained(manifest.get("config")))
    except ConfigError as error:
        raise BundleError(f"{name}: {error}") from error
    return Bundle(path, manifest, config)


def _as_trained(config: Any) -> Any:
    """Bundles from before `image.reduce` are of images decoded in full, whatever its default."""
    if isinstance(config, dict) and isinstance(image := config.get("image"), dict):
        return {**config, "image": {"reduce": False, **image}}
    return config


def _read_manifest(path: Path, name: str) -> dict[str, Any]:
    if not path.is_dir():
        raise BundleError(f"no such model bundle: {name}")
    try:
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"{name} is no model bundle: {MANIFEST}: {error}") from error
    return parse_manifest(data, name)


def parse_manifest(data: bytes, name: str) -> dict[str, Any]:
    """The manifest whose bytes these are, once it is found to be as it was written.

    `files` has the SHA-256 of each file by its path, which leads nowhere out of the bundle.

    Args:
      data: the content of `manifest.json`.
      name: what errors call the bundle.

    Raises:
      BundleError: it was changed, or its format is unknown.
    """
    try:
        text = data.decode("utf-8")
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is no model bundle: {MANIFEST}: {error}") from error
    # The exact text is compared, so that no byte of the manifest itself can change unseen.
    intact = (
        isinstance(manifest, dict)
        and manifest.get(_FINGERPRINT) == _fingerprint(manifest)
        and text == _canonical(manifest)
    )
    if not intact:
        raise BundleError(f"{name}: {MANIFEST} was changed since the bundle was written")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(f"{name}: format version {version!r} is not {FORMAT_VERSION}")
    if not isinstance(files := manifest.get("files"), dict):
        raise BundleError(f"{name}: {MANIFEST} lists no files")
    for file in files:
        if not _is_within(file):
            raise BundleError(f"{name}: {MANIFEST} lists {file!r}, which is no file of a bundle")
    return manifest


def _is_within(file: str) -> bool:
    """Whether a file of this name lies in the folder that it is joined to."""
    path = PurePosixPath(file)
    plain = path.as_posix() == file and not path.is_absolute() and "\0" not in file
    return plain and ".." not in path.parts and file not in (".", MANIFEST)


def _fingerprint(manifest: dict[str, Any]) -> str:
    facts = {key: value for key, value in manifest.items() if key != _FINGERPRINT}
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _file_digests(path: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by its path within the bundle.

    Raises:
      BundleError: a link, whose target nobody vouches for, or a file that cannot be read.
    """
    digests = {}
    for file in sorted(path.rglob("*")):
        within = file.relative_to(path).as_posix()
        if file.is_symlink():
            raise BundleError(f"{name}: {within} is not in {MANIFEST}: links are never followed")
        if file.is_file() and within != MANIFEST:
            try:
                with file.open("rb") as content:
                    digests[within] = hashlib.file_digest(content, "sha256").hexdigest()
            except OSError as error:
                raise BundleError(f"{name}: cannot read {within}: {error.strerror}") from error
    return digests
