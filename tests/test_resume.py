"""Runs in parts: what was done before a death is kept, and the result is that of one run."""

import dataclasses
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.errors import ConfigError, InputError, OutputError
from pipelines import score_in_parts
from pipelines.cli import main
from pipelines.score import score
from pipelines.verify import verify
from transforms import ledger as ledger_module
from transforms.ledger import read_ledger
from transforms.plan import PLAN

Bundles = Callable[[str], Path]
FILES, GROUPS, ROWS = 3, 2, 20
EVERY = 30  # two row groups, and so one file, a part
ROOT = Path(__file__).parents[1]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((pixels * 15).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _write_file(path: Path, first: int) -> None:
    numbers = range(first, first + GROUPS * ROWS)
    digits = load_digits()
    images = [_png(digits.images[number]) for number in numbers]
    images[3], images[ROWS] = b"no image", b""
    table = pa.table(
        {
            "id": [f"r{number:05d}" for number in numbers],
            "image": images,
            "label": digits.target[first : first + len(images)],
            "file": [path.stem] * len(images),
        }
    )
    pq.write_table(table, path, row_group_size=ROWS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Digits in three files of two row groups; two images of each file are bad."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(FILES):
        _write_file(folder / f"{number}.parquet", number * GROUPS * ROWS)
    return folder


class _Scoring:
    """`score` of one folder with one bundle, and how many parts it has scored."""

    def __init__(self, data: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
        self._inputs, self._model, self.scored = [f"{data}/*.parquet"], str(model), 0
        self.die_before: int | None = None  # how many parts are scored before it dies
        original = score_in_parts._scored

        def scored(*arguments: Any) -> Any:
            if self.scored == self.die_before:
                raise KeyboardInterrupt
            self.scored += 1
            return original(*arguments)

        monkeypatch.setattr(score_in_parts, "_scored", scored)

    def __call__(self, output: Path, **options: Any) -> dict[str, Any]:
        self.scored = 0
        return score(self._inputs, self._model, str(output), **options)

    def interrupted(self, output: Path, after: int, **options: Any) -> None:
        self.die_before = after
        with pytest.raises(KeyboardInterrupt):
            self(output, **{"checkpoint_every": EVERY, **options})
        self.die_before = None
        assert not (output / "_SUCCESS").exists()
        assert not (output / "scores").exists()

    def verified(self, output: Path) -> bool:
        return bool(verify(str(output), self._inputs)["ok"])


@pytest.fixture
def scoring(data: Path, bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> _Scoring:
    return _Scoring(data, bundle("ae"), monkeypatch)


def _rows(run: Path) -> list[pa.Table]:
    """Scores and rejects of a finished run, all bits, in the order of the ids."""
    tables = []
    for kind in ("scores", "rejects"):
        paths = [run / file["path"] for file in read_ledger(str(run))["files"]]
        paths = [path for path in paths if path.parent.name == kind]
        assert sorted(paths) == sorted((run / kind).iterdir())
        tables.append(pa.concat_tables(map(pq.read_table, paths)).sort_by("id"))
    return tables


def _counts(ledger: dict[str, Any]) -> dict[str, Any]:
    return {name: ledger[name] for name in ("records", "files_passed_over")}


def _same(run: Path, expected: Path) -> bool:
    pairs = zip(_rows(run), _rows(expected), strict=True)
    ledgers = [_counts(read_ledger(str(path))) for path in (run, expected)]
    names = [sorted(path.name for path in folder.iterdir()) for folder in (run, expected)]
    return all(a.equals(b) for a, b in pairs) and ledgers[0] == ledgers[1] and names[0] == names[1]


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}


def test_parts_give_the_rows_of_a_run_without(
    scoring: _Scoring, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "notes.parquet").mkdir()  # no file, and so none of the inputs
    scoring(tmp_path / "one", where=["file!=1"])
    began = time.monotonic()
    ledger = scoring(tmp_path / "parts", where=["file!=1"], checkpoint_every=EVERY)
    print("TIME", time.monotonic() - began)
    assert scoring.scored == FILES  # of which the second has no record
    assert ledger["checkpoints"] == {"every": EVERY, "parts": FILES}
    assert ledger["records"]["rejected"] == 4
    assert ledger["records"]["excluded_by_where"] == GROUPS * ROWS
    assert _same(tmp_path / "parts", tmp_path / "one")
    assert scoring.verified(tmp_path / "parts")
    assert "scoring part 3: 40 records" in capsys.readouterr().err


def test_resume_does_only_what_is_missing(
    scoring: _Scoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scoring(tmp_path / "one")
    run = tmp_path / "run"
    scoring.interrupted(run, after=2)
    before = {inode for inode, _ in _state(run).values()}
    scoring(run, checkpoint_every=EVERY, resume=True)
    assert scoring.scored == FILES - 2
    assert "2 parts are done, 80 records: going on" in capsys.readouterr().err
    assert _same(run, tmp_path / "one")
    kept = [inode for inode, _ in _state(run).values() if inode in before]
    assert len(kept) == 4, "scores and rejects of two parts, moved as they were"
    assert scoring.verified(run)
