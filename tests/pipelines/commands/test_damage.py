"""Runs with damaged files: `verify` reports them, all other readers refuse with one line."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_models.errors import LatentbeamError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.relabel import relabel
from pipelines.commands.verify import verify
from tests.support.command import run_command
from transforms.results.cluster_members import cluster_sizes, clusters_of
from transforms.results.labelled import check_label, sample_labelled
from transforms.results.reader import (
    LATENT_MEAN,
    LATENT_STDDEV,
    latent_columns,
    read_row_group,
    row_groups,
    vectors,
)
from transforms.results.reject_counts import rejects_by_reason
from transforms.results.summary import summarise_run
from transforms.runs.finish import finish_run
from transforms.runs.shards import ShardLimits, ShardWriter
from transforms.storage.staging import staging_folder

_ROWS, _DIM = 40, 3
_LIMITS = ShardLimits(group_rows=15)


def _scores(first: int) -> pa.RecordBatch:
    generator = np.random.default_rng(first)
    latents = pa.FixedSizeListArray.from_arrays(
        pa.array(generator.normal(size=_ROWS * _DIM).astype(np.float32)), _DIM
    )
    columns: dict[str, Any] = {
        "id": [f"record/{first + row:04}" for row in range(_ROWS)],
        "source": ["input.parquet"] * _ROWS,
        "label": [str(row % 2) for row in range(_ROWS)],
        LATENT_MEAN: latents,
        LATENT_STDDEV: latents,
        "score": generator.random(_ROWS).astype(np.float32),
        "score_mse": generator.random(_ROWS).astype(np.float32),
        "p_value": generator.random(_ROWS),
        "is_anomaly": generator.random(_ROWS) < 0.1,
        "model": pa.array(["abc"] * _ROWS).dictionary_encode(),
    }
    return pa.RecordBatch.from_pydict(columns)


def _rejects() -> pa.RecordBatch:
    names = ("id", "source", "stage", "reason", "message")
    rows = [[f"record/{row}", "input.parquet", "decode", "corrupt", "PNG: broken"] for row in "ab"]
    return pa.RecordBatch.from_pydict(dict(zip(names, zip(*rows, strict=True), strict=True)))


def _clusters() -> pa.RecordBatch:
    ids = [f"record/{row:04}" for row in range(_ROWS)]
    return pa.RecordBatch.from_pydict(
        {
            "id": ids,
            "cluster": pa.array([row % 3 for row in range(_ROWS)], pa.int32()),
            "distance_to_center": pa.array(np.arange(_ROWS, dtype=np.float32)),
        }
    )


def _finished(folder: Path, facts: dict[str, Any], **batches: list[pa.RecordBatch]) -> None:
    shards = []
    for kind, files in batches.items():
        for batch in files:
            writer = ShardWriter(staging_folder(str(folder), "r"), kind, _LIMITS)
            for start in range(0, len(batch), 20):
                writer.add(batch.slice(start, 20))
            shards += writer.close()
    finish_run(str(folder), "r", shards=shards, facts=facts, kinds=tuple(batches))


def make(folder: Path) -> None:
    """A run with two files of scores and one of rejects, its input, and its clusters."""
    records = {"read": 82, "scored": 80, "rejected": 2, "rejected_by_reason": {"corrupt": 2}}
    facts = {"records": records, "where": [], "inputs": [], "model": {"fingerprint": "abc"}}
    scores = [_scores(0), _scores(_ROWS)]
    _finished(folder / "run", facts, scores=scores, rejects=[_rejects()])
    _finished(folder / "clusters", {"records": _ROWS}, clusters=[_clusters()])
    ids = [*(i for batch in scores for i in batch.column("id").to_pylist()), "record/a", "record/b"]
    images = pa.nulls(len(ids), pa.binary())
    pq.write_table(pa.table({"id": ids, "image": images}), folder / "input.parquet")


def unseal(folder: Path) -> None:
    """Converts the files and the ledger to those of versions without checksums and digests."""
    path = folder / "run.json"
    ledger = json.loads(path.read_text())
    for file in ledger["files"]:
        file.pop("sha256")
        table = pq.read_table(folder / file["path"])
        pq.write_table(table, folder / file["path"], row_group_size=15)
    path.write_text(json.dumps(ledger))


# Every way in which a command reads a run's rows, or rows derived from them.
def _evaluate(folder: Path) -> None:
    evaluate(str(folder / "run"), "label=1")


def _relabel(folder: Path) -> None:
    relabel(str(folder / "run"), str(folder / "new"), fdr=0.5, overwrite=True)


def _sample(folder: Path) -> None:
    run = str(folder / "run")
    check_label(run, "label")
    columns = latent_columns(run)
    rows = sample_labelled(run, columns, "label", count=30, seed=0).rows
    for name in columns:
        vectors(rows[name])


def _all_rows(folder: Path) -> None:
    for group in row_groups(str(folder / "run")):
        for batch in read_row_group(group, ["id", LATENT_MEAN, "label"]):
            vectors(batch.column(LATENT_MEAN))
            batch.to_pylist()


def _summary(folder: Path) -> None:
    reference = np.sort(np.random.default_rng(0).random(50).astype(np.float32))
    summarise_run(
        str(folder / "run"),
        "abc",
        calibration={"score": reference, "score_mse": reference},
        edges=np.linspace(0, 1, 11),
        most=5,
        columns=["label", LATENT_MEAN],
    )


def _reject_counts(folder: Path) -> None:
    rejects_by_reason(str(folder / "run"), 3)


def _cluster_members(folder: Path) -> None:
    sizes = cluster_sizes(str(folder / "clusters"))
    clusters_of(str(folder / "clusters"), list(sizes), ["record/0001", "record/0002"], 4)


READERS: dict[str, Callable[[Path], None]] = {
    each.__name__.strip("_"): each
    for each in (
        *(_evaluate, _relabel, _sample, _all_rows, _summary, _reject_counts, _cluster_members),
    )
}
FILES = (
    "run/scores/part-00000-of-00002.parquet",
    "run/rejects/part-00000-of-00001.parquet",
    "clusters/clusters/part-00000-of-00001.parquet",
)


def _flipped(data: bytes, generator: np.random.Generator) -> bytes:
    place = int(generator.integers(len(data)))
    return data[:place] + bytes([data[place] ^ 1 << int(generator.integers(8))]) + data[place + 1 :]


def _flipped_near_the_end(data: bytes, generator: np.random.Generator) -> bytes:
    middle = max(0, len(data) - 4000)
    return data[:middle] + _flipped(data[middle:], generator)


def _cut(data: bytes, generator: np.random.Generator) -> bytes:
    return data[: int(generator.integers(len(data)))]


def _zeroed(data: bytes, generator: np.random.Generator) -> bytes:
    place, size = int(generator.integers(len(data))), int(generator.integers(1, 200))
    return (data[:place] + bytes(size) + data[place + size :])[: len(data)]


def _doubled(data: bytes, _: np.random.Generator) -> bytes:
    return data + data


DAMAGES = (_flipped, _flipped_near_the_end, _cut, _zeroed, _doubled)


def try_all(folder: Path, count: int, seed: int, told: Callable[[str], None]) -> dict[str, int]:
    """Damages each file `count` times, and reads it in every way. Errors other than LatentbeamError
    are raised; so is an `ok` of `verify` for changed rows, unless the run has no digests."""
    generator, counts = np.random.default_rng(seed), {"refused": 0, "read": 0, "same": 0}
    is_sealed = "sha256" in (folder / "run" / "run.json").read_text()
    whole = {name: (folder / name).read_bytes() for name in FILES}
    for number in range(count):
        for name, data in whole.items():
            damaged = DAMAGES[number % len(DAMAGES)](data, generator)
            told(f"{seed} {number} {name}")
            (folder / name).write_bytes(damaged)
            if name.startswith("run") and verify(*_verified(folder))["ok"]:
                assert not is_sealed or _same(damaged, data), (seed, number, name)
                counts["same"] += 1
            for reader in READERS.values():
                try:
                    reader(folder)
                    counts["read"] += 1
                except LatentbeamError:
                    counts["refused"] += 1
            (folder / name).write_bytes(data)
    return counts


def _verified(folder: Path) -> tuple[str, list[str]]:
    return str(folder / "run"), [str(folder / "input.parquet")]


def _same(damaged: bytes, whole: bytes) -> bool:
    tables = [pq.read_table(pa.BufferReader(data)) for data in (damaged, whole)]
    return bool(tables[0].equals(tables[1]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs with and without digests, all readable."""
    folders = {name: tmp_path_factory.mktemp("whole") / name for name in ("sealed", "before")}
    for name, folder in folders.items():
        make(folder)
        if name == "before":
            unseal(folder / "run")
            unseal(folder / "clusters")
        assert verify(*_verified(folder))["ok"]
        for reader in READERS.values():
            reader(folder)
        shutil.rmtree(folder / "new")
    return folders


