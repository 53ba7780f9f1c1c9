"""A run folder is reserved for one run at a time, but not for a crashed run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_models.errors import OutputError
from tests.support.object_store import ROOT, SCHEME, BucketFileSystem, get, objects, put
from tests.support.project import PROJECT
from transforms.runs.lease import LeaseTimes
from transforms.runs.run_lock import held

RUN = f"{SCHEME}b/run"
QUICK = LeaseTimes(renewed_every=0.05, dead_after=0.5)
_HOLD = """
import subprocess, sys, time
import tests.support.object_store
from transforms.runs.run_lock import held
with held(sys.argv[1]):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(worker.pid, flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def _staging(run: Path) -> Iterator[None]:
    """Holds a folder in which something is being written."""
    with held(str(run)):
        (run / ".staging-own").mkdir()
        yield


@contextlib.contextmanager
def _made_anew(run: Path) -> Iterator[None]:
    """Replaces a folder with one of the same name that contains another run's files."""
    run.rename(f"{run}-away")
    (run / ".staging-other").mkdir(parents=True)
    yield


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the objects of an empty store."""
    folder = tmp_path / "objects"
    folder.mkdir()
    monkeypatch.setenv(ROOT, str(folder))
    return folder


def _dead(age: float, name: str = "dead") -> str:
    """The lease of a run that crashed `age` seconds ago."""
    path = f"{RUN}/.lease-{name}"
    put(path, json.dumps({"host": "h7", "process": 12, "time": time.time() - age}).encode())
    (place,) = (p for p in Path(os.environ[ROOT]).iterdir() if p.name.endswith(f".lease-{name}"))
    os.utime(place, (time.time() - age,) * 2)
    return path


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process that holds `tmp_path/run`, and has started a worker process."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "run")]
    root = PROJECT
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, env=environment)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    os.kill(worker, signal.SIGKILL)


def test_a_process_that_died_holds_nothing_even_if_its_worker_lives(
    holder: subprocess.Popen, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="another run is writing"), held(str(tmp_path / "run")):
        pass
    holder.kill()
    holder.wait()
    with held(str(tmp_path / "run")):
        pass


def test_a_folder_that_was_made_anew_is_not_held(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with held(str(run)) as check:
        check()
        run.rmdir()
        with pytest.raises(OutputError, match="was removed while the run was in progress"):
            check()
        run.mkdir()
        (run / ".staging-other").mkdir()
        with pytest.raises(OutputError, match="was removed while the run was in progress"):
            check()
    assert (run / ".staging-other").exists(), "it is another's"
    with pytest.raises(FileExistsError), _staging(run), _made_anew(run):
        (run / ".staging-other").mkdir()
    assert (run / ".staging-other").exists(), "it is another's"


def test_what_a_run_that_fails_has_written_is_gone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(FileExistsError), _staging(run):
        (run / ".staging-own").mkdir()
    assert not run.exists()


def test_of_two_runs_into_a_folder_of_a_store_the_second_is_refused() -> None:
    with held(RUN) as check:
        check()
        (path,) = objects(RUN)
        with (
            pytest.raises(OutputError, match=rf"another run .* {RUN} \(\S+, process {os.getpid()}"),
            held(RUN),
        ):
            pass
        assert objects(RUN) == [path], "the second leaves nothing"
    assert objects(RUN) == []
    with held(RUN):
        pass


@pytest.mark.parametrize("age", [0, 30, 90])
def test_a_lease_that_may_be_alive_is_kept(age: float) -> None:
    path = _dead(age)
    with pytest.raises(OutputError, match=r"\(h7, process 12\)"), held(RUN):
        pass
    assert objects(RUN) == [path]


def test_a_dead_ones_lease_is_taken_over() -> None:
    _dead(130, "a")
    _dead(10_000, "b")
    with held(RUN) as check:
        assert len(objects(RUN)) == 1
        check()
    assert objects(RUN) == []


def test_a_lease_is_renewed_for_as_long_as_it_is_held() -> None:
    with held(RUN, QUICK):
        time.sleep(1.0)
        with pytest.raises(OutputError, match="another run"), held(RUN, QUICK):
            pass


def test_a_run_that_lost_its_lease_is_told() -> None:
    with held(RUN, QUICK) as check:
        for path in objects(RUN):
            BucketFileSystem(None).delete([path])
        with held(RUN, QUICK):
            with pytest.raises(OutputError, match=f"another run has taken {RUN}"):
                check()
            time.sleep(0.2)
            assert len(objects(RUN)) == 1, "it is not renewed"


def test_a_store_that_is_away_for_a_moment_ends_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(change: str, path: str) -> None:
        raise RuntimeError("503")

    with held(RUN, QUICK) as check:
        monkeypatch.setattr(BucketFileSystem, "on_change", staticmethod(fail))
        time.sleep(0.2)
        monkeypatch.setattr(BucketFileSystem, "on_change", None)
        before = get(objects(RUN)[0])
        time.sleep(0.2)
        assert get(objects(RUN)[0]) != before
        check()


@pytest.mark.parametrize(("every", "dead"), [(0, 1), (-1, 1), (2, 2), (3, 2)])
def test_times_of_a_lease_that_would_look_dead_are_refused(every: float, dead: float) -> None:
    with pytest.raises(ValueError, match=f"Received: .*renewed_every={every}, dead_after={dead}"):
        LeaseTimes(every, dead)


def test_a_store_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(change: str, path: str) -> None:
        raise RuntimeError("403 forbidden")

    monkeypatch.setattr(BucketFileSystem, "on_change", staticmethod(fail))
    with pytest.raises(OutputError, match=f"cannot write to {RUN}: RuntimeError: 403"), held(RUN):
        pass


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "run"
    with held(str(output)):
        assert output.is_dir()
        with pytest.raises(OutputError, match="another run"), held(str(output)):
            pass
        (output / "notes.txt").touch()
    with held(str(output)):
        pass
    assert (output / "notes.txt").exists()


def test_a_folder_that_was_held_for_nothing_is_gone(tmp_path: Path) -> None:
    with held(str(tmp_path / "run")):
        pass
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"), held(str(tmp_path / "file" / "run")):
        pass
