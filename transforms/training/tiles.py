"""Turning image records into records of their tiles, for training."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.typehints import with_output_types

from ae_models.config.configuration import Configuration
from transforms.execution.isolation import failed
from transforms.images.self_test import check_decoders
from transforms.records.batches import ID, IMAGE, REJECT, SOURCE, image_records
from transforms.records.pixels import pixels_to_arrow, raw_images, raw_metadata
from transforms.records.rejects import Reason, RecordError, Stage
from transforms.tiles.cut import Tile
from transforms.tiles.draw import drawn_tiles, tile_id
from transforms.training.groups import GROUP, group_texts


@with_output_types(pa.RecordBatch)
class DrawTiles(beam.DoFn):
    """Turns each image record into records of some of its tiles, as raw pixels, with the column
    `GROUP`, which keeps the tiles of an image together. A record that cannot be decoded becomes a
    single reject.

    Args:
      config: the configuration, with the image's channels and bits set.
      group: the column that identifies groups of images; if None, each image is a group.
    """

    def __init__(self, config: Configuration, group: str | None):
        self._config, self._group = config, group

    def setup(self) -> None:
        check_decoders(self._config.image)

    def process(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        groups = batch.column(ID) if self._group is None else group_texts(batch, self._group)
        rows = zip(
            batch.column(ID).to_pylist(),
            batch.column(SOURCE).to_pylist(),
            groups.to_pylist(),
            batch.column(REJECT).to_pylist(),
            raw_images(batch.column(IMAGE), batch.schema.field(IMAGE).metadata),
            strict=True,
        )
        for record, source, group, reject, image in rows:
            yield from self._tiles(record, source, group, reject, image)

    def _tiles(
        self,
        record: str,
        source: str,
        group: str,
        reject: dict[str, str] | None,
        image: memoryview | np.ndarray | RecordError,
    ) -> Iterator[pa.RecordBatch]:
        tiles: list[Tile] = []
        if reject is None:
            try:
                if isinstance(image, RecordError):
                    raise image
                tiles = drawn_tiles(image, record, self._config)
            except RecordError as error:
                reject = error.at(Stage.DECODE)
            except MemoryError as error:
                reject = failed(error, Stage.DECODE, Reason.OUT_OF_MEMORY)
        if reject is not None:
            carried = {GROUP: pa.array([group], pa.string())}
            yield image_records([record], source, [None], carried=carried, rejects=[reject])
        elif tiles:
            image_config = self._config.image
            yield image_records(
                [tile_id(record, tile) for tile in tiles],
                source,
                pixels_to_arrow(np.stack([tile.pixels for tile in tiles])),
                carried={GROUP: pa.array([group] * len(tiles), pa.string())},
                image_metadata=raw_metadata(image_config.shape, image_config.dtype),
            )
