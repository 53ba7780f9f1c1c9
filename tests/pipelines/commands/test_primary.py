"""Flags computed from a score other than the bundle's primary score: requested when scoring, and
afterwards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest

from ae_models.bundles.bundle import open_bundle
from ae_models.calibration.p_values import conformal_p_values
from ae_models.calibration.pareto_tail import fit_pareto_tail
from ae_models.calibration.score_calibration import calibration_of
from ae_models.errors import ConfigError, InputError, LatentbeamError, OutputError
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from tests.support.command import run_command
from tests.support.made_once import made_once
from transforms import ScoreImages, ScoreImagesByCategory
from transforms.runs.ledger import read_ledger
from transforms.scoring.beam_anomaly import bundle_detector

Bundles = Callable[[str], Path]
Runs = Callable[..., Path]
OTHER = "latent_knn"


@pytest.fixture(scope="module")
def tailed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose p-values have tails, and whose primary score is set."""

    def make(path: Path) -> None:
        overrides = ["model.network=dense", "model.latent_dim=3", "scoring.tail=pareto"]
        overrides += ["training.calibration_share=0.3", "scoring.primary=reconstruction_mse"]
        config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
        train(["builtin:digits"], config, str(path), where=["label!=0"])

    return made_once(tmp_path_factory, "bundle-tailed", make)


def _check_same(scored: Path, relabelled: Path) -> None:
    """The rows are the same, bit for bit, and so are the facts about the model."""
    one, other = (pq.read_table(run / "scores") for run in (scored, relabelled))
    assert one.schema.equals(other.schema, check_metadata=True)
    assert one.equals(other)
    for name in ("score", "p_value"):
        assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes()
    models = [read_ledger(str(run))["model"] for run in (scored, relabelled)]
    assert models[0] == models[1]


@pytest.mark.parametrize("portable", [False, True])
def test_relabelled_by_a_score_is_scored_with_it_as_the_primary_one(
    bundle: Bundles, digits_run: Runs, tmp_path: Path, portable: bool
) -> None:
    scored, new = tmp_path / "scored", tmp_path / "new"
    model = str(bundle("ae"))
    score(["builtin:digits"], model, str(scored), primary=OTHER, portable_schema=portable)
    before = digits_run("ae", portable)
    ledger = relabel(str(before), str(new), fpr=0.05, score=f"score_{OTHER}")
    _check_same(scored, new)
    table, old = pq.read_table(new / "scores"), pq.read_table(before / "scores")
    assert table["score"].equals(table[f"score_{OTHER}"])
    assert not table["p_value"].equals(old["p_value"])
    kept = [n for n in old.column_names if n not in ("score", "p_value", "is_anomaly")]
    assert table.select(kept).equals(old.select(kept))
    assert ledger["relabelled"]["score"] == ledger["model"]["primary_score"] == OTHER
    assert ledger["relabelled"]["from"]["primary_score"] == "reconstruction_smoothed"


