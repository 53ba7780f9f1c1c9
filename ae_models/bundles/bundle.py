"""The model bundle: one folder whose manifest covers every byte of it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_models.bundles.graph_check import check_graph
from ae_models.bundles.keras_check import check_keras_file
from ae_models.bundles.manifest import (
    FINGERPRINT,
    canonical,
    file_digests,
    fingerprint,
    read_manifest,
)
from ae_models.bundles.names import (
    CALIBRATION,
    FORMAT_VERSION,
    GRAPHS,
    KERAS_MODEL,
    MANIFEST,
    SCORE_PREFIX,
    TILE_CALIBRATION,
)
from ae_models.calibration.pareto_tail import ParetoTail
from ae_models.config.configuration import Configuration, configuration_from_mapping
from ae_models.config.maps import NO_MAP
from ae_models.config.model import as_trained
from ae_models.config.validated import from_mapping
from ae_models.errors import BundleError, ConfigError
from ae_models.scores import SCORES

_MOST_CALIBRATION_RECORDS = 1 << 26
_MOST_IMAGE_BYTES, _MOST_LATENT_DIM = 256 << 20, 1 << 20


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle whose files match its manifest."""

    path: Path
    manifest: dict[str, Any]
    config: Configuration

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the digests of all files and over the manifest itself, in hexadecimal."""
        return str(self.manifest[FINGERPRINT])

    def calibration_scores(self, name: str = "score", of_tiles: bool = False) -> np.ndarray:
        """A score of the held-out normal records, or of their tiles, (n,) float32, ascending: the
        primary score, or `score_<name>`.

        Raises:
          BundleError: there are no scores, or the file contains something else.
        """
        where = TILE_CALIBRATION if of_tiles else CALIBRATION
        try:
            with pq.ParquetFile(self.path / where) as file:
                rows = file.metadata.num_rows
                if not 1 <= rows <= _MOST_CALIBRATION_RECORDS:
                    raise BundleError(f"{self.path}: {where} has {rows} records")
                column = file.read(columns=[name]).column(name)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BundleError(f"{self.path}: cannot read {where}: {error}") from error
        if column.type != pa.float32() or column.null_count:
            raise BundleError(f"{self.path}: the scores in {where} are not numbers")
        return np.sort(column.to_numpy())

    def calibrated_scores(self) -> tuple[str, ...]:
        """The names of the scores that the held-out normal records have, in the order of the
        configuration, or of the registry if the configuration lists none.

        Raises:
          BundleError: they have no scores.
        """
        try:
            columns = set(pq.read_schema(self.path / CALIBRATION).names)
        except (OSError, pa.ArrowException) as error:
            raise BundleError(f"{self.path}: cannot read {CALIBRATION}: {error}") from error
        known = SCORES if self.config.scoring.scores is None else self.config.scoring.scores
        names = tuple(name for name in known if SCORE_PREFIX + name in columns)
        if not names:
            raise BundleError(f"{self.path}: {CALIBRATION} has no scores")
        return names

    def check_not_in_tiles(self, what: str) -> None:
        """Raises ConfigError for a bundle that processes images in tiles, which `what` does not
        support."""
        if self.config.image.tile is not None:
            raise ConfigError(
                f"{self.path} processes images in tiles (image.tile {self.config.image.tile}): "
                f"{what} needs a bundle that processes entire images"
            )

    def pareto_tail(self) -> ParetoTail | None:
        """The tail that extends p-values beyond the calibration scores, or None."""
        return _pareto_tail(self.manifest)


def seal_bundle(path: Path, facts: dict[str, Any]) -> Bundle:
    """Writes the manifest of a folder that contains all other files of a bundle."""
    manifest = {"format_version": FORMAT_VERSION, **facts, "files": file_digests(path, str(path))}
    manifest[FINGERPRINT] = fingerprint(manifest)
    (path / MANIFEST).write_bytes(canonical(manifest).encode())
    return open_bundle(path)


def open_bundle(path: str | Path, name: str | None = None) -> Bundle:
    """Checks every file of a bundle against its manifest; runs nothing that it contains.

    Args:
      path: the bundle's folder.
      name: the bundle's name in error messages, for example of a copy; None: its path.

    Raises:
      BundleError: there is no bundle, its format is unknown, or a file was changed, removed or
        added.
    """
    path, name = Path(path), name or str(path)
    manifest = read_manifest(path, name)
    expected, found = manifest["files"], file_digests(path, name)
    for file in sorted(expected.keys() | found.keys()):
        if file not in found:
            raise BundleError(f"{name}: {file} is missing")
        if file not in expected:
            raise BundleError(f"{name}: {file} is not in {MANIFEST}")
        if expected[file] != found[file]:
            raise BundleError(f"{name}: {file} was changed since the bundle was written")
    # Whoever can write a bundle can write its digests too, so its contents are checked as well.
    check_keras_file(path / KERAS_MODEL, f"{name}: {KERAS_MODEL}")
    for graph in GRAPHS:
        check_graph(path / graph / "saved_model.pb", f"{name}: {graph}/saved_model.pb")
    try:
        config = configuration_from_mapping(_as_trained(manifest.get("config")))
        _pareto_tail(manifest)
        check_sizes(config)
    except ConfigError as error:
        raise BundleError(f"{name}: {error}") from error
    return Bundle(path, manifest, config)


def _pareto_tail(manifest: dict[str, Any]) -> ParetoTail | None:
    if not isinstance(calibration := manifest.get("calibration"), dict):
        raise ConfigError(f"calibration must be a mapping. Received: {calibration!r}")
    mapping = calibration.get("pareto_tail")
    return None if mapping is None else from_mapping(ParetoTail, mapping)


def check_sizes(config: Configuration) -> None:
    """Checks how much memory a worker allocates, whatever the graph really accepts and returns.

    Raises:
      ConfigError: it is more than a bundle may request.
    """
    if config.image.image_bytes > _MOST_IMAGE_BYTES:
        raise ConfigError(
            f"image must have at most {_MOST_IMAGE_BYTES} bytes. Received: {config.image.shape}"
        )
    if config.model.latent_size > _MOST_LATENT_DIM:
        raise ConfigError(
            f"model.latent_dim must be at most {_MOST_LATENT_DIM}. "
            f"Received: {config.model.latent_size}"
        )


def _as_trained(config: Any) -> Any:
    """Completes configurations of older bundles: those from before `image.reduce` use images
    decoded in full, those from before `model.linear_path` have none, and those from before
    `scoring.map` have no maps."""
    if isinstance(config, dict) and isinstance(image := config.get("image"), dict):
        scoring = config.get("scoring", {})
        if isinstance(scoring, dict):
            scoring = {"map": NO_MAP, **scoring}
        return {
            **config,
            "model": as_trained(config.get("model")),
            "image": {"reduce": False, **image},
            "scoring": scoring,
        }
    return config
