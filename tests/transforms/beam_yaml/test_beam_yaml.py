"""Reading, scoring and writing in Beam YAML files, run by Beam's own main program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.portability.api import schema_pb2
from apache_beam.yaml import yaml_provider
from sklearn.datasets import load_digits

from ae_models.errors import ConfigError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support.beam_yaml import run_yaml
from transforms.beam_yaml import transforms as yaml_transforms

Bundles = Callable[[str], Path]
INCLUDED = f"- include: {yaml_transforms.PROVIDERS}"
INLINE = """
- type: python
  config: {}
  transforms:
    ReadImages: transforms.beam_yaml.transforms.ReadImages
    ScoreImages: transforms.beam_yaml.transforms.ScoreImages
    WriteScores: transforms.beam_yaml.transforms.WriteScores
"""
TO_A_RUN_FOLDER = """
pipeline:
  transforms:
    - type: ReadImages
      config: {{inputs: [{images}], tallies: tallies}}
    - type: ScoreImages
      input: ReadImages.records
      config: {{model: {model}, error_handling: {{output: rejects}}}}
    - type: WriteScores
      input: {{scores: ScoreImages, rejects: ScoreImages.rejects, tallies: ReadImages.tallies}}
      config: {{output: {output}, facts: {{team: paint shop}}}}
providers: {providers}
"""
ANOMALIES = """
pipeline:
  type: chain
  transforms:
    - type: ReadImages
      config: {{inputs: ['builtin:digits']}}
    - type: ScoreImages
      config: {{model: {model}, fpr: 0.2, outputs: [latent_mean]}}
    - type: Filter
      config: {{language: python, keep: is_anomaly and label > 0}}
    - type: WriteToParquet
      config: {{path: {output}}}
