"""`latentbeam classify`: from a run that `score` wrote to a folder of class probabilities."""

import io
import itertools
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, log_loss

from ae_models.errors import ConfigError, InputError, OutputError
from ae_models.latents.array_file import read_arrays, write_arrays
from ae_models.latents.classes.metrics import SUMS_SHAPE, class_metrics, metric_sums
from ae_models.latents.classes.model import ClassModel
from pipelines.commands.classify import ClassConfig, classify
from tests.support.command import run_command
from tests.support.finished_run import write_run
from transforms.results.assign_classes import classes_schema, classify_batch, summary
from transforms.results.reader import vectors

_NAMES = ("a", "b", "c")


@pytest.fixture(scope="module", params=["ae", "vae"])
def run(request: pytest.FixtureRequest, digits_run: Callable[..., Path]) -> Path:
    return digits_run(request.param)


def _table(
    seed: int = 0, rows: int = 900, label: Callable[[int], Any] = lambda n: _NAMES[n % 3]
) -> pa.Table:
    """Records around three corners of a triangle, with posteriors."""
    generator = np.random.default_rng(seed)
    points = 4 * np.eye(3, 2)[np.arange(rows) % 3] + generator.normal(size=(rows, 2))
    return pa.table(
        {
            "id": [f"r{n:04d}" for n in range(rows)],
            "label": pa.array([label(n) for n in range(rows)]),
            "latent_mean": _lists(points),
            "latent_stddev": _lists(generator.uniform(0.1, 1, points.shape)),
        }
    )


