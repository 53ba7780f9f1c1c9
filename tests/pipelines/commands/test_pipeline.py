"""The entire pipeline on Beam's local engine, used by the command and from Python code."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.testing.util import assert_that, equal_to
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.errors import InputError, OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support.digits import digit_pixels
from tests.support.reading import read_batches
from transforms import AutoencoderModelHandler, ReadImages, ScoreImages, WriteScores
from transforms.images.decode import DecodeImages
from transforms.images.decode_batch import decode_batch
from transforms.records.batches import BatchLimits
from transforms.runs.ledger import read_ledger
from transforms.runs.run_lock import held

Bundles = Callable[[str], Path]
Runs = Callable[..., Path]


def _scores(run: Path) -> pa.Table:
    return pq.read_table(run / "scores").sort_by("id")


@pytest.mark.parametrize("kind", ["ae", "dae", "vae"])
def test_each_kind_writes_one_typed_row_a_record(
    bundle: Bundles, digits_run: Runs, kind: str
) -> None:
    table = _scores(digits_run(kind))
    latent = pa.list_(pa.float32(), 6)
    assert len(table) == len(set(table["id"].to_pylist())) == 1797
    assert table.schema.field("latent_mean").type.equals(latent)
    assert ("latent_stddev" in table.column_names) == (kind == "vae")
    assert table.schema.field("score").type == pa.float32()
    assert table.schema.field("p_value").type == pa.float64()
    assert table.schema.field("is_anomaly").type == pa.bool_()
    assert pa.types.is_dictionary(table.schema.field("model").type)
    assert set(table["model"].to_pylist()) == {open_bundle(bundle(kind)).fingerprint}
    assert table["score"].equals(table["score_reconstruction_smoothed"])
    flags = table["p_value"].to_numpy() <= 0.05
    assert np.array_equal(table["is_anomaly"].to_numpy(), flags)


def test_rows_hold_what_the_scorer_gives_for_their_own_image(
    bundle: Bundles, digits_run: Runs
) -> None:
    opened = open_bundle(bundle("vae"))
    digits = load_digits()
    pixels = digit_pixels()
    expected = Scorer(opened.path, opened.config).score(pixels)
    rows = {row["id"]: row for row in pq.read_table(digits_run("vae") / "scores").to_pylist()}
    for index in (0, 1, 700, 1796):
        row = rows[f"digits/{index}"]
        assert row["label"] == digits.target[index]
        assert row["score_negative_elbo"] == expected["score_negative_elbo"][index]
        assert row["latent_mean"] == expected["latent_mean"][index].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["multi_processing", "multi_threading"])
def test_workers_change_no_bit(
    bundle: Bundles, digits_run: Runs, tmp_path: Path, mode: str
) -> None:
    model = str(bundle("vae"))
    flags = [f"--direct_running_mode={mode}", "--direct_num_workers=2"]
    score(["builtin:digits"], model, str(tmp_path / "two"), beam_flags=flags)
    assert _scores(digits_run("vae")).equals(_scores(tmp_path / "two"))


def test_error_maps_come_out_as_a_column(bundle: Bundles, tmp_path: Path) -> None:
    model = str(bundle("ae"))
    score(["builtin:digits"], model, str(tmp_path / "run"), error_maps=True)
    table = _scores(tmp_path / "run")
    assert table.schema.field("error_map").type.equals(pa.list_(pa.float32(), 64))
    maps = table["error_map"].combine_chunks().flatten().to_numpy().reshape(-1, 64)
    np.testing.assert_allclose(maps.mean(axis=1), table["score_reconstruction_mse"], rtol=1e-4)
    assert table["p_value"].to_numpy().min() < 1.0


def test_batch_size_changes_no_bit(bundle: Bundles, tmp_path: Path) -> None:
    model = str(bundle("ae"))
    for name, rows in (("large", 512), ("small", 7)):
        with beam.Pipeline(runner="FnApiRunner") as pipeline:
            limits = BatchLimits(rows=rows)
            scored = pipeline | ReadImages("builtin:digits", limits=limits) | ScoreImages(model)
            scored | WriteScores(str(tmp_path / name))
    assert _scores(tmp_path / "large").equals(_scores(tmp_path / "small"))


def test_bad_files_become_rejects_and_the_run_goes_on(
    bundle: Bundles, tmp_path: Path, image_folder: Path
) -> None:
    run = tmp_path / "run"
    ledger = score([str(image_folder)], str(bundle("ae")), str(run))
    assert ledger["records"] == {
        "read": 44,
        "scored": 40,
        "rejected": 4,
        "rejected_by_reason": {"corrupt": 1, "empty": 1, "not_an_image": 1, "wrong_channels": 1},
        "excluded_by_where": 0,
    }
    assert ledger["files_passed_over"] == 1
    rejects = {row["id"]: row for row in pq.read_table(run / "rejects").to_pylist()}
    assert rejects["bad/zero.png"]["stage"] == "read"
    assert rejects["bad/cut.png"]["stage"] == "decode"
    assert rejects["bad/colour.png"]["message"] == "3 channels, not 1"
    assert (run / "_SUCCESS").exists()
    assert verify(str(run), [str(image_folder)])["ok"]


def test_verify_names_a_record_that_is_not_there(
    bundle: Bundles, tmp_path: Path, image_folder: Path
) -> None:
    run = tmp_path / "run"
    score([str(image_folder)], str(bundle("ae")), str(run))
    (image_folder / "0" / "0.png").rename(image_folder / "0" / "new.png")
    result = verify(str(run), [str(image_folder)])
    assert not result["ok"]
    assert result["examples"] == {"missing": ["0/new.png"], "unexpected": ["0/0.png"]}


def test_where_chooses_records_and_verify_follows(bundle: Bundles, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ledger = score(["builtin:digits"], str(bundle("ae")), str(run), where=["label=3,4"])
    expected = int(np.isin(load_digits().target, [3, 4]).sum())
    assert ledger["records"]["read"] == ledger["records"]["scored"] == expected
    assert ledger["records"]["excluded_by_where"] == 1797 - expected
    assert verify(str(run), ["builtin:digits"])["expected"] == expected


def test_portable_schema_reads_in_duckdb_with_the_same_values(digits_run: Runs) -> None:
    runs = [digits_run("vae", portable_schema=portable) for portable in (False, True)]
    schema = pq.read_schema(next((runs[1] / "scores").iterdir()))
    assert schema.field("latent_mean").type.equals(pa.list_(pa.field("item", pa.float32())))
    assert schema.field("score").type == pa.float64()
    assert schema.field("model").type == pa.string()
    query = "select count(*), sum(o.score = p.score) from '{}' o join '{}' p using (id)"
    paths = [str(run / "scores" / "*.parquet") for run in runs]
    assert duckdb.sql(query.format(*paths)).fetchall() == [(1797, 1797)]


def test_a_folder_with_results_is_kept_until_overwritten(bundle: Bundles, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    first = score(["builtin:digits"], str(bundle("ae")), run)
    with pytest.raises(OutputError, match="already contains results"):
        score(["builtin:digits"], str(bundle("ae")), run)
    assert read_ledger(run)["run_id"] == first["run_id"]
    second = score(["builtin:digits"], str(bundle("ae")), run, where=["label=1"], overwrite=True)
    assert len(_scores(tmp_path / "run")) == second["records"]["scored"] < 1797
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "_SUCCESS",
        "passed_over",
        "regions",
        "rejects",
        "run.json",
        "scores",
    ]


def test_a_folder_that_a_run_holds_is_refused(bundle: Bundles, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    with held(run), pytest.raises(OutputError, match="another run is writing to"):
        score(["builtin:digits"], str(bundle("ae")), run)
    score(["builtin:digits"], str(bundle("ae")), run)


def test_of_two_runs_into_one_folder_the_first_to_finish_stays(
    bundle: Bundles, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    pipelines = []
    for label in (1, 2):  # both are built while the folder is free
        pipelines.append(beam.Pipeline("FnApiRunner"))
        read = pipelines[-1] | ReadImages("builtin:digits", where=[f"label={label}"])
        read | ScoreImages(str(bundle("ae"))) | WriteScores(str(run))
    pipelines[0].run()
    with pytest.raises(Exception, match="already contains results"):
        pipelines[1].run()
    assert set(_scores(run)["label"].to_pylist()) == {1}


def test_a_failed_run_leaves_no_result(bundle: Bundles, tmp_path: Path) -> None:
    def fail(batch: pa.RecordBatch) -> pa.RecordBatch:
        raise RuntimeError("on purpose")

    run = tmp_path / "run"
    pipeline = beam.Pipeline("FnApiRunner")
    scored = pipeline | ReadImages("builtin:digits") | ScoreImages(str(bundle("ae")))
    broken = scored.scores | beam.Map(fail).with_output_types(pa.RecordBatch)
    scored._replace(scores=broken) | WriteScores(str(run))
    with pytest.raises(RuntimeError, match="on purpose"):
        pipeline.run()
    assert not (run / "_SUCCESS").exists()
    assert not (run / "scores").exists()


def test_scores_alone_can_be_written(bundle: Bundles, tmp_path: Path) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        scored = pipeline | ReadImages("builtin:digits") | ScoreImages(str(bundle("ae")))
        scored.scores | WriteScores(str(tmp_path / "run"))
    ledger = json.loads((tmp_path / "run" / "run.json").read_text())
    assert ledger["records"]["scored"] == 1797
    assert ledger["records"]["rejected"] is None


def test_plain_run_inference_takes_the_handler(bundle: Bundles) -> None:
    model = bundle("ae")
    image = open_bundle(model).config.image
    with beam.Pipeline("FnApiRunner") as pipeline:
        read = pipeline | ReadImages("builtin:digits", where=["label=0"])
        rows = (
            read.records
            | DecodeImages(image, 100)
            | RunInference(AutoencoderModelHandler(str(model)))
            | beam.Map(len)
            | beam.CombineGlobally(sum)
        )
        assert_that(rows, equal_to([178]))


def test_a_gathered_batch_scores_as_its_elements_do(bundle: Bundles) -> None:
    model = bundle("vae")
    handler = AutoencoderModelHandler(str(model))
    loaded = handler.load_model()
    (whole,) = read_batches("builtin:digits")
    decoded = decode_batch(whole, open_bundle(model).config.image)
    bounds = [0, 5, 700, 700, 1030, 1797]  # some within a call of the model, some across, one empty
    elements = [decoded.slice(a, b - a) for a, b in itertools.pairwise(bounds)]
    together = list(handler.run_inference(elements, loaded))
    assert [len(scored) for scored in together] == [len(element) for element in elements]
    (alone,) = handler.run_inference([decoded], loaded)
    assert pa.Table.from_batches(together).combine_chunks().equals(pa.Table.from_batches([alone]))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.float64(), pa.dictionary(pa.int32(), pa.string())]
)
def test_records_without_a_label_are_neither_normal_nor_anomalous(
    digits_run: Runs, tmp_path: Path, kind: pa.DataType
) -> None:
    run = shutil.copytree(digits_run("ae"), tmp_path / "run")
    part = run / "scores" / "part-00000-of-00001.parquet"
    table = pq.read_table(part)
    labels = table["label"].combine_chunks()
    unknown = pa.array([number % 3 == 0 for number in range(len(table))])
    column = pc.if_else(unknown, None, labels.cast(pa.string() if kind != pa.float64() else kind))
    if kind == pa.float64():
        column = pc.fill_null(column, float("nan"))
    index = table.schema.get_field_index("label")
    pq.write_table(table.set_column(index, "label", column.cast(kind)), part)
    known = table.filter(pc.invert(unknown))
    truth = pc.not_equal(known["label"], 0).to_numpy()
    for condition, expected in (("label!=0", truth), ("label=0", ~truth)):
        found = evaluate(str(run), condition)
        assert (found["records"], found["unlabelled"]) == (len(known), len(table) - len(known))
        assert found["anomalous"] == expected.sum()
        score = known["score"].to_numpy()
        assert found["auroc"]["value"] == pytest.approx(roc_auc_score(expected, score))


def test_verify_finds_files_that_are_gone_or_foreign(digits_run: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(digits_run("ae"), tmp_path / "run")
    part = run / "scores" / "part-00000-of-00001.parquet"
    part.rename(run / "scores" / "other.parquet")
    problems = verify(str(run), ["builtin:digits"])["problems"]
    assert problems[0] == f"{run}/scores/other.parquet is not in the ledger"
    assert problems[1].startswith(f"cannot read {part}: ")
    with pytest.raises(InputError, match="cannot read"):
        evaluate(str(run), "label=0")


def test_what_dead_runs_left_goes_with_the_next(bundle: Bundles, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / ".staging-dead").mkdir(parents=True)
    (run / ".staging-dead" / "scores-1.parquet").write_bytes(b"half")
    score(["builtin:digits"], str(bundle("ae")), str(run))
    assert not (run / ".staging-dead").exists()