@pytest.fixture(params=["sealed", "before"])
def made(request: pytest.FixtureRequest, whole: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(whole[request.param], tmp_path, dirs_exist_ok=True)
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def sealed(whole: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(whole["sealed"], tmp_path, dirs_exist_ok=True)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def test_damaged_bytes(made: Path) -> None:
    counts = try_all(made, len(DAMAGES), 0, lambda _: None)
    assert min(counts["refused"], counts["read"]) > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_many_damaged_bytes_in_a_process_that_may_crash(made: Path, seed: int) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.pipelines.commands import test_damage\n"
        "told = lambda text: Path('last').write_text(text)\n"
        f"print(test_damage.try_all(Path('.'), 100, {seed}, told))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, (made.joinpath("last").read_text(), done.stderr[-2000:])


def _deleted(path: Path) -> None:
    path.unlink()


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere")


def _a_link_to_another_kind(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parents[2] / "input.parquet")


def _a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


_INSTEAD = (
    *(_deleted, _a_folder, _a_pipe, _a_link_to_nothing, _a_link_to_another_kind, _a_device, _empty),
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("instead", _INSTEAD)
def test_something_else_in_a_file_s_place(
    name: str, instead: Callable[[Path], None], made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instead(made / name)
    if name.startswith("run"):
        arguments = ["verify", "--scores", "run", "--input", "input.parquet"]
        status, out, err = run_command(arguments, capsys)
        assert status == 1
        assert name in out, (out, err)
    for reader in READERS.values():
        with contextlib.suppress(LatentbeamError):
            reader(made)
    reader = {"scores": "evaluate", "rejects": "reject_counts", "clusters": "cluster_members"}
    with pytest.raises(LatentbeamError, match=name):
        READERS[reader[name.split("/")[1]]](made)


def test_files_in_each_other_s_place(made: Path) -> None:
    """The run without digests has the same rows, in other files."""
    one, two = sorted((made / "run" / "scores").iterdir())
    sealed = "sha256" in (made / "run" / "run.json").read_text()
    one.rename(made / "other")
    two.rename(one)
    (made / "other").rename(two)
    found = verify(*_verified(made))
    assert found["ok"] != sealed
    _evaluate(made)


_LEDGERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no files": lambda ledger: ledger.pop("files"),
    "files of another type": lambda ledger: ledger.update(files={}),
    "a file of another type": lambda ledger: ledger.update(files=[3]),
    "a file without a path": lambda ledger: ledger["files"][0].pop("path"),
    "a file without rows": lambda ledger: ledger["files"][0].pop("rows"),
    "rows below zero": lambda ledger: ledger["files"][0].update(rows=-1),
    "rows as text": lambda ledger: ledger["files"][0].update(rows="40"),
    "rows that are a truth": lambda ledger: ledger["files"][0].update(rows=True),
    "more rows": lambda ledger: ledger["files"][0].update(rows=41),
    "a path that is a number": lambda ledger: ledger["files"][0].update(path=1),
    "a path out of the folder": lambda ledger: ledger["files"][0].update(path="../input.parquet"),
    "a path out of its kind": lambda ledger: ledger["files"][0].update(path="scores/../run.json"),
    "a path from the root": lambda ledger: ledger["files"][0].update(path="/etc/passwd"),
    "a path of no kind": lambda ledger: ledger["files"][0].update(path="run.json"),
    "a file twice": lambda ledger: ledger["files"].append(ledger["files"][0]),
    "a digest that is none": lambda ledger: ledger["files"][0].update(sha256="x"),
    "a file less": lambda ledger: ledger["files"].pop(),
    "no run": lambda ledger: ledger.pop("run_id"),
    "a run that is a list": lambda ledger: ledger.update(run_id=[]),
    "records of text": lambda ledger: ledger["records"].update(read="82"),
    "other records": lambda ledger: ledger["records"].update(read=83),
    "reasons of another type": lambda ledger: ledger["records"].update(rejected_by_reason=[]),
    "a condition of another type": lambda ledger: ledger.update(where=[7]),
    "a condition that is none": lambda ledger: ledger.update(where=["label"]),
    "a model of another type": lambda ledger: ledger.update(model="abc"),
    "a fingerprint of another type": lambda ledger: ledger.update(model={"fingerprint": 3}),
    "inputs of another type": lambda ledger: ledger.update(inputs=7),
    "a way of reading that is none": lambda ledger: ledger.update(reading={"format": "gzip"}),
}  # fmt: skip
_TEXTS = {
    "cut short": lambda text: text[:-30],
    "empty": lambda _: "",
    "no JSON": lambda text: text.replace(":", ";"),
    "nested deeply": lambda _: "[" * 100_000,
    "a number": lambda _: "7",
    "a great number": lambda text: text.replace("40", "4" * 5000),
}


def _verify_reports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_command(
        ["verify", "--scores", "run", "--input", "input.parquet"], capsys
    )
    assert status == 1, (out, err)
    assert out
    for reader in READERS.values():
        with contextlib.suppress(LatentbeamError):
            reader(folder)


@pytest.mark.parametrize("name", _LEDGERS)
def test_a_ledger_that_was_changed(
    name: str, sealed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sealed / "run" / "run.json"
    ledger = json.loads(path.read_text())
    _LEDGERS[name](ledger)
    path.write_text(json.dumps(ledger))
    _verify_reports(sealed, capsys)


@pytest.mark.parametrize("name", _TEXTS)
def test_a_ledger_that_is_none(name: str, sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sealed / "run" / "run.json"
    path.write_text(_TEXTS[name](path.read_text()))
    _verify_reports(sealed, capsys)
    with pytest.raises(LatentbeamError, match=r"run\.json"):
        _evaluate(sealed)


@pytest.mark.parametrize("instead", _INSTEAD)
def test_something_else_in_the_ledger_s_place(
    instead: Callable[[Path], None], sealed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instead(sealed / "run" / "run.json")
    _verify_reports(sealed, capsys)
