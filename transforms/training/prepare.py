"""From image records to training data: decoded records on disk, and tf.Transform's output."""

import json
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import with_output_types

from ae_models.config.configuration import Configuration, ImageConfig
from ae_models.config.validated import check_range
from ae_models.training.image_store import Batch, GroupedBatch, ImageStore
from transforms.execution.composite import Composite
from transforms.execution.timing import ProgressLog
from transforms.execution.whole_input import check_whole
from transforms.images.decode import DecodeImages
from transforms.reading.read import ImageRecords
from transforms.records.batches import ID, IMAGE, TARGET
from transforms.records.pixels import pixels_from_arrow, pixels_to_arrow
from transforms.records.rejects import good_rows, reject_rows
from transforms.records.tallies import Tallies
from transforms.runs.gather import summed
from transforms.runs.shards import Shard, ShardLimits, WriteShards
from transforms.storage.changes import write_text
from transforms.storage.files import open_binary
from transforms.training.analysis import AnalyzePixels
from transforms.training.groups import GROUP, group_column, group_texts
from transforms.training.tiles import DrawTiles

RECORDS_ANALYSED = "records_analysed"  # a metric
_RECORDS, _REJECTS = "records", "rejects"
_SHARDS, _TALLIES = "shards.json", "tallies.json"
_ID_ROWS = 65_536
# Pixels are read back once, in entire row groups: these are small, and not compressed, to save
# time.
_LIMITS = ShardLimits(group_rows=4096, group_bytes=16 << 20, compression="none")


@with_output_types(pa.RecordBatch)
class _Part(beam.DoFn):
    """Separates rejects and records; records keep the columns used in training."""

    def __init__(self, columns: list[str], group: str | None):
        self._columns, self._group = columns, group

    def setup(self) -> None:
        self._progress = ProgressLog()

    def process(self, batch: pa.RecordBatch) -> Iterable[Any]:
        rejects = reject_rows(batch)
        if len(rejects):
            yield TaggedOutput(_REJECTS, rejects)
        good = good_rows(batch)
        records = good.select(self._columns)
        if self._group is not None:
            records = records.append_column(GROUP, group_texts(good, self._group))
        if len(records):
            yield records
        self._progress.add(len(batch))


def _write_tallies(tallies: pa.RecordBatch, path: str) -> None:
    write_text(path, json.dumps(tallies.to_pylist(), indent=2))


def _write_list(shards: list[Shard], path: str) -> str:
    write_text(path, json.dumps([vars(shard) for shard in shards], indent=2))
    return path


class DecodeToShards(Composite):
    """Decodes records and writes them, and the rejects, to shards.

    Args:
      config: the configuration, with the image's shape set.
      folder: the folder for the shards; `read_shards` lists them.
      decoding_threads: see `ScoreImages`.

    Raises:
      ConfigError: `decoding_threads` is less than 1; the images are unbounded, or not in the global
        window.
    """

    def __init__(self, config: Configuration, folder: str, decoding_threads: int = 1):
        super().__init__()
        check_range(1, decoding_threads=decoding_threads)
        self._config, self._folder = config, folder
        self._decoding_threads = decoding_threads

    def expand(self, images: ImageRecords) -> PCollection[str]:
        check_whole(images.records, "DecodeToShards")
        config, group = self._config, self._config.training.group
        columns = [ID, IMAGE, *([TARGET] if config.target else [])]
        column = None if group is None else group_column(group)
        kept = {} if column is None else {GROUP: column}
        decode: beam.PTransform = DecodeImages(
            config.image, config.batch_rows, config.target, self._decoding_threads, kept
        )
        part = _Part(columns, GROUP if column and config.target else column)
        if config.image.tile is not None:
            decode, part = beam.ParDo(DrawTiles(config, column)), _Part(columns, GROUP)
        parted = (
            images.records
            | "Decode" >> decode
            | "Part" >> beam.ParDo(part).with_outputs(_REJECTS, main=_RECORDS)
        )
        summed(images.tallies) | "WriteTallies" >> beam.Map(
            _write_tallies, posixpath.join(self._folder, _TALLIES)
        )
        shards = [
            parted[name]
            | f"Write_{name}" >> WriteShards(self._folder, name, _LIMITS, lasting=False)
            for name in (_RECORDS, _REJECTS)
        ]
        return (
            shards
            | "Shards" >> beam.Flatten()
            | "Gather" >> beam.combiners.ToList()
            | "WriteList" >> beam.Map(_write_list, posixpath.join(self._folder, _SHARDS))
        )


