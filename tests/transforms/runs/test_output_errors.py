"""Outputs that cannot be written: one line says why, and nothing could be mistaken for a result."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ae_models.errors import OutputError
from pipelines.cli import main
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from transforms.parts import write_part
from transforms.runs import write
from transforms.runs.finish import finish_run
from transforms.runs.shards import Shard, ShardLimits, ShardWriter
from transforms.storage.staging import staging_folder

Bundles = Callable[[str], Path]
_NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("a file system of a given size can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _score(
    bundle: Path, run: Path, capsys: pytest.CaptureFixture[str], flags: Sequence[str] = ()
) -> tuple[int, list[str]]:
    """The exit status, and the lines on stderr except progress."""
    arguments = ["score", "--input", "builtin:digits", "--model", str(bundle), "--error_maps"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--output", str(run), *flags])
    lines = capsys.readouterr().err.splitlines()
    return int(exit_.value.code or 0), [line for line in lines if not line.startswith("scoring")]


def _visible(run: Path) -> list[str]:
    """What readers of the folder see."""
    return [path.name for path in run.iterdir() if path.name[0] != "."] if run.exists() else []


@pytest.mark.parametrize("flags", [[], ["--checkpoint_every=2000"]])
def test_a_disk_that_is_full_is_one_line(
    bundle: Bundles,
    small_disk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    run = small_disk / "run"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_900_000))
    status, lines = _score(bundle("ae"), run, capsys, flags)
    assert (status, lines) == (2, [f"latentbeam: cannot write to {run}: No space left on device"])
    assert _visible(run) == []
    assert sum(p.stat().st_size for p in run.rglob("*") if p.is_file()) < 10_000, "it is freed"
    filler.unlink()
    status, lines = _score(bundle("ae"), run, capsys, [*flags, "--resume"])
    assert (status, lines) == (0, [])
    assert verify(str(run), ["builtin:digits"])["ok"]


@pytest.mark.slow
def test_a_disk_that_is_full_for_worker_processes(
    bundle: Bundles, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "filler").write_bytes(bytes(1_900_000))
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]
    status, lines = _score(bundle("ae"), small_disk / "run", capsys, flags)
    expected = f"latentbeam: cannot write to {small_disk}/run: No space left on device"
    assert (status, lines[-1]) == (2, expected)
    assert _visible(small_disk / "run") == []


@pytest.mark.parametrize("left", range(0, 40_960, 4096))
def test_a_disk_that_fills_up_while_the_run_finishes(small_disk: Path, left: int) -> None:
    """One more page is free each time, until everything that finishing writes fits."""
    run = small_disk / "run"
    path = Path(staging_folder(str(run), "one"), "scores-0.parquet")
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(1000))
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(free - left))
    shards, facts = [Shard("scores", str(path), 1, "a", {})], {"much": "x" * 20_000}
    try:
        finish_run(str(run), "one", shards=shards, facts=facts)
    except OutputError as error:
        message = str(error)
    else:
        message = "none"
    if message == "none":
        assert left > 16_000
        assert sorted(_visible(run)) == ["_SUCCESS", "passed_over", "rejects", "run.json", "scores"]
    else:
        assert left < 24_000
        assert message == f"cannot write to {run}: No space left on device"
        assert _visible(run) == [], "neither a ledger nor scores"


def test_a_file_system_that_is_read_only(
    bundle: Bundles, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "there").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for run in (small_disk / "there", small_disk / "new" / "run"):
        status, lines = _score(bundle("ae"), run, capsys)
        assert (status, lines) == (2, [f"latentbeam: cannot write to {run}: Read-only file system"])


def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    code = (
        "import os, sys; from transforms.runs.run_lock import held\n"
        f"if os.getuid() == 0: os.setegid({_NOBODY}); os.seteuid({_NOBODY})\n"
        f"with held({str(tmp_path / 'run')!r}): pass"
    )
    if os.getuid() != 0:
        (tmp_path / "run").chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents):  # so that only the last one is inaccessible
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ae_models.errors.OutputError: cannot write to {tmp_path}/run: Permission denied"
    )


def test_what_could_not_be_written_is_closed(small_disk: Path) -> None:
    """Nothing is left open that would fail again when it is garbage-collected."""
    folder = str(small_disk / "run" / ".staging-1")
    noise = np.random.default_rng(0).bytes(1000)
    writer = ShardWriter(folder, "scores", ShardLimits(group_rows=10, compression="none"))
    batch = pa.RecordBatch.from_pydict({"id": ["a"] * 1000, "blob": [noise] * 1000})
    (small_disk / "filler").write_bytes(bytes(1_900_000))
    with pytest.raises(OutputError, match=f"cannot write to {small_disk}/run: No space left"):
        writer.add(batch)
    assert writer.close() == []


@pytest.mark.parametrize(
    ("module", "name", "flags"),
    [(write, "finish_run", {}), (write_part, "commit", {"checkpoint_every": 100})],
)
def test_a_folder_that_disappears(
    bundle: Bundles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    flags: dict[str, int],
) -> None:
    run = tmp_path / "run"
    original = getattr(module, name)

    def removed(*arguments: Any, **named: Any) -> Any:
        shutil.rmtree(run)
        return original(*arguments, **named)

    monkeypatch.setattr(module, name, removed)
    with pytest.raises(OutputError, match=f"{run}.* (is gone|was removed)"):
        score(["builtin:digits"], str(bundle("ae")), str(run), **flags)
    assert _visible(run) == []
