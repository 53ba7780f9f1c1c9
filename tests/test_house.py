"""The house: imports run one way, and no room is crowded. Both are read from the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import PROJECT

WINGS = ("ae_models", "transforms", "pipelines")
# Rooms of `transforms`, the lowest first. Those of one line do not import each other.
FLOORS = (
    ("records",),
    ("storage",),
    ("execution",),
    ("sources", "images"),
    ("reading", "maps"),
    ("tiles",),
    ("scoring",),
    ("runs",),
    ("parts", "results", "training"),
    ("masks",),
    ("beam_yaml",),
)
_MOST_ON_A_LANDING, _MOST_IN_A_ROOM = 3, 15
# Beam's file systems take paths for patterns; the system's own calls do not flush what they change.
_OF_STORAGE = re.compile(
    r"\bFileSystems\b|\bos\.(replace|rename|remove|unlink|rmdir|mkdir|makedirs)\("
    r"|\bshutil\.(rmtree|move|copy2?|copytree|copyfile)\("
)
_FAMILIES = ("scores", "sources")  # one member a file


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and dotted names of the modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def _offences(root: Path) -> list[str]:
    """Each line that imports upward: from another wing that builds on this one, or a floor."""
    floors = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    found = []
    for wing in WINGS:
        for path in sorted((root / wing).rglob("*.py")):
            room = path.relative_to(root / wing).parts[0]
            for line, name in _imports(path):
                other, _, rest = name.partition(".")
                upward = other in WINGS and WINGS.index(other) > WINGS.index(wing)
                to = rest.partition(".")[0]
                if wing == other == "transforms" and room != to and {room, to} <= floors.keys():
                    upward = floors[to] >= floors[room]
                if upward or (wing == "ae_models" and other == "apache_beam"):
                    found.append(f"{path.relative_to(root)}:{line} imports {name}")
    return found


def test_no_import_runs_upward() -> None:
    assert _offences(PROJECT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("ae_models/ops/seeds.py", "from transforms.records.batches import ID"),
        ("ae_models/errors.py", "import apache_beam.pvalue"),
        ("transforms/runs/ledger.py", "from pipelines.cli import main"),
        ("transforms/storage/files.py", "from transforms.runs.ledger import LEDGER"),
        ("transforms/images/png.py", "def late():\n    from transforms.sources import resolve"),
    ],
)
def test_an_import_that_runs_upward_is_named(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(f"import os\n{line}\n")
    (offence,) = _offences(tmp_path)
    assert offence.startswith(f"{file}:{2 + line.count(chr(10))} imports ")


def _changes_of_files(path: Path) -> list[str]:
    """Lines that look at or change files by what `storage` alone may use."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{path.name}:{n}" for n, line in enumerate(lines, 1) if _OF_STORAGE.search(line)]


def test_one_room_changes_files() -> None:
    rooms = [
        path for wing in ("transforms", "pipelines") for path in (PROJECT / wing).rglob("*.py")
    ]
    others = [path for path in rooms if path.parent.name != "storage"]
    found = [line for path in others for line in _changes_of_files(path)]
    assert [line for line in found if not line.startswith("run.py:")] == []
    assert len(found) == 2  # Beam's file systems are given the pipeline's options


def test_a_change_of_files_is_named(tmp_path: Path) -> None:
    path = tmp_path / "late.py"
    path.write_text("import os\nos.path.exists('a')\nos.rename('a', 'b')\nFileSystems.match('a')\n")
    assert _changes_of_files(path) == ["late.py:3", "late.py:4"]


def test_every_room_of_transforms_has_its_floor() -> None:
    rooms = {path.parent.name for path in (PROJECT / "transforms").glob("*/__init__.py")}
    assert rooms == {room for rooms in FLOORS for room in rooms}


def test_no_room_is_crowded() -> None:
    for wing in WINGS:
        files = [path for path in (PROJECT / wing).iterdir() if path.is_file()]
        assert len(files) <= _MOST_ON_A_LANDING, files
        for room in (path.parent for path in (PROJECT / wing).rglob("__init__.py")):
            if room.name not in _FAMILIES:
                assert len(list(room.glob("*.py"))) <= _MOST_IN_A_ROOM, room
