"""A model bundle that scores images in tiles, as loaded by a worker process."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from ae_models.calibration.score_calibration import calibration_of
from transforms.images.decode_batch import with_stored
from transforms.images.orientation import Stored
from transforms.maps.locate import Placed
from transforms.maps.placement import Placement
from transforms.records.batches import IMAGE, REJECT, REJECT_TYPE, TILES, with_column
from transforms.records.pixels import raw_images
from transforms.records.rejects import RecordError, Stage
from transforms.scoring.columns import scored_columns
from transforms.scoring.model_handler import LoadedModel, rejects_of, scored_batch
from transforms.scoring.options import ScoreOptions
from transforms.tiles.score_tiles import Reject, TiledImage, TileScorer

_UNKNOWN = Stored(1, 1)


class TiledModel(LoadedModel):
    """Scores records whose `image` is encoded, or raw pixels of any shape, in tiles of the bundle's
    size. The tiles never leave the worker."""

    def __init__(self, bundle_path: str, options: ScoreOptions | None = None):
        super().__init__(bundle_path, options)
        config = self.bundle.config
        draws = self.locator is not None and self.locator.draws
        self._tiles = TileScorer(self.scorer, config, draws)
        self._place, self._side = config.image.tile_place, config.image.tile_side
        self._keeps_tiles = options is not None and options.tiles
        asked = None if options is None else options.primary
        self._tile_calibration = calibration_of(self.bundle, asked, of_tiles=True)

    def _check(self, element: pa.RecordBatch) -> None:
        """Images may be of any shape."""

    def _score_together(self, elements: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        return [self._scored(element) for element in elements]

    def located(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, Placed]]:
        """Returns the rows, with those that cannot be decoded as rejects, and the maps of the
        others."""
        self.asked_locator()
        batch, good = self._found(batch)
        return batch, {row: self._placed(one) for row, one in good.items()}

    def _found(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, TiledImage]]:
        """The rows with an updated `REJECT` column, and the results of the good ones."""
        rejects = rejects_of(batch).to_pylist()
        wanted = [row for row, known in enumerate(rejects) if known is None]
        images, broken = _images(batch, wanted)
        for row, why in broken.items():
            rejects[row] = why
        found = dict(zip(images, self._tiles.score(list(images.values())), strict=True))
        for row, result in found.items():
            if not isinstance(result, TiledImage):
                rejects[row] = result
        good = {row: one for row, one in found.items() if isinstance(one, TiledImage)}
        return _with_rejects(batch, rejects), good

    def _scored(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        batch, good = self._found(batch)
        sizes = np.full((len(batch), 3), _UNKNOWN, np.int32)
        for row, one in good.items():
            sizes[row] = one.stored
        if self.locator is not None:
            batch = with_stored(batch, sizes)
        if self._keeps_tiles:
            batch = batch.append_column(TILES, self._tile_column(len(batch), good))
        maps = [self._placed(one) for one in good.values()] if self.locator is not None else None
        return scored_batch(batch, self._outputs(list(good.values())), self, maps)

    def _placed(self, one: TiledImage) -> Placed:
        if one.map is None:
            raise ValueError("a bundle that supports regions must have maps")
        placement = Placement.as_stored(one.stored, (self._place, self._place))
        return Placed(one.map, placement, one.stored.orientation, one.pixels)

    def _outputs(self, images: Sequence[TiledImage]) -> dict[str, np.ndarray]:
        """The outputs of N images, (N, ...), also if N is 0."""
        if not images:
            image = self.scorer.image
            return self.scorer.score(np.zeros((0, *image.shape), image.dtype))
        return {name: np.stack([one.outputs[name] for one in images]) for name in images[0].outputs}

    def _tile_column(self, rows: int, images: Mapping[int, TiledImage]) -> pa.Array:
        """(rows,) lists of the tiles of each image, empty for other rows."""
        counts = np.zeros(rows, np.int32)
        for row, one in images.items():
            counts[row] = len(one.tiles["x"])
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
        return pa.ListArray.from_arrays(offsets, self._tile_structs(list(images.values())))

    def _tile_structs(self, images: Sequence[TiledImage]) -> pa.StructArray:
        places, sizes = np.zeros((2, 0), np.int32), np.zeros((2, 0), np.int32)
        if not images:
            outputs = self._outputs([])
        else:
            names = images[0].outputs
            outputs = {n: np.concatenate([one.tiles[n] for one in images]) for n in names}
            places = np.concatenate([[one.tiles["x"], one.tiles["y"]] for one in images], axis=1)
            ends = [
                np.repeat([[one.stored.width], [one.stored.height]], len(one.tiles["x"]), axis=1)
                for one in images
            ]
            sizes = np.minimum(self._side, np.concatenate(ends, axis=1) - places)
        p_values = self._tile_calibration.p_values(outputs["score"])
        columns = scored_columns(outputs, p_values, p_values <= self.fpr, self.fingerprint)
        del columns["model"]
        named = dict(zip(("x", "y", "width", "height"), (*places, *sizes), strict=True))
        columns = {name: pa.array(v, pa.int32()) for name, v in named.items()} | columns
        return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


def _with_rejects(batch: pa.RecordBatch, rejects: Sequence[Reject | None]) -> pa.RecordBatch:
    column = pa.array(rejects, REJECT_TYPE)
    if REJECT in batch.schema.names:
        return with_column(batch, REJECT, column)
    return batch.append_column(REJECT, column)


def _images(
    batch: pa.RecordBatch, rows: Sequence[int]
) -> tuple[dict[int, memoryview | np.ndarray], dict[int, Reject]]:
    """The images of some rows, encoded or (H, W, C), and the rejects of those without one."""
    images: dict[int, memoryview | np.ndarray] = {}
    broken: dict[int, Reject] = {}
    column = batch.column(IMAGE).take(pa.array(rows, pa.int64()))
    found = raw_images(column, batch.schema.field(IMAGE).metadata)
    for row, image in zip(rows, found, strict=True):
        if isinstance(image, RecordError):
            broken[row] = image.at(Stage.DECODE)
        else:
            images[row] = image
    return images, broken
