"""What `evaluate` reports about every score, each kind of anomaly, and flags."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from ae_models.errors import ConfigError, InputError, OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.report.command import report
from tests.support.command import run_command
from tests.support.finished_run import write_result
from transforms.runs.ledger import read_ledger

Bundles = Callable[[str], Path]
Runs = Callable[..., Path]


def _run(folder: Path, rows: int = 400, **changed: Any) -> tuple[str, pa.Table]:
    """A run with two scores; some of the records 0 to 29 are anomalous, of two kinds or of none."""
    generator = np.random.default_rng(0)
    anomalous = np.arange(rows) < 30
    primary = np.round(generator.normal(anomalous, 1), 2).astype(np.float32)
    other = generator.normal(2.0 * anomalous, 1).astype(np.float32)
    kinds = ["a", "b", None] * 10 + ["good"] * (rows - 30)
    columns = {
        "id": [f"r{n}" for n in range(rows)],
        "label": pa.array(np.where(anomalous, "bad", "good")),
        "kind": pa.array(kinds, pa.string()),
        "score": primary,
        "score_first": primary,
        "score_other": other,
        "p_value": np.ones(rows),
        "is_anomaly": primary >= 1.5,
        **changed,
    }
    table = pa.table(columns)
    model = {"primary_score": "first", "fpr": 0.05, "thresholds": {"first": 1.5, "other": 1.0}}
    path = write_result(folder, {"scores": [table.slice(0, 150), table.slice(150)]}, {
        "model": {**model, "calibration_records": 100, "pareto_tail": None},
    })  # fmt: skip
    return path, table


def _check_row(row: dict[str, Any], truth: np.ndarray, scores: np.ndarray, least: float) -> None:
    assert row["auroc"]["value"] == pytest.approx(roc_auc_score(truth, scores))
    precision = average_precision_score(truth, scores)
    assert row["average_precision"]["value"] == pytest.approx(precision)
    for name in ("auroc", "average_precision"):
        assert row[name]["low"] < row[name]["value"] < row[name]["high"]
    rates = {"true_positive_rate": (scores[truth] >= least).mean(),
             "false_positive_rate": (scores[~truth] >= least).mean()}  # fmt: skip
    assert row["flagged"] == pytest.approx(rates)


def test_a_row_for_every_score(tmp_path: Path) -> None:
    run, table = _run(tmp_path / "run")
    found = evaluate(run, "label=bad")
    truth = np.arange(400) < 30
    assert [(row["name"], row["primary"]) for row in found["scores"]] == [
        *(("first", True), ("other", False))
    ]
    for row, least in zip(found["scores"], (1.5, 1.0), strict=True):
        _check_row(row, truth, table[f"score_{row['name']}"].to_numpy(), least)
    for name in ("auroc", "average_precision", "flagged"):
        assert found[name] == found["scores"][0][name]
    assert (found["records"], found["anomalous"], found["advice"]) == (400, 30, None)
    assert "by" not in found


def test_a_row_for_each_kind_against_all_normal_records(tmp_path: Path) -> None:
    run, table = _run(tmp_path / "run")
    by = evaluate(run, "label=bad", by="kind")["by"]
    assert by["column"] == "kind"
    assert [(k["value"], k["anomalous"]) for k in by["kinds"]] == [("a", 10), ("b", 10), (None, 10)]
    for number, kind in enumerate(by["kinds"]):
        chosen = (np.arange(400) >= 30) | (np.arange(400) % 3 == number)
        truth = np.arange(400)[chosen] < 30
        for row, least in zip(kind["scores"], (1.5, 1.0), strict=True):
            values = table[f"score_{row['name']}"].to_numpy()[chosen]
            _check_row(row, truth, values, least)


def test_a_score_that_some_records_lack(tmp_path: Path) -> None:
    other = np.arange(400, dtype=np.float32)[::-1].copy()
    other[[0, 1, 399]] = np.nan
    run, _ = _run(tmp_path / "run", score_other=pa.array(other, mask=np.arange(400) == 2))
    _, row = evaluate(run, "label=bad")["scores"]
    assert (row["anomalous"], row["without_score"], row["auroc"]["value"]) == (30, 4, 1.0)
    run, _ = _run(tmp_path / "none", score_other=np.full(400, np.nan, np.float32))
    found = evaluate(run, "label=bad", plot=str(tmp_path / "p.png"))["scores"]
    assert (found[1]["auroc"], found[1]["flagged"], found[1]["without_score"]) == (None, None, 400)
    assert found[0]["auroc"] is not None


def test_an_older_run_knows_the_primary_scores_flags_alone(tmp_path: Path) -> None:
    run, _ = _run(tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    ledger = json.loads(path.read_text())
    del ledger["model"]["thresholds"], ledger["model"]["calibration_records"]
    path.write_text(json.dumps(ledger))
    first, other = evaluate(run, "label=bad")["scores"]
    assert first["flagged"] is not None
    assert other["flagged"] is None
    del ledger["model"]
    path.write_text(json.dumps(ledger))
    names = [row["name"] for row in evaluate(run, "label=bad")["scores"]]
    assert names == ["score", "first", "other"]


def test_the_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = _run(tmp_path / "run")
    arguments = ["evaluate", "--scores", run, "--anomalous", "label=bad", "--by", "kind"]
    status, out, _ = run_command(arguments, capsys)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "records: 400, 30 anomalous"
    assert lines[1].split("  ")[0] == "score"
    assert lines[2].startswith("first *")
    assert lines[3].startswith("other ")
    assert [line.split()[0] for line in lines[-4:]] == ["kind", "a", "b", "(no"]
    assert lines[-1].split()[-1] == "other"
    found = evaluate(run, "label=bad")
    value = found["auroc"]
    assert f"{value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})" in lines[2]


def test_a_picture_of_the_curves(tmp_path: Path) -> None:
    run, _ = _run(tmp_path / "run")
    path = tmp_path / "curves.png"
    evaluate(run, "label=bad", plot=str(path))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == (588, 1512, 3)
    blue = (np.abs(pixels - [0x00, 0x72, 0xB2]).sum(-1) < 30).sum(0)
    for half in (blue[:640], blue[640:1200]):  # the other score's curve, in both
        assert (half > 0).sum() > 150
    again = tmp_path / "again.png"
    evaluate(run, "label=bad", plot=str(again))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"by": "kinds"}, ConfigError, "no column 'kinds'; did you mean 'kind'"),
        ({"by": "vector"}, ConfigError, "column 'vector' of type .* cannot be used as categories"),
        ({"by": "id", "anomalous": "label=good"}, ConfigError, "at most 1,000 kinds"),
        ({"plot": "curves.jpg"}, OutputError, "must end in .png"),
        ({"anomalous": "label=none"}, InputError, "0 of 2000 records are anomalous"),
    ],
)
def test_what_cannot_be_evaluated(
    tmp_path: Path, changed: dict[str, str], error: type[Exception], message: str
) -> None:
    vectors = pa.array([[1.0]] * 2000, pa.list_(pa.float32()))
    run, _ = _run(tmp_path / "run", rows=2000, vector=vectors)
    with pytest.raises(error, match=message):
        evaluate(run, **{"anomalous": "label=bad", **changed})


def test_thresholds_are_those_of_the_bundles_calibration(bundle: Bundles, digits_run: Runs) -> None:
    """For normal records, a p-value of at most 0.05 is equally rare with every score."""
    found = evaluate(str(digits_run("ae")), "label=0")
    table = pq.read_table(digits_run("ae") / "scores")
    truth = table["label"].to_numpy() == 0
    for row in found["scores"]:
        held_out = pq.read_table(bundle("ae") / "calibration.parquet")[f"score_{row['name']}"]
        values = table[f"score_{row['name']}"].to_numpy()
        at_least = (held_out.to_numpy()[None] >= values[:, None]).sum(1)
        flags = (1 + at_least) / (len(held_out) + 1) <= 0.05
        assert row["flagged"]["true_positive_rate"] == pytest.approx(flags[truth].mean())
        assert row["flagged"]["false_positive_rate"] == pytest.approx(flags[~truth].mean())


def test_where_nothing_can_be_flagged_each_command_says_so_and_what_to_do(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, new, model = str(tmp_path / "run"), str(tmp_path / "new"), str(bundle("ae"))
    ledger = score(["builtin:digits"], model, run, fpr=0.001)
    held_out = ledger["model"]["calibration_records"]
    told = f"warning: {held_out} calibration records give no p-value below 0.0061, so nothing "
    told += "can be flagged at fpr 0.001, which needs 999; "
    rate = "--fpr 0.0062 or more, or train with more calibration records"
    assert f"{told}give {rate}\n" in capsys.readouterr().err
    found = evaluate(run, "label=0")
    assert f"{told}relabel with {rate} and score again\n" in capsys.readouterr().err
    assert found["advice"].endswith("and score again")
    assert {row["flagged"]["true_positive_rate"] for row in found["scores"]} == {0.0}
    assert set(ledger["model"]["thresholds"].values()) == {None}
    report(run, model, str(tmp_path / "report.html"))
    assert f"{told}relabel with {rate}\n" in capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert f"which needs 999; relabel with {rate}." in page
    relabel(run, new, fpr=0.0062)
    assert read_ledger(new)["relabelled"]["flagged"] > 0
    evaluate(new, "label=0")
    assert "warning" not in capsys.readouterr().err
    relabel(run, new, fpr=0.005, overwrite=True)
    assert f"flagged at fpr 0.005, which needs 199; give {rate}" in capsys.readouterr().err
    relabel(run, new, fdr=0.001, overwrite=True)
    evaluate(new, "label=0")
    report(new, model, str(tmp_path / "report.html"))
    assert "warning" not in capsys.readouterr().err


def test_the_report_follows_the_runs_primary_score(
    bundle: Bundles, digits_run: Runs, tmp_path: Path
) -> None:
    new, pages = str(tmp_path / "new"), [tmp_path / f"{name}.html" for name in ("old", "new")]
    relabel(str(digits_run("ae")), new, fpr=0.05, score="latent_knn")
    for run, page in zip((str(digits_run("ae")), new), pages, strict=True):
        report(run, str(bundle("ae")), str(page))
    old, now = (page.read_text() for page in pages)
    least = read_ledger(new)["model"]["thresholds"]["latent_knn"]
    assert f"those with a score (latent_knn) of {least:.4g} or more" in now
    assert "those with a score (reconstruction_smoothed) of" in old
    assert "By latent_knn, this run" in now
    shutil.rmtree(new)
