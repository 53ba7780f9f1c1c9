"""A run on Flink's two TaskManagers, and one of them dying in the middle."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.digest import digest
from deploy.local.flink_cluster import FlinkCluster, flags, rest
from tests.engines.scoring import FLINK_JOB, Outcome, score_command

pytestmark = pytest.mark.engines

_FLAGS = ["--parallelism=2"]


def _jobs() -> list[dict[str, Any]]:
    """The last first: a cluster may have run the tests before."""
    return sorted(rest("jobs/overview")["jobs"], key=lambda job: -job["start-time"])


def _records_by_task_manager(job: str) -> Counter[str]:
    """How many records Flink's tasks gave on, by TaskManager."""
    records = Counter[str]()
    for vertex in rest(f"jobs/{job}")["vertices"]:
        path = f"jobs/{job}/vertices/{vertex['id']}/taskmanagers"
        for machine in rest(path)["taskmanagers"]:
            records[machine["taskmanager-id"]] += machine["metrics"]["write-records"]
    return records


def test_both_task_managers_work(scored_by: Callable[[str], Outcome]) -> None:
    outcome = scored_by("FlinkRunner")
    job = next(job for job in _jobs() if job["name"] == FLINK_JOB)
    assert job["state"] == "FINISHED"
    records = _records_by_task_manager(job["jid"])
    assert len(records) == 2, "both have tasks"
    assert all(count > 0 for count in records.values())
    assert outcome.ledger["options"]["parallelism"] == 2


def test_a_task_manager_that_is_killed_never_leaves_a_wrong_folder(
    images: Path, bundle_28: Path, scored_by: Callable[[str], Outcome], tmp_path: Path
) -> None:
    expected = scored_by("DirectRunner").digest
    cluster, output = FlinkCluster(), tmp_path / "run"
    command = score_command(images, bundle_28, output, [*flags(), *_FLAGS])
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for_files(output, process)
            cluster.kill_task_manager(1)
            _, said = process.communicate(timeout=600)
        finally:
            process.kill()
            cluster.start_task_manager(1)
    finished = (output / "_SUCCESS").exists()
    assert finished == (process.returncode == 0), said[-2000:]
    if finished:
        assert digest(output) == expected
    else:
        assert not (output / "scores").exists()


def _wait_for_files(output: Path, process: subprocess.Popen[str]) -> None:
    """Until records were scored, not all of them."""
    end = time.monotonic() + 300
    while not list(output.glob(".staging-*/*.parquet")):
        assert process.poll() is None, "it ended before it was hit"
        assert time.monotonic() < end
        time.sleep(0.05)
