"""Calibration of a model that scores images in tiles: of single tiles, and of complete images."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ae_models.bundles.calibration_file import write_scores
from ae_models.bundles.names import ANOMALY_MAP, CALIBRATION, SCORE_PREFIX, TILE_CALIBRATION
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import Configuration
from ae_models.config.maps import NO_MAP
from ae_models.errors import StageError
from pipelines.console.progress import Progress
from pipelines.training.command import TrainingCommand
from transforms.reading.find_images import found_records
from transforms.records.batches import ID, IMAGE, bounded_slices
from transforms.records.pixels import raw_images
from transforms.records.rejects import RecordError
from transforms.tiles.score_tiles import TiledImage, TileScorer

_ROWS = 16  # images whose maps are in memory at the same time


def calibrate_in_tiles(
    bundle: Path, config: Configuration, command: TrainingCommand, ids: list[str]
) -> dict[str, Any]:
    """Re-reads the held-out images in full, and writes the scores of the images and of their tiles,
    as a run would compute them.

    Args:
      bundle: the folder of the exported model.
      config: of the model.
      command: states where the images are.
      ids: of the images.

    Returns:
      The manifest's facts on the calibration.

    Raises:
      InputError: an input no longer exists.
      StageError: no image has a finite score.
    """
    maps = [] if config.scoring.map == NO_MAP else [ANOMALY_MAP]
    scorer = TileScorer(Scorer(bundle, config, maps=maps), config)
    names, tile_names = list[str](), list[str]()
    images, tiles = list[dict[str, np.ndarray]](), list[dict[str, np.ndarray]]()
    with Progress("calibrating", len(ids), " images") as progress:
        for name, found in _scored(scorer, found_records(command.inputs, ids, command.reading)):
            names.append(name)
            images.append(_scores(found.outputs))
            tiles.append(_scores(found.tiles))
            places = zip(found.tiles["x"].tolist(), found.tiles["y"].tolist(), strict=True)
            tile_names += [f"{name}#{x},{y}" for x, y in places]
            progress.show(len(names))
    if not images:
        raise StageError(f"none of the {len(ids):,} calibration images can be read any more")
    columns = {name: np.array([one[name] for one in images], np.float32) for name in images[0]}
    of_tiles = {name: np.concatenate([one[name] for one in tiles]) for name in tiles[0]}
    write_scores(bundle / TILE_CALIBRATION, tile_names, of_tiles)
    facts = write_scores(bundle / CALIBRATION, names, columns, config.scoring.tail)
    return {**facts, "known_to": [], "tiles": len(tile_names)}


def _scored(
    scorer: TileScorer, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[str, TiledImage]]:
    """Ids of images, and their results."""
    for batch in batches:
        for part in bounded_slices(batch, _ROWS):
            images = raw_images(part.column(IMAGE), part.schema.field(IMAGE).metadata)
            pairs = zip(part.column(ID).to_pylist(), images, strict=True)
            good = [(name, image) for name, image in pairs if not isinstance(image, RecordError)]
            found = scorer.score([image for _, image in good])
            for (name, _), one in zip(good, found, strict=True):
                if isinstance(one, TiledImage):
                    yield name, one


def _scores(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: values for n, values in outputs.items() if n.startswith(SCORE_PREFIX[:-1])}
