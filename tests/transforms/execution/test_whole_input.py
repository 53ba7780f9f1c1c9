"""Streams and windows: scored as they arrive, rejected by what computes one result from all."""

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue

from ae_models.errors import ConfigError
from tests.support.reading import read_batches
from transforms import ReadImages, ScoredRecords, ScoreImages, WriteScores

Bundles = Callable[[str], Path]


def _windowed(pipeline: beam.Pipeline) -> PCollection[pa.RecordBatch]:
    (batch,) = read_batches("builtin:digits")
    parts = [TimestampedValue(batch.slice(10 * n, 10), 60 * n) for n in range(3)]
    timed = pipeline | beam.Create(parts) | beam.Map(lambda part: part)
    return timed | beam.WindowInto(FixedWindows(60))


def test_windows_are_scored_and_not_written(bundle: Bundles, tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        scored = _windowed(pipeline) | ScoreImages(str(bundle("ae")))
        with pytest.raises(ConfigError, match=r"global window.*in FixedWindows"):
            scored | "windows" >> WriteScores(str(tmp_path / "windows"))
        with pytest.raises(ConfigError, match="global window"):
            scored.scores | "scores" >> WriteScores(str(tmp_path / "windows"))
        count = beam.combiners.CountCombineFn()
        rows = scored.scores | beam.FlatMap(lambda batch: batch.column("id").to_pylist())
        each = rows | beam.CombineGlobally(count).without_defaults()
        assert_that(each, equal_to([10, 10, 10]))
        whole = ScoredRecords(
            scored.scores | "scores again" >> beam.WindowInto(GlobalWindows()),
            scored.rejects | "rejects again" >> beam.WindowInto(GlobalWindows()),
            None,
        )
        whole | "whole" >> WriteScores(str(tmp_path / "whole"))
    assert (tmp_path / "whole" / "_SUCCESS").exists()
    assert not (tmp_path / "windows").exists()


def test_a_stream_is_not_written(bundle: Bundles, tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner", PipelineOptions(streaming=True))
    (batch,) = read_batches("builtin:digits")
    stream = pipeline | Stream().add_elements([batch]).advance_watermark_to_infinity()
    scored = stream | ScoreImages(str(bundle("ae")))
    with pytest.raises(ConfigError, match=r"input must be bounded.*which is unbounded"):
        scored | WriteScores(str(tmp_path / "run"))


def test_inputs_are_read_at_the_start_of_a_pipeline() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    with pytest.raises(ConfigError, match="ReadImages must begin a pipeline"):
        pipeline | beam.Create([0]) | ReadImages("builtin:digits")