def test_p_values_are_those_of_the_scores_own_calibration_records(
    bundle: Bundles, digits_run: Runs, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    relabel(str(digits_run("ae")), str(new), fpr=0.05, score=OTHER)
    table = pq.read_table(new / "scores")
    held_out = pq.read_table(bundle("ae") / "calibration.parquet")[f"score_{OTHER}"].to_numpy()
    scores = table["score"].to_numpy()
    at_least = (held_out[None] >= scores[:, None]).sum(1)
    np.testing.assert_array_equal(table["p_value"].to_numpy(), (1 + at_least) / (len(held_out) + 1))
    flagged = table["p_value"].to_numpy() <= 0.05
    np.testing.assert_array_equal(table["is_anomaly"].to_numpy(), flagged)
    for name, least in read_ledger(str(new))["model"]["thresholds"].items():
        calibration = open_bundle(bundle("ae")).calibration_scores(f"score_{name}")
        values = table[f"score_{name}"].to_numpy()
        p_values = conformal_p_values(values, calibration)
        np.testing.assert_array_equal(values >= least, p_values <= 0.05)


def test_and_back_again(digits_run: Runs, tmp_path: Path) -> None:
    run, other, back = digits_run("ae"), tmp_path / "other", tmp_path / "back"
    relabel(str(run), str(other), fdr=0.2, score=OTHER)
    relabel(str(other), str(back), fpr=0.05, score="reconstruction_smoothed")
    _check_same(run, back)


def test_the_pareto_tail_is_the_scores_own(tailed: Path, tmp_path: Path) -> None:
    plain, scored, new = (tmp_path / name for name in ("plain", "scored", "new"))
    score(["builtin:digits"], str(tailed), str(plain))
    score(["builtin:digits"], str(tailed), str(scored), primary=OTHER)
    fpr = open_bundle(tailed).config.scoring.fpr
    relabel(str(plain), str(new), fpr=fpr, score=OTHER)
    _check_same(scored, new)
    tails = [read_ledger(str(run))["model"]["pareto_tail"] for run in (plain, new)]
    assert None not in tails
    assert tails[0] != tails[1]
    one = open_bundle(tailed)
    assert calibration_of(one, OTHER).tail == fit_pareto_tail(
        one.calibration_scores(f"score_{OTHER}")
    )
    assert calibration_of(one).tail == one.pareto_tail()
    assert calibration_of(one, "score_reconstruction_mse").tail == one.pareto_tail()


def test_with_few_outputs_the_primary_score_is_still_asked_for(
    bundle: Bundles, digits_run: Runs, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    score(["builtin:digits"], str(bundle("ae")), str(run), outputs=["latent_mean"], primary=OTHER)
    table, full = pq.read_table(run / "scores"), pq.read_table(digits_run("ae") / "scores")
    assert [n for n in table.column_names if n.startswith("score_")] == []
    assert table["score"].equals(full[f"score_{OTHER}"])
    relabel(str(run), str(tmp_path / "again"), fpr=0.2, score=OTHER)
    assert pq.read_table(tmp_path / "again" / "scores")["score"].equals(table["score"])
    with pytest.raises(InputError, match="no column 'score_reconstruction_mse'"):
        relabel(str(run), str(tmp_path / "new"), fpr=0.2, score="reconstruction_mse")


def test_parts_and_resume_know_the_primary_score(
    bundle: Bundles, digits_run: Runs, tmp_path: Path
) -> None:
    run, inputs, model = str(tmp_path / "run"), ["builtin:digits"], str(bundle("ae"))
    ledger = score(inputs, model, run, primary=f"score_{OTHER}", checkpoint_every=1000)
    assert ledger["model"]["primary_score"] == OTHER
    assert score(inputs, model, run, primary=OTHER, resume=True) == ledger
    with pytest.raises(OutputError, match=r"--primary was .*latent_knn.* and is"):
        score(inputs, model, run, resume=True)
    relabelled = tmp_path / "relabelled"
    relabel(str(digits_run("ae")), str(relabelled), fpr=0.05, score=OTHER)
    one, other = (
        pq.read_table(Path(folder) / "scores").sort_by("id") for folder in (run, relabelled)
    )
    assert one.equals(other)


def test_the_bundle_is_the_runs(bundle: Bundles, digits_run: Runs, tmp_path: Path) -> None:
    run, new = Path(shutil.copytree(digits_run("ae"), tmp_path / "run")), str(tmp_path / "new")
    with pytest.raises(InputError, match=r"was scored by the model .*, but the bundle given is"):
        relabel(str(run), new, fpr=0.1, score=OTHER, model=str(bundle("vae")))
    moved = shutil.copytree(bundle("ae"), tmp_path / "moved")
    ledger = json.loads((run / "run.json").read_text())
    ledger["model"]["path"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(ledger))
    with pytest.raises(
        LatentbeamError, match=r"gone.*: if the bundle was moved, give --model BUNDLE"
    ):
        relabel(str(run), new, fpr=0.1, score=OTHER)
    relabel(str(run), new, fpr=0.1, score=OTHER, model=str(moved))
    del ledger["model"]["fingerprint"]
    (run / "run.json").write_text(json.dumps(ledger))
    with pytest.raises(InputError, match="the ledger states no model"):
        relabel(str(run), str(tmp_path / "newer"), fpr=0.1, score=OTHER, model=str(moved))


def test_a_score_that_is_no_number_cannot_be_the_primary_one(
    digits_run: Runs, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(digits_run("ae"), tmp_path / "run"))
    (part,) = (run / "scores").iterdir()
    table = pq.read_table(part)
    index, name = table.schema.get_field_index(f"score_{OTHER}"), f"score_{OTHER}"
    values = table[name].to_numpy().copy()
    values[:3] = np.float32([np.nan, np.inf, -np.inf])
    pq.write_table(table.set_column(index, table.schema.field(index), [values]), part)
    ledger = json.loads((run / "run.json").read_text())
    for file in ledger["files"]:
        file.pop("sha256")
    (run / "run.json").write_text(json.dumps(ledger))
    for rule in ({"fpr": 0.1}, {"fdr": 0.1}):
        with pytest.raises(InputError, match=f"{name} of 3 records is not a finite number"):
            relabel(str(run), str(tmp_path / "new"), score=OTHER, **rule)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["score", "--input", "builtin:digits", "--primary", "latent_kn"], "did you mean 'latent_"),
        (["relabel", "--scores", "{run}", "--fpr", "0.1", "--score", "latent_kn"], "did you mean"),
        (["relabel", "--scores", "{run}", "--fpr", "0.1"], "--model works only with --score"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    bundle: Bundles,
    digits_run: Runs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    message: str,
) -> None:
    run, model = str(digits_run("ae")), str(bundle("ae"))
    flags = ["--model", model, "--output", str(tmp_path / "new")]
    status, out, err = run_command([word.format(run=run) for word in command] + flags, capsys)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_names_are_the_scores_or_their_columns(bundle: Bundles) -> None:
    one = open_bundle(bundle("ae"))
    assert calibration_of(one).name == "reconstruction_smoothed"
    assert calibration_of(one, OTHER).name == calibration_of(one, f"score_{OTHER}").name == OTHER
    with pytest.raises(ConfigError, match="the bundle has no score 'score'"):
        calibration_of(one, "score")


def test_python_takes_it_too(bundle: Bundles) -> None:
    model = str(bundle("ae"))
    detector = bundle_detector(model, fpr=0.05, primary=f"score_{OTHER}")
    assert detector._threshold_criterion.threshold == calibration_of(
        open_bundle(model), OTHER
    ).threshold(0.05)
    records = beam.Pipeline() | beam.Create([], reshuffle=False)
    for transform in (
        ScoreImages(model, primary="score"),
        ScoreImagesByCategory({"a": model}, "label", primary="score"),
    ):
        with pytest.raises(ConfigError, match="the bundle has no score 'score'"):
            transform.expand(records)
