"""The model bundle: one folder whose manifest vouches for every byte of it."""

import dataclasses
import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_models.bundles.graph_check import check_graph
from ae_models.bundles.keras_check import check_keras_file
from ae_models.calibration.pareto_tail import ParetoTail
from ae_models.config.configuration import Configuration, configuration_from_mapping
from ae_models.config.validated import from_mapping
from ae_models.errors import BundleError, ConfigError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
KERAS_MODEL = "model.keras"
TRANSFORM_OUTPUT = "transform_fn"
SCORING = "scoring"
CALIBRATION = "calibration.parquet"
MODEL_CARD = "model_card.md"
_FINGERPRINT = "fingerprint"
_GRAPHS = (SCORING, f"{TRANSFORM_OUTPUT}/transform_fn")
_VARIABLES = ("variables.data-00000-of-00001", "variables.index")
# A bundle has all of these files and, but for optional ones, no others.
FILES = frozenset(
    {
        KERAS_MODEL,
        CALIBRATION,
        f"{TRANSFORM_OUTPUT}/transformed_metadata/schema.pbtxt",
        *(f"{graph}/{file}" for graph in _GRAPHS for file in ("fingerprint.pb", "saved_model.pb")),
        *(f"{graph}/variables/{file}" for graph in _GRAPHS for file in _VARIABLES),
    }
)
# Those written before there was one have none of these.
OPTIONAL_FILES = frozenset({MODEL_CARD})
# What is read whole. Weights are not.
_MOST_BYTES = {MANIFEST: 16 << 20, **{f"{graph}/saved_model.pb": 64 << 20 for graph in _GRAPHS}}
_MOST_CALIBRATION_RECORDS = 1 << 26
_MOST_IMAGE_BYTES, _MOST_LATENT_DIM = 256 << 20, 1 << 20


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

    def calibration_scores(self, name: str = "score") -> np.ndarray:
        """A score of the held-out normal records, (n,) float32, ascending: the primary one, or
        `score_<name>`.

        Raises:
          BundleError: there are none, or the file holds something else.
        """
        try:
            with pq.ParquetFile(self.path / CALIBRATION) as file:
                rows = file.metadata.num_rows
                if not 1 <= rows <= _MOST_CALIBRATION_RECORDS:
                    raise BundleError(f"{self.path}: {CALIBRATION} has {rows} records")
                column = file.read(columns=[name]).column(name)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BundleError(f"{self.path}: cannot read {CALIBRATION}: {error}") from error
        if column.type != pa.float32() or column.null_count:
            raise BundleError(f"{self.path}: the scores of {CALIBRATION} are no numbers")
        return np.sort(column.to_numpy())

    def pareto_tail(self) -> ParetoTail | None:
        """What extends p-values beyond the calibration scores; None if nothing does."""
        return _pareto_tail(self.manifest)


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
    # Whoever can write a bundle can write its digests too, so what it holds is looked at as well.
    check_keras_file(path / KERAS_MODEL, f"{name}: {KERAS_MODEL}")
    for graph in _GRAPHS:
        check_graph(path / graph / "saved_model.pb", f"{name}: {graph}/saved_model.pb")
    try:
        config = configuration_from_mapping(_as_trained(manifest.get("config")))
        _pareto_tail(manifest)
        _check_sizes(config)
    except ConfigError as error:
        raise BundleError(f"{name}: {error}") from error
    return Bundle(path, manifest, config)


def _pareto_tail(manifest: dict[str, Any]) -> ParetoTail | None:
    if not isinstance(calibration := manifest.get("calibration"), dict):
        raise ConfigError(f"calibration must be a mapping. Received: {calibration!r}")
    mapping = calibration.get("pareto_tail")
    return None if mapping is None else from_mapping(ParetoTail, mapping)


def _check_sizes(config: Configuration) -> None:
    """What a worker makes room for, whatever the graph really takes and gives."""
    if config.image.image_bytes > _MOST_IMAGE_BYTES:
        raise ConfigError(
            f"image must have at most {_MOST_IMAGE_BYTES} bytes. Received: {config.image.shape}"
        )
    if config.model.latent_dim > _MOST_LATENT_DIM:
        raise ConfigError(
            f"model.latent_dim must be at most {_MOST_LATENT_DIM}. "
            f"Received: {config.model.latent_dim}"
        )


def _as_trained(config: Any) -> Any:
    """Bundles from before `image.reduce` are of images decoded in full, whatever its default."""
    if isinstance(config, dict) and isinstance(image := config.get("image"), dict):
        return {**config, "image": {"reduce": False, **image}}
    return config


def _read_manifest(path: Path, name: str) -> dict[str, Any]:
    if not path.is_dir():
        raise BundleError(f"no such model bundle: {name}")
    try:
        _check_file(path / MANIFEST, MANIFEST, name)
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"{name} is no model bundle: {MANIFEST}: {error}") from error
    return parse_manifest(data, name)


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
    for file in sorted((files.keys() ^ FILES) - OPTIONAL_FILES):
        if file in FILES:
            raise BundleError(f"{name}: {MANIFEST} does not list {file}")
        raise BundleError(f"{name}: {MANIFEST} lists {file!r}, which is no file of a bundle")
    return manifest


def _fingerprint(manifest: dict[str, Any]) -> str:
    facts = {key: value for key, value in manifest.items() if key != _FINGERPRINT}
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _file_digests(path: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by its path within the bundle.

    Raises:
      BundleError: a file that no bundle has, a link, whose target nobody vouches for, or a file
        that cannot be read.
    """
    digests = {}
    for within in sorted(_files(path, name)):
        try:
            with (path / within).open("rb") as content:
                digests[within] = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise BundleError(f"{name}: cannot read {within}: {error.strerror}") from error
    return digests


def _files(path: Path, name: str) -> Iterator[str]:
    """The files but the manifest; the first that does not belong there ends the search."""
    for file in path.rglob("*"):
        within = file.relative_to(path).as_posix()
        if file.is_dir() and not file.is_symlink():
            continue
        _check_file(file, within, name)
        if within != MANIFEST:
            if within not in FILES | OPTIONAL_FILES:
                raise BundleError(f"{name}: {within} is not in {MANIFEST}: no bundle has it")
            yield within


def _check_file(file: Path, within: str, name: str) -> None:
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
