"""Pages of the reference say what is: generated ones are those of the code, and the tables of files
and columns are those of real results."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from docs.tools import reference
from pipelines.commands.classify import ClassConfig, classify
from pipelines.commands.cluster import cluster
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.train import train_configuration
from tests.support.anomalous import Anomalous
from tests.support.command import run_command
from tests.support.made_once import made_once
from tests.support.pages import DOCS, code_blocks
from transforms.records.passed_over import Cause
from transforms.records.rejects import Reason

_OUTPUT = (DOCS / "reference" / "output.md").read_text(encoding="utf-8")
_CARRIED, _EVERY_SCORE = "carried columns", "score_<name>"
# Cells of paths: a folder of files stands for itself.
_PATTERN = re.compile(r"/\*\.\w+$|/$")


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    path = reference.REFERENCE / name
    assert path.read_text(encoding="utf-8") == reference.page(name), "make reference"


def test_every_command_and_flag_is_on_the_page() -> None:
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    for name, command in reference.commands():
        section = page.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        flags = [o.opts[0] for o in command.params if isinstance(o, click.Option) and not o.hidden]
        assert [flag for flag in flags if f"`{flag}`" not in section] == []


def test_configuration_examples_are_valid(tmp_path: Path) -> None:
    for number, text in enumerate(code_blocks("reference/configuration.md", "yaml")):
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
        kind = yaml.safe_load(text)["model"]["kind"]
        train_configuration(kind, str(tmp_path / f"{number}.yaml"))


def _rows(section: str, first: str) -> list[list[str]]:
    """The cells of the table that begins with a title, in a section of output.md, without marks."""
    (text,) = re.findall(rf"^#+ {section}\n(.*?)(?=^## |^### |\Z)", _OUTPUT, re.DOTALL | re.M)
    rows: list[list[str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if rows and cells:
            rows.append(cells)
        elif rows:
            break
        elif cells and cells[0] == first:
            rows = [cells]
    return [[cell.replace("`", "") for cell in row] for row in rows[2:]]


def _type(kind: pa.DataType) -> str:
    """An Arrow type as the page writes it."""
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list<{_type(kind.value_type)}>"
    if pa.types.is_list(kind):
        return f"list<{_type(kind.value_type)}>"
    if pa.types.is_dictionary(kind):
        return f"dictionary<{_type(kind.value_type)}>"
    names = {"halffloat": "float16", "float": "float32", "double": "float64"}
    return names.get(str(kind), str(kind))


def _columns(files: Path) -> list[tuple[str, str]]:
    schema = pq.read_schema(next(files.glob("*.parquet")) if files.is_dir() else files)
    return [(field.name, _type(field.type)) for field in schema]


def _documented(section: str) -> list[tuple[str, str, str]]:
    """Columns, types and meanings; sizes of lists are letters, which are left out."""
    rows = _rows(section, "column")
    return [(name, re.sub(r">\[.*\]$", ">", kind), text) for name, kind, text in rows]


def assert_described(files: Path, section: str, carried: Sequence[str] = ()) -> None:
    """Every column is in the table, in its order and of its type, and the table has no others but
    those that only some options or models give."""
    documented = _documented(section)
    order = [name for name, _, _ in documented]
    kinds = {name: kind for name, kind, _ in documented}
    places = []
    for name, kind in _columns(files):
        known = _EVERY_SCORE if name.startswith("score_") else name
        if name in carried:
            known = _CARRIED
        assert known in kinds, f"{section}: {name}"
        assert known == _CARRIED or kinds[known] == kind, f"{section}: {name} is {kind}"
        places.append(order.index(known))
    assert places == sorted(places), section
    always = {name for name, _, text in documented if not _depends(name, text)}
    assert always <= {order[place] for place in places}


def _depends(name: str, text: str) -> bool:
    words = ("with `--", "with --", "VAE only", "Not with")
    return name == _CARRIED or any(word in text for word in words)


@pytest.fixture(scope="module")
def runs(
    anomalous: Callable[[str], Anomalous],
    digits_run: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Results of every kind: `maps`, `pictures`, `portable`, `tiles`, `digits`, `clusters`,
    `classes`."""

    def make(folder: Path) -> None:
        whole, tiles = anomalous("whole"), anomalous("tiles")
        images = folder / "images"
        images.mkdir(parents=True)
        Image.new("L", (8, 8), 128).save(images / "grey.png")
        (images / "notes.txt").write_text("passed over")
        inputs, model = [str(whole.images), str(images)], str(whole.model)
        score(inputs, model, str(folder / "maps"), maps="all", error_maps=True)
        score(inputs, model, str(folder / "pictures"), maps="flagged", map_format="png")
        score(inputs, model, str(folder / "portable"), maps="all", portable_schema=True)
        score([str(tiles.images)], str(tiles.model), str(folder / "tiles"), maps="all", tiles=True)
        digits = digits_run("vae")
        (folder / "digits").symlink_to(digits)
        cluster(str(digits), str(folder / "clusters"), method="kmeans", clusters=3)
        classify(str(digits), str(folder / "classes"), ClassConfig("label", 1, 0.01, 2000, 0))

    return made_once(tmp_path_factory, "documented-runs", make)