def read_shards(folder: str) -> list[Shard]:
    """The shards that a finished `DecodeToShards` wrote to `folder`."""
    with open_binary(posixpath.join(folder, _SHARDS)) as file:
        return [Shard(**values) for values in json.load(file)]


def read_tallies(folder: str) -> Tallies:
    """What a finished `DecodeToShards` in `folder` read and passed over."""
    with open_binary(posixpath.join(folder, _TALLIES)) as file:
        return Tallies().add(json.load(file))


def record_ids(shards: Iterable[Shard], column: str = ID) -> Iterator[list[str]]:
    """Yields the ids (or, with `column` GROUP, the groups) of the records that were not rejected,
    in bounded lists."""
    for batch in _batches(shards, _ID_ROWS, [column]):
        yield batch.column(column).to_pylist()


def record_images(
    shards: Iterable[Shard], image: ImageConfig, column: str = IMAGE, grouped: bool = False
) -> Iterator[Batch | GroupedBatch]:
    """Yields the ids and images (or, with `column` TARGET, the targets) of these records and, if
    `grouped`, their groups, in bounded batches, in the order of `record_ids`."""
    rows = max(1, min(1024, _LIMITS.group_bytes // image.image_bytes))
    for batch in _batches(shards, rows, [ID, column, *([GROUP] if grouped else [])]):
        ids = batch.column(ID).to_pylist()
        pixels = pixels_from_arrow(batch.column(column), image.shape, np.dtype(image.dtype))
        yield (ids, pixels, batch.column(GROUP).to_pylist()) if grouped else (ids, pixels)


def _batches(shards: Iterable[Shard], rows: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for shard in shards:
        if shard.kind == _RECORDS:
            with open_binary(shard.path) as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
                yield from parquet.iter_batches(rows, columns=columns)


class AnalyzeStore(beam.PTransform):
    """tf.Transform's analysis of the images of a store.

    Args:
      store: the training records.
      config: the configuration, with the image's shape set.
      output: the folder to write; it must not exist.
      temporary: a folder for tf.Transform's temporary files.
      scale: the levels that become 0 and 1, for the scaling `quantile`.
    """

    def __init__(
        self,
        store: ImageStore,
        config: Configuration,
        *,
        output: str,
        temporary: str,
        scale: tuple[int, int],
    ):
        super().__init__()
        self._store, self._config, self._scale = store, config, scale
        self._layout = (store.shape[1:], store.dtype) if config.features.is_on else None
        self._folders = (output, temporary)

    def expand(self, pipeline: beam.Pipeline) -> Any:
        rows = max(1, min(1024, _LIMITS.group_bytes // self._store.image_bytes))
        return (
            pipeline
            | "Ranges" >> beam.Create(range(0, len(self._store), rows))
            | "Reshuffle" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(_ReadStore(self._store, rows)).with_output_types(pa.RecordBatch)
            | AnalyzePixels(
                self._config.image,
                self._config.preprocessing,
                *self._folders,
                self._scale,
                layout=self._layout,
            )
        )


class _ReadStore(beam.DoFn):
    """The start of a range of a store's rows → a batch of these rows."""

    def __init__(self, store: ImageStore, rows: int):
        self._store, self._rows = store, rows
        self._records = Metrics.counter("latentbeam", RECORDS_ANALYSED)

    def setup(self) -> None:
        self._progress = ProgressLog()

    def process(self, start: int) -> Iterable[pa.RecordBatch]:
        images = self._store.read(start, start + self._rows)
        yield pa.RecordBatch.from_arrays([pixels_to_arrow(images)], [IMAGE])
        self._records.inc(len(images))
        self._progress.add(len(images))
