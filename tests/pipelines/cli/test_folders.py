"""Folders in place of others: messages say what they are, and what to run next."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ae_models.bundles.names import MANIFEST
from pipelines.cli import folders
from tests.support.command import run_command
from transforms.runs.ledger import CLASSES, CLUSTERS, LEDGER, SCORES

Bundles = Callable[[str], Path]
Runs = Callable[..., Path]


@pytest.fixture
def places(bundle: Bundles, digits_run: Runs, tmp_path: Path) -> dict[str, str]:
    """A bundle and a run, and folders that look like clusters and an interrupted training."""
    (tmp_path / "clusters" / "clusters").mkdir(parents=True)
    (tmp_path / "clusters" / "run.json").write_text("{}")
    (tmp_path / "later-unfinished").mkdir()
    return {
        "bundle": str(bundle("ae")),
        "run": str(digits_run("ae")),
        "clusters": str(tmp_path / "clusters"),
        "later": str(tmp_path / "later"),
        "new": str(tmp_path / "new"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "score -i builtin:digits -m {run} -o {new}",
            "Invalid value for '--model': {run} is a run, not a model bundle: give the folder that "
            "`train` wrote",
        ),
        ("inspect {run}", "{run} is a run, not a model bundle"),
        ("inspect {later}/", "{later}-unfinished contains an interrupted training: rerun its"),
        ("inspect {clusters}", "{clusters} is a folder of clusters, not a model bundle"),
        (
            "evaluate --scores {bundle} --anomalous label=0",
            "Invalid value for '--scores': {bundle} is a model bundle, not a run: give the folder "
            "that `score` wrote",
        ),
        ("verify --scores {clusters} -i builtin:digits", "{clusters} is a folder of clusters, not"),
        ("classify --scores {run} --apply {bundle} -o {new}", "'--apply': {bundle} is a model"),
        (
            "report --scores {run} -m {bundle} --clusters {run} -o {new}.html",
            "{run} is a run, not a folder of clusters: `latentbeam cluster --scores RUN --output "
            "DIR` writes one",
        ),
        ("explore sample -m {run} -o {new}.png", "{run} is a run, not a model bundle"),
    ],
)
def test_a_folder_of_another_kind_is_named(
    line: str, message: str, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run_command(line.format(**places).split(), capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message.format(**places) in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("reconstruct -m b", "No such command 'reconstruct'. Did you mean 'explore reconstruct'?"),
        ("train -i builtin:digits -m ae -o {new} --config {new}.yaml", "`latentbeam config > "),
        ("train -i builtin:digits -m ae -o {new} --set latent_dim=3", "such as model.latent_dim"),
        ("train -i builtin:digits -m ae -o {new} --set model.latent=3", "did you mean 'latent_dim"),
        ("train -i builtin:digits -m ae -o {new} --set modl.latent=3", "did you mean 'model'?"),
        ("score -i builtin:digits -m {bundle} -o {run}", "--overwrite"),
        ("score -i builtin:digits -m {bundle} -o {new} --maps {new}", "must be all or flagged"),
        ("evaluate --scores {run} --anomalous label=0 --masks {bundle}", "score with --maps all"),
        ("cluster --scores {run} -o {new} --min-cluster-size 9", "hdbscan"),
        ("relabel --scores {run} -o {new}", "exactly one of --fpr and --fdr"),
        ("explore traverse -m {bundle} -o {new}.png", "give --input"),
    ],
)
def test_messages_name_the_next_step(
    line: str, message: str, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run_command(line.format(**places).split(), capsys)
    assert (status, out) == (2, "")
    *_, last = err.splitlines()  # after lines of progress
    assert last.startswith("latentbeam: ")
    assert message in last


def test_names_are_those_of_the_folders_that_the_commands_write(tmp_path: Path) -> None:
    assert (folders.MANIFEST, folders.LEDGER) == (MANIFEST, LEDGER)
    assert (folders.SCORES, folders.CLUSTERS, folders.CLASSES) == (SCORES, CLUSTERS, CLASSES)
