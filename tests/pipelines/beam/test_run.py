"""Running pipelines: TensorFlow's threads in local worker processes, other engines' errors."""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
import pytest

from ae_models.errors import JobError, OutputError
from pipelines.beam.run import cause, decoding_threads, pipeline_options, run

_VARIABLE = "TF_NUM_INTRAOP_THREADS"


def _seen_by_workers(folder: Path, flags: Sequence[str]) -> str | None:
    """The variable's value in a worker."""
    path = folder / "seen"

    def write(_: int) -> None:
        path.write_text(os.environ.get(_VARIABLE, ""))

    run(
        lambda pipeline: pipeline | beam.Create([0]) | beam.Map(write),
        pipeline_options(flags),
        "testing",
        counter="none",
    )
    return path.read_text() or None


def test_worker_processes_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_VARIABLE, raising=False)
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]
    assert _seen_by_workers(tmp_path, flags) == str(len(os.sched_getaffinity(0)))
    assert _VARIABLE not in os.environ
    assert _seen_by_workers(tmp_path, ["--direct_num_workers=2"]) is None, "threads, not processes"


def test_more_workers_than_cores_have_one_thread_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    assert _seen_by_workers(tmp_path, flags) == "1"


def test_what_the_user_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_VARIABLE, "7")
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    assert _seen_by_workers(tmp_path, flags) == "7"


@pytest.mark.parametrize(
    ("flags", "threads"),
    [
        ([], 3),
        (["--runner=DirectRunner"], 3),
        (["--direct_num_workers=2"], 1),
        (["--direct_running_mode=multi_processing"], 1),
        (["--runner=FlinkRunner"], 1),
    ],
)
def test_one_local_process_decodes_with_all_cores(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert decoding_threads(pipeline_options(flags)) == threads


def _numbers(pipeline: beam.Pipeline, function: Callable[[int], object]) -> object:
    return pipeline | beam.Create([0]) | beam.Map(function)


def test_an_error_on_another_engine_is_one_line() -> None:
    """PortableRunner represents all runners that accept jobs as Flink does."""

    def fail(number: int) -> int:
        raise ValueError(f"cannot use {number}")

    flags = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    with pytest.raises(JobError, match=r"^PortableRunner: the job failed: .*cannot use 0") as error:
        run(lambda p: _numbers(p, fail), pipeline_options(flags), "testing", counter="none")
    assert "\n" not in str(error.value)


def test_loopback_is_worker_processes_of_our_own_pool(tmp_path: Path) -> None:
    def write(_: int) -> None:
        (tmp_path / str(os.getpid())).touch()

    flags = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    options = pipeline_options(flags)
    run(lambda p: _numbers(p, write), options, "testing", counter="none")
    (path,) = tmp_path.iterdir()
    assert path.name != str(os.getpid()), "Beam's own would be a thread here"
    assert options.get_all_options()["environment_type"] == "LOOPBACK"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("java.lang.RuntimeException: x\n\tat a.b(C.java:1)\n", "java.lang.RuntimeException: x"),
        (
            "java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent "
            'call last):\n  File "a.py", line 1, in f\n    raise KeyError(1)\nKeyError: 1\n\n'
            "During handling of the above exception, another exception occurred:\n\n"
            'Traceback (most recent call last):\n  File "b.py", line 2, in g\n    h()\n'
            "ValueError: no [while running 'Score']\n\n\tat org.apache.beam.X(X.java:7)\n",
            "ValueError: no [while running 'Score']",
        ),
        ("", "no reason given"),
    ],
)
def test_the_cause_is_one_line_of_nested_tracebacks(text: str, line: str) -> None:
    assert cause(text) == line


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_an_error_of_the_user_comes_back_as_one(mode: str) -> None:
    def fail(_: int) -> None:
        raise OutputError("the disk: it is full")

    flags = [f"--direct_running_mode={mode}", "--direct_num_workers=1"]
    with pytest.raises(OutputError, match=r"^the disk: it is full$"):
        run(lambda p: _numbers(p, fail), pipeline_options(flags), "testing", counter="none")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        run(
            lambda p: _numbers(p, lambda x: 1 // x), pipeline_options([]), "testing", counter="none"
        )


@pytest.mark.parametrize("fails", [False, True])
def test_no_temporary_folder_stays(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def build(pipeline: beam.Pipeline) -> object:
        assert list(tmp_path.iterdir()) != []
        if fails:
            raise OutputError("full")
        return pipeline | beam.Create([0])

    with pytest.raises(OutputError) if fails else contextlib.nullcontext():
        run(build, pipeline_options([]), "testing", counter="none")
    assert list(tmp_path.iterdir()) == []
