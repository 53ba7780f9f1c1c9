"""From image records to what training reads: decoded splits on disk, and tf.Transform's output."""

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import with_output_types

from ae_models.config.configuration import Configuration, ImageConfig, TrainingConfig
from ae_models.training.image_store import Batch
from ae_models.training.splits import SPLITS, TRAIN, assign_splits, id_hashes
from transforms.execution.composite import Composite
from transforms.execution.timing import ProgressLog
from transforms.images.decode import DecodeImages
from transforms.reading.read import ImageRecords
from transforms.records.batches import ID, IMAGE, TARGET
from transforms.records.pixels import pixels_from_arrow
from transforms.records.rejects import good_rows, reject_rows
from transforms.records.tallies import Tallies
from transforms.runs.gather import summed
from transforms.runs.shards import Shard, ShardLimits, WriteShards
from transforms.storage.changes import write_text
from transforms.storage.files import open_binary
from transforms.training.analysis import AnalyzePixels

_REJECTS = "rejects"
_SHARDS, _TALLIES = "shards.json", "tallies.json"
# Pixels are read back once, in whole row groups: small ones, and no time spent on compression.
_LIMITS = ShardLimits(group_rows=4096, group_bytes=16 << 20, compression="none")


@with_output_types(pa.RecordBatch)
class _Split(beam.DoFn):
    def __init__(self, config: TrainingConfig, columns: list[str]):
        self._shares = (config.validation_share, config.calibration_share)
        self._columns = columns

    def setup(self) -> None:
        self._progress = ProgressLog()

    def process(self, batch: pa.RecordBatch) -> Iterable[Any]:
        rejects = reject_rows(batch)
        if len(rejects):
            yield TaggedOutput(_REJECTS, rejects)
        records = good_rows(batch).select(self._columns)
        splits = assign_splits(id_hashes(records.column(ID).to_pylist()), *self._shares)
        for split in SPLITS:
            own = records.filter(pa.array(splits == split))
            if len(own):
                yield TaggedOutput(split, own)
        self._progress.add(len(batch))


def _write_tallies(tallies: pa.RecordBatch, path: str) -> None:
    write_text(path, json.dumps(tallies.to_pylist(), indent=2))


def _write_list(shards: list[Shard], path: str) -> str:
    write_text(path, json.dumps([vars(shard) for shard in shards], indent=2))
    return path


class PrepareTraining(Composite):
    """Decodes, splits by the hash of the id, writes the splits, and analyses the training split.

    Args:
      config: with the image's shape known.
      folder: for the splits; `read_shards` tells what is in it.
      transform_output: for tf.Transform's output.
      decoding_threads: as `ScoreImages` has it.
    """

    def __init__(
        self,
        config: Configuration,
        folder: str,
        transform_output: str,
        decoding_threads: int = 1,
    ):
        super().__init__()
        self._config, self._folder, self._transform_output = config, folder, transform_output
        self._decoding_threads = decoding_threads

    def expand(self, images: ImageRecords) -> PCollection[str]:
        config = self._config
        columns = [ID, IMAGE, *([TARGET] if config.target else [])]
        rows = config.batch_rows
        split = (
            images.records
            | "Decode" >> DecodeImages(config.image, rows, config.target, self._decoding_threads)
            | "Split"
            >> beam.ParDo(_Split(config.training, columns)).with_outputs(_REJECTS, *SPLITS)
        )
        split[TRAIN] | AnalyzePixels(
            config.image,
            config.preprocessing,
            self._transform_output,
            posixpath.join(self._folder, "tft"),
        )
        summed(images.tallies) | "WriteTallies" >> beam.Map(
            _write_tallies, posixpath.join(self._folder, _TALLIES)
        )
        shards = [
            split[name] | f"Write_{name}" >> WriteShards(self._folder, name, _LIMITS)
            for name in (*SPLITS, _REJECTS)
        ]
        return (
            shards
            | "Shards" >> beam.Flatten()
            | "Gather" >> beam.combiners.ToList()
            | "WriteList" >> beam.Map(_write_list, posixpath.join(self._folder, _SHARDS))
        )


def read_shards(folder: str) -> list[Shard]:
    """The shards that a finished `PrepareTraining` left in `folder`."""
    with open_binary(posixpath.join(folder, _SHARDS)) as file:
        return [Shard(**values) for values in json.load(file)]


def read_tallies(folder: str) -> Tallies:
    """What was read and passed over by the `PrepareTraining` that has finished in `folder`."""
    with open_binary(posixpath.join(folder, _TALLIES)) as file:
        return Tallies().add(json.load(file))


def split_reader(
    shards: Iterable[Shard], split: str, image: ImageConfig, column: str = IMAGE
) -> Callable[[], Iterator[Batch]]:
    """A function that gives the ids and images, or with `column` the targets, of one split's
    records, in bounded batches."""
    paths = [shard.path for shard in shards if shard.kind == split]
    rows = max(1, min(1024, _LIMITS.group_bytes // image.image_bytes))

    def read() -> Iterator[Batch]:
        for path in paths:
            with open_binary(path) as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(rows, columns=[ID, column]):
                    pixels = pixels_from_arrow(
                        batch.column(column), image.shape, np.dtype(image.dtype)
                    )
                    yield batch.column(ID).to_pylist(), pixels

    return read
