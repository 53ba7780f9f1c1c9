"""Local worker processes that die: the run ends and reports it."""

import os
import signal
from pathlib import Path

import apache_beam as beam
import pytest

from ae_models.errors import JobError
from pipelines.beam import local_workers
from pipelines.beam.run import pipeline_options, run

_FLAGS = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def _run(function: object) -> None:
    run(
        lambda pipeline: pipeline | beam.Create([0]) | beam.Map(function),
        pipeline_options(_FLAGS),
        "testing",
        counter="none",
    )


def test_one_that_is_killed_ends_the_run() -> None:
    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(JobError, match="a worker process died before it finished its work"):
        _run(die)


def test_one_that_never_starts_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(JobError, match="a worker process died"):
        _run(str)


@pytest.mark.parametrize("place", range(3))
def test_a_beam_without_a_private_part_that_is_watched_keeps_its_own_workers(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = list(local_workers._PRIVATE)
    parts[place] = ("_of_a_later_beam",)
    monkeypatch.setattr(local_workers, "_PRIVATE", tuple(parts))
    monkeypatch.delattr(local_workers, "_Connection")  # which the watch would need
    _run(lambda _: (tmp_path / str(os.getpid())).touch())
    (path,) = tmp_path.iterdir()
    assert path.name != str(os.getpid())
