"""What works without any extra, and what says which extra it needs."""

import importlib.metadata
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ae_models.config.extras import EXTRA_OF
from tests.support.project import PROJECT
from tests.support.without import OF_EXTRAS, run_without
from tests.support.wrong_commands import commands

_FOR_USERS = {"clusters", "photos", "report", "tiles", "yaml"}


def _line(what: str, *extras: str) -> str:
    named = " and ".join(f"'{extra}'" for extra in extras)
    noun = "extra" if len(extras) == 1 else "extras"
    listed = ",".join(extras)
    return f"latentbeam: {what} need the {noun} {named}: pip install 'latentbeam[{listed}]'\n"


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}


def test_each_package_is_of_its_extra_alone() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core, extras = _names(project["dependencies"]), project["optional-dependencies"]
    distributions = importlib.metadata.packages_distributions()
    for package, extra in EXTRA_OF.items():
        names = {name.lower() for name in distributions[package]}
        assert names & _names(extras[extra])
        assert not names & core
    assert extras["all"] == [f"latentbeam[{','.join(sorted(_FOR_USERS))}]"]
    assert "latentbeam[all,docs]" in extras["dev"]


def test_what_needs_an_extra_says_so_before_it_works(
    bundle: Callable[[str], Path], digits_run: Callable[..., Path], tmp_path: Path
) -> None:
    model, run = str(bundle("vae")), str(digits_run("vae"))
    made = tmp_path / "made"
    scored = ["score", "--input", "builtin:digits", "--model", model, "--output", str(made)]
    clustered = ["cluster", "--scores", run, "--output", str(made)]
    needed = {
        ("demo", "--output", str(made)): ("demos", "photos", "report"),
        (*scored, "--maps", "all", "--map_format", "png"): ("pictures of anomaly maps", "report"),
        (
            *("evaluate", "--scores", run, "--anomalous", "label=0"),
            *("--plot", f"{tmp_path}/made.png"),
        ): ("plots", "report"),
        (
            *("report", "--scores", run, "--model", model),
            *("--output", f"{tmp_path}/made.html"),
        ): ("reports", "report"),
        (*clustered, "--method", "hdbscan"): ("HDBSCAN clusters", "clusters"),
        (*clustered, "--method", "n2d"): ("N2D clusters", "clusters"),
        (
            *("train", "--input", "builtin:digits", "--model", "ae", "--output", str(made)),
            *("--features", "efficientnet_lite0"),
        ): ("features of efficientnet_lite0", "photos"),
        **{
            (*words, *_required(words, model, tmp_path)): ("pictures", "report")
            for words in commands()
            if words[0] == "explore"
        },
    }
    done = run_without(OF_EXTRAS, *needed)
    assert [(2, _line(*told)) for told in needed.values()] == done
    assert list(tmp_path.iterdir()) == []


def _required(words: tuple[str, ...], model: str, folder: Path) -> list[str]:
    """The flags that a command of `explore` cannot do without."""
    values = {"model": model, "output": f"{folder}/made.png", "inputs": "builtin:digits"}
    wanted = [option for option in commands()[words].params if option.required]
    return [part for option in wanted for part in (option.opts[0], values.get(option.name, "a"))]


def test_a_map_by_umap_says_what_it_needs_before_the_run_is_read(tmp_path: Path) -> None:
    command = ["report", "--scores", "none", "--model", "none", "--output", f"{tmp_path}/a.html"]
    clusters = {package for package, extra in EXTRA_OF.items() if extra == "clusters"}
    (done,) = run_without(clusters, [*command, "--map", "umap"])
    assert done == (2, _line("UMAP projections", "clusters"))


def test_the_demo_names_the_one_extra_that_is_missing(tmp_path: Path) -> None:
    weights = {package for package, extra in EXTRA_OF.items() if extra == "photos"}
    (done,) = run_without(weights, ["demo", "--output", f"{tmp_path}/made"])
    assert done == (2, _line("demos", "photos"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_extras_models_train_and_score(tmp_path: Path) -> None:
    model, run, clusters = (str(tmp_path / name) for name in ("model", "run", "clusters"))
    digits = ["--input", "builtin:digits"]
    trained, *others = run_without(
        OF_EXTRAS,
        [
            *("train", *digits, "--where", "label!=0", "--model", "vae", "--output", model),
            *("--epochs", "1", "--set", "model.network=dense", "--set", "model.noise_samples=2"),
        ],
        ["score", *digits, "--model", model, "--output", run, "--maps", "flagged"],
        ["evaluate", "--scores", run, "--anomalous", "label=0"],
        ["verify", "--scores", run, *digits],
        ["cluster", "--scores", run, "--output", clusters, "--clusters", "3"],
        ["classify", "--scores", run, "--output", f"{clusters}-classes"],
        ["relabel", "--scores", run, "--output", f"{run}-again", "--fdr", "0.1"],
        ["inspect", model],
    )
    assert [done.status for done in (trained, *others)] == [0] * 8
    undrawn = [line for line in trained.stderr.splitlines() if "curves.png" in line]
    assert undrawn == [
        "warning: curves.png was not drawn: pictures need the extra 'report': "
        "pip install 'latentbeam[report]'"
    ]
    assert not (tmp_path / "model" / "curves.png").exists()
    assert "curves.png" not in (tmp_path / "model" / "model_card.md").read_text(encoding="utf-8")
    assert pq.read_table(f"{run}/scores").num_rows == 1797