def _lists(values: np.ndarray) -> pa.Array:
    flat = pa.array(values.astype(np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _run(folder: Path, table: pa.Table, files: int = 2) -> str:
    cuts = np.linspace(0, len(table), files + 1).astype(int)
    return write_run(folder, *(table.slice(a, b - a) for a, b in itertools.pairwise(cuts)))


def _found(folder: Path) -> pa.Table:
    return pq.read_table(folder / "classes").sort_by("id")


def _model(folder: Path) -> ClassModel:
    with (folder / "model.npz").open("rb") as file:
        return ClassModel.from_arrays(read_arrays(file, "model.npz"))


def test_every_record_has_class_probabilities(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "classes"
    arguments = ["classify", "--scores", str(run), "--output", str(output), "--fpr", "0.05"]
    status, out, err = run_command([*arguments, "--json"], capsys)
    assert status == 0, err
    ledger = json.loads(out)
    assert ledger == json.loads((output / "run.json").read_text())
    assert sorted(path.name for path in output.iterdir()) == [
        *("_SUCCESS", "classes", "model.npz", "run.json")
    ]
    scored, found = pq.read_table(run / "scores").sort_by("id"), _found(output)
    names = [entry["class"] for entry in ledger["classes"]]
    assert names == [str(digit) for digit in range(10)]
    assert found.schema.equals(classes_schema(names))
    assert found["id"].equals(scored["id"])
    # The model file gives the same bits.
    model = _model(output)
    has_stddevs = "latent_stddev" in scored.column_names
    stddevs = vectors(scored["latent_stddev"]) if has_stddevs else None
    again = model.posterior(vectors(scored["latent_mean"]), stddevs)
    probabilities = vectors(found["probabilities"])
    np.testing.assert_array_equal(probabilities, again.probabilities.astype(np.float32))
    evidence = found["log_evidence"].to_numpy()
    np.testing.assert_array_equal(evidence, again.log_evidence.astype(np.float32))
    np.testing.assert_array_equal(found["probability"].to_numpy(), probabilities.max(axis=1))
    # The p-value follows the definition, and determines which records have no class.
    below = (model.calibration[:, None] >= -evidence).sum(axis=0)
    p_values = (1 + below) / (len(model.calibration) + 1)
    np.testing.assert_allclose(found["evidence_p_value"].to_numpy(), p_values)
    best = [names[index] for index in probabilities.argmax(axis=1)]
    expected = [None if p <= 0.05 else name for p, name in zip(p_values, best, strict=True)]
    assert found["class"].to_pylist() == expected
    # The ledger's statements are true.
    labels = scored["label"].cast(pa.string()).to_pylist()
    assert ledger["records"] == len(found) == 1797
    assert ledger["no_class"] == expected.count(None) > 0
    assert ledger["evaluation"]["records"] == 1797
    assert ledger["evaluation"]["accuracy"] == pytest.approx(accuracy_score(labels, best))
    loss = log_loss(labels, again.probabilities, labels=names)
    assert ledger["evaluation"]["log_loss"] == pytest.approx(loss)
    assert sum(entry["records"] for entry in ledger["classes"]) == ledger["sample"]["fitted"]
    assert ledger["scores"] == ledger["applied_to"]
    assert ledger["scores"]["run_id"] == json.loads((run / "run.json").read_text())["run_id"]
    query = f"SELECT count(*) FILTER (class IS NULL) FROM '{output}/classes/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(ledger["no_class"],)]


def test_a_model_is_applied_to_another_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most records of the other run belong to no class, some to an unknown class."""
    other = _table(1, label=lambda n: [*_NAMES, "new", None][n % 5])
    far = _lists(np.full((900, 2), 50) + vectors(other["latent_mean"]))
    mixed = pa.concat_tables([other, other.set_column(2, "latent_mean", far)])
    mixed = mixed.set_column(0, "id", pa.array([f"s{n:04d}" for n in range(1800)]))
    scores, applied = _run(tmp_path / "run", _table()), _run(tmp_path / "other", mixed)
    output = tmp_path / "c"
    arguments = ["classify", "--scores", scores, "--apply", applied, "--output", str(output)]
    status, out, err = run_command(arguments, capsys)
    assert status == 0, err
    found, ledger = _found(output), json.loads((output / "run.json").read_text())
    assert found["id"].to_pylist() == mixed["id"].to_pylist()
    assert found["class"].to_pylist()[900:] == [None] * 900
    p_values = found["evidence_p_value"].to_numpy()
    assert np.mean(p_values[:900] <= 0.1) == pytest.approx(0.1, abs=0.06)
    assert (p_values[900:] == 1 / 181).all()
    assert ledger["evaluation"]["records"] == 1080
    assert (ledger["scores"]["path"], ledger["applied_to"]["path"]) == (scores, applied)
    assert ledger["sample"] == {"records": 900, "labelled": 900, "fitted": 720, "calibration": 180}
    assert out.splitlines()[:2] == [f"run: {output}", "classes: 3, fitted to 720 records"]
    assert f"records: 1800, {ledger['no_class']} without a class (evidence_p_value <= 0.01)" in out
    assert "agreement with label: accuracy " in out


def test_without_labels_there_is_no_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = _run(tmp_path / "run", _table())
    applied = _run(tmp_path / "other", _table(1).drop_columns(["label"]))
    arguments = ["classify", "--scores", scores, "--apply", applied]
    status, out, _ = run_command([*arguments, "--output", str(tmp_path / "c")], capsys)
    assert status == 0
    assert json.loads((tmp_path / "c" / "run.json").read_text())["evaluation"] is None
    assert "accuracy" not in out


def test_labels_may_be_numbers_and_some_missing(tmp_path: Path) -> None:
    table = _table(label=lambda n: None if n % 9 == 0 else n % 3)
    ledger = classify(_run(tmp_path / "run", table), str(tmp_path / "c"), ClassConfig())
    assert [entry["class"] for entry in ledger["classes"]] == ["0", "1", "2"]
    assert ledger["sample"]["labelled"] == ledger["evaluation"]["records"] == 800
    assert ledger["evaluation"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    "flags", [[], ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]]
)
def test_the_same_rows_however_they_are_read(flags: list[str], tmp_path: Path) -> None:
    table = _table()
    shuffled = table.take(pa.array(np.random.default_rng(2).permutation(900)))
    config = ClassConfig(components=2, sample=500, seed=7)
    first = classify(_run(tmp_path / "run", table), str(tmp_path / "a"), config)
    other = _run(tmp_path / "other", shuffled, files=7)
    second = classify(other, str(tmp_path / "b"), config, beam_flags=flags)
    assert _found(tmp_path / "a").equals(_found(tmp_path / "b"))
    assert (tmp_path / "a/model.npz").read_bytes() == (tmp_path / "b/model.npz").read_bytes()
    assert first["sample"]["records"] == 500
    assert first["evaluation"] == pytest.approx(second["evaluation"])


def test_a_finished_folder_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, output = _run(tmp_path / "run", _table()), tmp_path / "c"
    arguments = ["classify", "--scores", scores, "--output", str(output)]
    assert run_command(arguments, capsys)[0] == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    status, _, err = run_command(arguments, capsys)
    assert status == 2
    assert "already contains results" in err
    assert before == {path: path.read_bytes() for path in before}
    assert run_command([*arguments, "--overwrite", "--components", "2"], capsys)[0] == 0
    assert len(_model(output).weights) == 6


@pytest.mark.parametrize("place", ["run", "run/classes", "run/../other", "."])
def test_the_runs_themselves_are_safe(place: str, tmp_path: Path) -> None:
    scores, applied = _run(tmp_path / "run", _table()), _run(tmp_path / "other", _table(1))
    with pytest.raises(OutputError, match="choose another folder"):
        classify(scores, str(tmp_path / place), ClassConfig(), apply=applied, overwrite=True)
    assert classify(scores, str(tmp_path / "c"), ClassConfig(), apply=applied)["records"] == 900


def test_a_run_that_is_replaced_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = _run(tmp_path / "run", _table())
    fit = ClassModel.fit

    def replace(*arguments: Any, **named: Any) -> ClassModel:
        ledger = json.loads((tmp_path / "run/run.json").read_text())
        (tmp_path / "run/run.json").write_text(json.dumps({**ledger, "run_id": "another"}))
        return fit(*arguments, **named)

    monkeypatch.setattr(ClassModel, "fit", replace)
    with pytest.raises(InputError, match="was rewritten while it was being read"):
        classify(scores, str(tmp_path / "c"), ClassConfig())
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label", "lable"], "no column 'lable'; did you mean 'label'?"),
        (["--label", "latent_mean"], "column 'latent_mean' of type fixed_size_list"),
        (["--label", "id"], "has only 0 records to fit; 1 Gaussian needs at least 10"),
        (["--components", "0"], "components must be at least 1. Received: 0"),
        (["--components", "99"], "99 Gaussians need at least 990"),
        (["--fpr", "1"], "fpr must be between 0 and 1. Received: 1.0"),
        (["--sample", "0"], "sample must be at least 1. Received: 0"),
        (["--seed", "-1"], "seed must be between 0 and 2^32 - 1. Received: -1"),
        (["--apply", "{run}/nowhere"], "nowhere contains no finished run"),
        (["--apply", "{other}"], "latents of 2 numbers. Received: (3,)"),
        (["--apply", "{ae}"], "lacks the latent columns of"),
        (["--runner=DaskRunner"], "DaskRunner loses records"),
        (["--runner=DataflowRunner", "--dry_run=true"], "leave out --dry_run"),
        (["--no_such_flag"], "no_such_flag"),
    ],
)
def test_errors_are_one_line_and_status_2(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, output = _table(), tmp_path / "c"
    wider = table.set_column(2, "latent_mean", _lists(np.zeros((900, 3))))
    wider = wider.set_column(3, "latent_stddev", _lists(np.ones((900, 3))))
    paths = {
        "run": _run(tmp_path / "run", table),
        "other": _run(tmp_path / "other", wider),
        "ae": _run(tmp_path / "ae", table.drop_columns(["latent_stddev"])),
    }
    arguments = ["classify", "--scores", paths["run"], "--output", str(output)]
    status, out, err = run_command([*arguments, *(f.format(**paths) for f in flags)], capsys)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert not output.exists()


def test_a_run_of_another_bundle_is_refused(run: Path, tmp_path: Path) -> None:
    other = _run(tmp_path / "other", _table())  # which does not say of which
    with pytest.raises(InputError, match=r"other was scored by the bundle None, .*[0-9a-f]{64}"):
        classify(str(run), str(tmp_path / "c"), ClassConfig(), apply=other)
    assert not (tmp_path / "c").exists()


def test_help_has_an_example_and_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pipelines.cli", "classify", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "latentbeam classify --scores run/ --output classes/ --apply new_run/" in shown.stdout
    assert not {"keras", "apache_beam", "sklearn", "numpy"} & set(shown.stderr.split())


def test_a_batch_without_records_has_no_tally_to_speak_of() -> None:
    model = ClassModel.fit(vectors(_table()["latent_mean"]), None, list(_NAMES) * 300)
    batch = _table().slice(0, 0).to_batches() or [pa.RecordBatch.from_pylist([], _table().schema)]
    found = classify_batch(batch[0], model, 0.1, "label")
    assert len(found.rows) == 0
    assert summary([found.tallies]) == {"records": 0, "no_class": 0, "evaluation": None}


def test_metrics_are_those_of_scikit_learn_and_of_the_definition(
    generator: np.random.Generator,
) -> None:
    probabilities = generator.dirichlet([0.3, 0.5, 0.2], size=4000)
    probabilities[:5] = [1, 0, 0]
    truth = generator.integers(0, 3, 4000)
    parts = np.split(np.arange(4000), [1, 700, 2500])
    sums = sum((metric_sums(probabilities[p], truth[p]) for p in parts), np.zeros(SUMS_SHAPE))
    found = class_metrics(sums)
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities))
    assert found["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == truth))
    confidence, error = probabilities.max(axis=1), 0.0
    correct = probabilities.argmax(axis=1) == truth
    for number in range(15):  # Guo et al. 2017, equation 3: bins are open below
        own = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if own.any():
            error += own.mean() * abs(correct[own].mean() - confidence[own].mean())
    assert found["expected_calibration_error"] == pytest.approx(error)


def test_what_is_right_as_often_as_it_says_has_hardly_any_calibration_error(
    generator: np.random.Generator,
) -> None:
    probabilities = generator.dirichlet([1, 1], size=50_000)
    truth = (generator.uniform(size=50_000) < probabilities[:, 1]).astype(int)
    calm = class_metrics(metric_sums(probabilities, truth))
    sure = class_metrics(metric_sums(np.eye(2)[probabilities.argmax(axis=1)], truth))
    assert calm["expected_calibration_error"] < 0.01
    assert sure["expected_calibration_error"] == pytest.approx(1 - sure["accuracy"])


def test_arrays_that_need_pickle_or_are_compressed_are_refused() -> None:
    file = io.BytesIO()
    write_arrays(file, {"a": np.arange(3), "b": np.array(["x"])})
    assert read_arrays(file, "model")["a"].tolist() == [0, 1, 2]
    for write, message in (
        (lambda f: np.savez(f, a=np.array([{}], object)), "allow_pickle=False"),
        (lambda f: np.savez_compressed(f, a=np.zeros(9)), "compressed"),
        (lambda f: f.write(b"no archive"), "not a zip file"),
        (
            lambda f: zipfile.ZipFile(f, "w").writestr("a.npy", b"\x93NUMPY"),
            "contains no readable arrays",
        ),
    ):
        bad = io.BytesIO()
        write(bad)
        with pytest.raises(
            InputError, match=f"model contains no readable arrays: .*{message}|{message}"
        ):
            read_arrays(bad, "model")


@pytest.mark.parametrize(("field", "value"), [("fpr", 0.0), ("label", 3), ("components", 1.5)])
def test_configuration_names_the_value(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field} must be .*Received: {value!r}"):
        ClassConfig(**{field: value})  # type: ignore[arg-type]