providers: {providers}
"""


def _run(pipeline: str, tmp_path: Path, **values: Any) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(pipeline.format(**values))
    run_yaml(str(path))


@pytest.mark.parametrize("providers", [INLINE, INCLUDED], ids=["inline", "included"])
def test_a_run_folder_holds_what_the_command_writes(
    bundle: Bundles, tmp_path: Path, image_folder: Path, providers: str
) -> None:
    run, model = tmp_path / "run", bundle("vae")
    providers = "\n" + providers
    _run(
        TO_A_RUN_FOLDER, tmp_path, images=image_folder, model=model, output=run, providers=providers
    )
    score([str(image_folder)], str(model), str(tmp_path / "command"))
    ours, theirs = (
        json.loads((path / "run.json").read_text()) for path in (run, tmp_path / "command")
    )
    assert ours["records"] == theirs["records"]
    assert ours["records"]["rejected"] == 4
    assert ours["files_passed_over"] == theirs["files_passed_over"] == 1
    assert ours["team"] == "paint shop"
    for name in ("scores", "rejects"):
        found, expected = (
            pq.read_table(path / name).sort_by("id").to_pylist()
            for path in (run, tmp_path / "command")
        )
        assert found == expected
    assert verify(str(run), [str(image_folder)])["ok"]
    metrics, expected = (evaluate(str(path), "label=1") for path in (run, tmp_path / "command"))
    # Its ledger names no model, hence no primary score and no thresholds of other scores.
    rows = [{row["name"]: row for row in found.pop("scores")} for found in (metrics, expected)]
    assert metrics == expected
    assert rows[0].keys() == {"score", *rows[1]}
    for name, row in rows[1].items():
        assert (rows[0][name]["auroc"], row["flagged"] is None) == (row["auroc"], False)


def test_columns_are_of_portable_types(bundle: Bundles, tmp_path: Path, image_folder: Path) -> None:
    run = tmp_path / "run"
    providers = "\n" + INLINE
    _run(
        TO_A_RUN_FOLDER,
        tmp_path,
        images=image_folder,
        model=bundle("vae"),
        output=run,
        providers=providers,
    )
    schema = pq.read_schema(next((run / "scores").iterdir()))
    assert schema.field("latent_mean").type == pa.list_(pa.float64())
    assert schema.field("p_value").type == schema.field("score_kl").type == pa.float64()
    assert schema.field("is_anomaly").type == pa.bool_()
    assert schema.field("model").type == schema.field("label").type == pa.string()


def test_beams_own_transforms_follow(bundle: Bundles, tmp_path: Path) -> None:
    values = {"model": bundle("ae"), "providers": "\n" + INLINE}
    _run(ANOMALIES, tmp_path, output=tmp_path / "anomalies", **values)
    score(["builtin:digits"], str(bundle("ae")), str(tmp_path / "run"), fpr=0.2)
    expected = {
        row["id"]: row
        for row in pq.read_table(tmp_path / "run" / "scores").to_pylist()
        if row["is_anomaly"] and row["label"] > 0
    }
    assert 0 < len(expected) < 1797
    (path,) = tmp_path.glob("anomalies*")
    found = pq.read_table(path).to_pylist()
    names = ["id", "source", "label", "latent_mean", "score", "p_value", "is_anomaly", "model"]
    assert len(found) == len(expected)
    for row in found:
        assert list(row) == names
        assert row == {name: expected[row["id"]][name] for name in names}


def test_without_error_handling_a_reject_fails_the_pipeline(
    bundle: Bundles, tmp_path: Path, image_folder: Path
) -> None:
    pipeline = ANOMALIES.replace("'builtin:digits'", str(image_folder))
    values = {"model": bundle("ae"), "output": tmp_path / "out"}
    with pytest.raises(Exception, match=r"bad/.*png: .*; to continue and .*, set error_handling"):
        _run(pipeline, tmp_path, providers="\n" + INLINE, **values)


def test_rejects_that_nobody_takes_are_refused_by_beam(
    bundle: Bundles, tmp_path: Path, image_folder: Path
) -> None:
    pipeline = TO_A_RUN_FOLDER.replace(", rejects: ScoreImages.rejects", "")
    values = {"images": image_folder, "model": bundle("ae"), "output": tmp_path / "run"}
    with pytest.raises(ValueError, match="Unconsumed error output"):
        _run(pipeline, tmp_path, providers="\n" + INLINE, **values)


def test_rows_of_any_origin_are_scored(
    bundle: Bundles, digits_run: Callable[..., Path], tmp_path: Path
) -> None:
    """Rows as from `ReadFromBigQuery` or `ReadFromParquet`; reserved names are renamed."""
    digits = load_digits()
    rows = [
        beam.Row(
            id=f"row {index}",
            image=np.rint(digits.images[index] * (255 / 16)).astype(np.uint8).tobytes(),
            image_shape=[8, 8],
            image_dtype="uint8",
            score=float(index),
            tags=["a", "b"],
        )
        for index in range(30)
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        scored = (
            pipeline
            | beam.Create(rows)
            | yaml_transforms.ScoreImages(str(bundle("ae")), error_handling={"output": "rejects"})
        )
        scores = {"scores": scored["good"], "rejects": scored["rejects"]}
        scores | yaml_transforms.WriteScores(str(tmp_path / "rows"))
    found = pq.read_table(tmp_path / "rows" / "scores").to_pylist()
    expected = {row["id"]: row for row in pq.read_table(digits_run("ae") / "scores").to_pylist()}
    assert len(found) == 30
    for row in found:
        number = row["id"].removeprefix("row ")
        assert row["score"] == expected[f"digits/{number}"]["score"]
        assert row["input_score"] == int(number)
        assert row["tags"] == ["a", "b"]
        assert row["source"] == ""
    records = json.loads((tmp_path / "rows" / "run.json").read_text())["records"]
    assert (records["read"], records["scored"], records["rejected"]) == (None, 30, 0)


def test_config_keys_are_typed_and_documented() -> None:
    (provider,) = yaml_provider.load_providers(yaml_transforms.PROVIDERS)
    expected = {
        "ReadImages": {
            **{"inputs": "array", "where": "array", "exclude": "array"},
            **dict.fromkeys(("tallies", "format"), schema_pb2.STRING),
            **dict.fromkeys(("image_column", "id_column", "label_column"), schema_pb2.STRING),
            "follow_links": schema_pb2.BOOLEAN,
        },
        "ScoreImages": {
            "model": schema_pb2.STRING,
            "fpr": schema_pb2.DOUBLE,
            "outputs": "array",
            "error_maps": schema_pb2.BOOLEAN,
            "error_handling": "map",
            "primary": schema_pb2.STRING,
        },
        "WriteScores": {
            "output": schema_pb2.STRING,
            "overwrite": schema_pb2.BOOLEAN,
            "facts": "map",
        },
    }
    assert set(provider.provided_transforms()) == set(expected)
    for name, keys in expected.items():
        fields = provider.config_schema(name).fields
        kinds = {
            field.name: field.type.atomic_type
            or (field.type.WhichOneof("type_info") or "").removesuffix("_type")
            for field in fields
        }
        assert kinds == keys
        assert all(field.description for field in fields)
        assert provider.description(name)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: yaml_transforms.ScoreImages("m", fpr=2.0),
            "ScoreImages.fpr must be above 0",
        ),
        (lambda: yaml_transforms.ScoreImages("m", fpr=True), "ScoreImages.fpr must be of type"),
        (lambda: yaml_transforms.ScoreImages(3), "ScoreImages.model must be of type str"),  # type: ignore[arg-type]
        (
            lambda: yaml_transforms.ScoreImages("m", error_handling={"to": "x"}),
            "error_handling must be {output: NAME}",
        ),
        (lambda: yaml_transforms.ReadImages([3]), "ReadImages.inputs must be of type str"),  # type: ignore[list-item]
        (lambda: yaml_transforms.WriteScores("o", "yes"), "WriteScores.overwrite must be of"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_value_is_named(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_rows_that_do_not_fit_are_refused(bundle: Bundles, tmp_path: Path) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    numbers = pipeline | "Numbers" >> beam.Create([1, 2])
    nameless = pipeline | "Nameless" >> beam.Create([beam.Row(image=b"")])
    text = pipeline | "Text" >> beam.Create([beam.Row(id="a", image="b")])
    scoring = lambda: yaml_transforms.ScoreImages(str(bundle("ae")))  # noqa: E731
    writing = lambda: yaml_transforms.WriteScores(str(tmp_path / "run"))  # noqa: E731
    for rows, transform, message in (
        (numbers, scoring(), "expected rows with a schema"),
        (nameless, scoring(), "need a field 'id' of type string"),
        (text, scoring(), "need a field 'image' of type binary. Received: string"),
        (nameless, writing(), "rows of scores need a field 'id'"),
        ({"rejects": text}, writing(), "needs an input `scores`"),
        ({"score": text}, writing(), "no input 'score'; did you mean 'scores'?"),
    ):
        with pytest.raises(ConfigError, match=message):
            rows | message >> transform
