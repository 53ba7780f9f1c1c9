"""The features of Beam's `RunInference`, with an unmodified `AutoencoderModelHandler`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import ModelMetadata, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that
from apache_beam.transforms.resources import MinRamHint

from ae_models.bundles.bundle import open_bundle
from transforms import (
    AutoencoderModelHandler,
    DecodeImages,
    ReadImages,
    ScoreImages,
    ScoreImagesByCategory,
    WriteScores,
)
from transforms.records.rejects import good_rows

Bundles = Callable[[str], Path]


def _decoded(pipeline: beam.Pipeline, bundle: Path, *where: str) -> beam.PCollection:
    read = pipeline | ReadImages("builtin:digits", where=where)
    return read.records | DecodeImages(open_bundle(bundle).config.image, 100)


def _models(batches: list[pa.RecordBatch]) -> set[str]:
    return {model for batch in batches for model in batch.column("model").to_pylist()}


def test_a_side_input_changes_the_model(bundle: Bundles, tmp_path: Path) -> None:
    old, new = bundle("ae"), bundle("dae")
    with beam.Pipeline("FnApiRunner") as pipeline:
        update = pipeline | beam.Create([ModelMetadata(str(new), "new")])
        inference = RunInference(AutoencoderModelHandler(str(old)), model_metadata_pcoll=update)
        scored = _decoded(pipeline, old) | inference
        scores = scored | beam.Map(good_rows).with_output_types(pa.RecordBatch)
        scores | WriteScores(str(tmp_path / "updated"))
    with beam.Pipeline("FnApiRunner") as pipeline:
        scored = pipeline | ReadImages("builtin:digits") | ScoreImages(str(new))
        scored | WriteScores(str(tmp_path / "new"))
    updated, expected = (
        pq.read_table(tmp_path / name / "scores").sort_by("id") for name in ("updated", "new")
    )
    assert set(updated["model"].to_pylist()) == {open_bundle(new).fingerprint}
    assert updated.equals(expected)


class _Forgetful(AutoencoderModelHandler):
    """Fails if a batch contains one particular record."""

    def run_inference(self, batch: Any, model: Any, inference_args: Any = None) -> Any:
        if any("digits/0" in element.column("id").to_pylist() for element in batch):
            raise RuntimeError("on purpose")
        return super().run_inference(batch, model, inference_args)


def test_a_batch_that_fails_goes_to_the_failed_inferences(bundle: Bundles) -> None:
    def check_failed(failed: list[Any]) -> None:
        ((batch, (kind, message, _)),) = failed
        assert kind is RuntimeError
        assert "on purpose" in message
        assert "digits/0" in batch[0].column("id").to_pylist()

    def check_rows(rows: list[int]) -> None:
        assert sum(rows) == 1797

    with beam.Pipeline("FnApiRunner") as pipeline:
        handler = _Forgetful(str(bundle("ae")), max_rows=100)
        inference = RunInference(handler).with_exception_handling()
        scored, dead_letters = _decoded(pipeline, bundle("ae")) | inference
        failed = dead_letters.failed_inferences
        assert_that(failed, check_failed, label="failed")
        lost = failed | beam.Map(lambda pair: sum(map(len, pair[0])))
        rows = (scored | beam.Map(len), lost) | beam.Flatten()
        assert_that(rows, check_rows, label="rows")


def test_wrong_pixels_are_a_failed_batch_too(bundle: Bundles) -> None:
    def check(failed: list[Any]) -> None:
        assert failed
        assert all("must be raw pixels" in message for _, (_, message, _) in failed)

    with beam.Pipeline("FnApiRunner") as pipeline:
        read = pipeline | ReadImages("builtin:digits", where=["label=0"])
        encoded = read.records | beam.Map(_without_layout).with_output_types(pa.RecordBatch)
        inference = RunInference(AutoencoderModelHandler(str(bundle("ae"))))
        _, dead_letters = encoded | inference.with_exception_handling()
        assert_that(dead_letters.failed_inferences, check)


def _without_layout(batch: pa.RecordBatch) -> pa.RecordBatch:
    fields = [field.remove_metadata() for field in batch.schema]
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields))


def test_metrics_are_those_of_run_inference_and_ours(bundle: Bundles) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    handler = AutoencoderModelHandler(str(bundle("ae")), max_rows=500)
    _decoded(pipeline, bundle("ae")) | RunInference(handler)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace("latentbeam"))
    counters = {metric.key.metric.name: metric.result for metric in found["counters"]}
    distributions = {metric.key.metric.name: metric.result for metric in found["distributions"]}
    assert counters["records_scored"] == 1797
    assert counters["num_inferences"] >= 1  # of batches
    assert distributions["inference_request_batch_byte_size"].sum > 1797 * 64
    assert distributions["inference_batch_latency_micro_secs"].sum > 0
    assert distributions["load_model_latency_milli_secs"].count == 1
    assert distributions["model_byte_size"].count == 1


@pytest.mark.parametrize("options", [{"large_model": True}, {"model_copies": 2}])
def test_a_model_shared_among_processes_scores_the_same(
    bundle: Bundles, tmp_path: Path, options: dict[str, Any]
) -> None:
    for name, arguments in (("own", {}), ("shared", options)):
        with beam.Pipeline("FnApiRunner") as pipeline:
            handler = AutoencoderModelHandler(str(bundle("vae")), **arguments)
            scored = _decoded(pipeline, bundle("vae")) | RunInference(handler)
            scores = scored | beam.Map(good_rows).with_output_types(pa.RecordBatch)
            scores | WriteScores(str(tmp_path / name))
    own, shared = (
        pq.read_table(tmp_path / name / "scores").sort_by("id") for name in ("own", "shared")
    )
    assert own.equals(shared)


def _hinted_steps(pipeline: beam.Pipeline) -> set[str]:
    """The names of the steps whose environment requests 4 GB."""
    proto = pipeline.to_runner_api()
    hinted = {
        name
        for name, environment in proto.components.environments.items()
        if environment.resource_hints.get(MinRamHint.urn) == b"4000000000"
    }
    steps = proto.components.transforms.values()
    return {step.unique_name for step in steps if step.environment_id in hinted}


def test_resource_hints_reach_the_pipelines_environments(bundle: Bundles) -> None:
    model = str(bundle("ae"))
    by_category = ScoreImagesByCategory({"0": model}, "label")
    for scoring, steps in (
        (ScoreImages(model), ("Decode/Decode", "RunInference/BeamML_RunInference")),
        (by_category, ("Route", "Decode/Decode", "RunInference/BeamML_RunInference")),
    ):
        pipeline = beam.Pipeline("FnApiRunner", options=PipelineOptions([]))
        images = pipeline | ReadImages("builtin:digits")
        images | "Score" >> scoring.with_resource_hints(min_ram="4GB")
        hinted = _hinted_steps(pipeline)
        for step in steps:
            assert any(name.startswith(f"Score/{step}") for name in hinted), step
        assert not any(name.startswith("ReadImages") for name in hinted)


def test_resource_hints_of_plain_run_inference(bundle: Bundles) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    handler = AutoencoderModelHandler(str(bundle("ae")))
    inference = RunInference(handler).with_resource_hints(min_ram="4GB")
    _decoded(pipeline, bundle("ae")) | "Infer" >> inference
    hinted = _hinted_steps(pipeline)
    assert any(name.startswith("Infer/BeamML_RunInference") for name in hinted)
    assert not any(name.startswith("DecodeImages") for name in hinted)