@pytest.mark.parametrize(
    ("run", "kind", "section"),
    [
        ("digits", "scores", "Scores"),
        ("maps", "scores", "Scores"),
        ("maps", "rejects", "Rejects"),
        ("maps", "passed_over", "Passed over"),
        ("maps", "regions", "Regions"),
        ("maps", "maps", "Maps"),
        ("pictures", "maps", "Maps"),
        ("tiles", "tiles", "Tiles"),
        ("clusters", "clusters", "Clusters"),
        ("classes", "classes", "Class probabilities"),
    ],
)
def test_columns_are_those_of_the_page(runs: Path, run: str, kind: str, section: str) -> None:
    carried = ["label"] if kind in ("scores", "regions", "maps", "tiles") else []
    assert_described(runs / run / kind, section, carried)


def test_every_column_of_the_page_is_in_some_result(runs: Path) -> None:
    found = {
        "Scores": [runs / "digits" / "scores", runs / "maps" / "scores"],
        "Maps": [runs / "maps" / "maps", runs / "pictures" / "maps"],
    }
    for section, folders in found.items():
        there = {name for folder in folders for name, _ in _columns(folder)}
        documented = {name for name, _, _ in _documented(section)} - {_CARRIED, _EVERY_SCORE}
        assert documented <= there


@pytest.mark.parametrize("kind", ["scores", "rejects", "regions", "maps"])
def test_portable_types_are_those_of_the_page(runs: Path, kind: str) -> None:
    other = _keys("Portable types", "type")
    portable = dict(_columns(runs / "portable" / kind))
    for name, own in _columns(runs / "maps" / kind):
        if name != "error_map":
            assert portable[name] == other.get(own, own), name


@pytest.mark.parametrize("run", ["maps", "pictures", "tiles"])
def test_files_of_a_run_are_those_of_the_page(runs: Path, run: str) -> None:
    documented = [_PATTERN.sub("", path) for path, _ in _rows("A run", "path")]
    assert {path.name for path in (runs / run).iterdir()} <= set(documented)
    assert {path.partition("/")[0] for path in documented} == {
        *("scores", "rejects", "passed_over", "regions", "maps", "map_pictures", "tiles"),
        *("run.json", "failed.json", "_SUCCESS"),
    }


def _keys(section: str, title: str = "key") -> dict[str, str]:
    return {row[0]: row[1] for row in _rows(section, title)}


def _ledger(folder: Path, name: str = "run.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_the_ledger_is_that_of_the_page(runs: Path, bundle: Callable[[str], Path],
                                        tmp_path: Path) -> None:  # fmt: skip
    score(["builtin:digits"], str(bundle("ae")), str(tmp_path / "parts"), checkpoint_every=1000)
    relabel(str(runs / "maps"), str(tmp_path / "relabelled"), 0.1)
    ledgers = [_ledger(runs / run) for run in ("maps", "pictures", "tiles")]
    ledgers += [_ledger(tmp_path / run) for run in ("parts", "relabelled")]
    documented = _keys("run.json")
    assert set().union(*ledgers) == set(documented)
    for name in ("records", "model"):
        assert [key for key in ledgers[0][name] if key not in documented[name]] == []


def test_a_failure_is_that_of_the_page(
    tmp_path: Path,
    image_folder: Path,
    bundle: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--model", str(bundle("ae")), "--output", str(tmp_path / "run"), "--max_rejects", "1"]
    status, _, _ = run_command(["score", "--input", str(image_folder), *flags], capsys)
    assert status == 1
    found = _ledger(tmp_path / "run", "failed.json")
    documented = _keys("failed.json")
    assert [key for key in found if key not in {**documented, **_keys("run.json")}] == []
    assert documented.keys() <= found.keys()


@pytest.mark.parametrize(
    ("kind", "section"), [("clusters", "Clusters"), ("classes", "Class probabilities")]
)
def test_ledgers_of_latents_are_those_of_the_page(runs: Path, kind: str, section: str) -> None:
    ledger, documented = _ledger(runs / kind), _keys(section, "key of `run.json`")
    assert set(documented) == set(ledger)
    for name in {"scores", "sample", "agreement", "evaluation"} & ledger.keys():
        assert [key for key in ledger[name] if key not in documented[name]] == []
    assert {path.name for path in (runs / kind).iterdir()} == {
        *(kind, "model.npz", "run.json", "_SUCCESS"),
    }


def test_a_model_bundle_is_that_of_the_page(
    bundle: Callable[[str], Path], anomalous: Callable[[str], Anomalous]
) -> None:
    documented = {_PATTERN.sub("", path) for path in _keys("A model bundle", "path")}
    folders = [bundle("vae"), anomalous("tiles").model]
    assert {path.name for folder in folders for path in folder.iterdir()} == documented
    assert set(_ledger(folders[0], "manifest.json")) == set(_keys("manifest.json"))
    for folder in folders:
        for file in folder.glob("calibration*.parquet"):
            _assert_calibration(file)


def _assert_calibration(file: Path) -> None:
    kinds = {name: kind for name, kind, _ in _documented("Calibration")}
    for name, kind in _columns(file):
        assert kinds[_EVERY_SCORE if name.startswith("score_") else name] == kind


def test_codes_are_those_of_the_pages() -> None:
    assert set(_keys("Rejects", "reason")) == {str(reason) for reason in Reason}
    inputs = (DOCS / "reference" / "inputs.md").read_text(encoding="utf-8")
    section = inputs.partition("## What is passed over\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {str(c) for c in Cause}
