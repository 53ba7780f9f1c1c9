"""Running a Beam pipeline from the command line."""

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from ae_models import errors
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, JobError, LatentbeamError
from pipelines.beam.dataflow import Job, announce, check_flags, hand_over, is_handed_over
from pipelines.beam.flags import check_beam_flags, runner_name
from pipelines.beam.local_workers import DIED, quiet_threads, tells_of_a_death
from pipelines.beam.recorded import hidden_values, recorded
from pipelines.beam.worker_pool import serving
from pipelines.console.concealed import conceal
from pipelines.console.progress import Progress, WorkerProgress

_LOCAL_RUNNER = "FnApiRunner"
_LOOPBACK, _JAVA_ENGINES = "LOOPBACK", ("flink", "spark", "portable")
_STEP = re.compile(r" \[while running '[^']*'\]")  # appended to messages by Beam
_THREADS = "TF_NUM_INTRAOP_THREADS"
_PACKAGES = ("latentbeam", "apache-beam", "tensorflow", "keras", "tensorflow-transform", "pyarrow")


def pipeline_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options, from the flags that are not ours.

    Local runs name the in-process engine explicitly: DirectRunner chooses between three engines,
    depending on what a pipeline contains and whether a download succeeds. Beam's file systems get
    the options too, because paths are checked before there is a pipeline.

    Raises:
      ConfigError: a flag that Beam does not recognise, or a value that it cannot parse; DaskRunner,
        which drops records without an error (Beam 2.77); a negative number of workers; Dataflow's
        flags with another runner, or flags that exclude each other.
    """
    check_beam_flags(flags)
    options = PipelineOptions(list(flags))
    conceal(hidden_values(options.get_all_options(drop_default=True)))
    name = runner_name(options)
    if name == "direct":
        options.view_as(StandardOptions).runner = _LOCAL_RUNNER
    if name == "dask":
        raise ConfigError(
            "DaskRunner loses records without an error: choose another runner, or omit --runner"
        )
    check_range(0, direct_num_workers=options.view_as(DirectOptions).direct_num_workers)
    check_flags(options)
    FileSystems.set_options(options)
    return options


def run(
    build: Callable[[beam.Pipeline], Any], options: PipelineOptions, label: str, counter: str
) -> Job | None:
    """Builds a pipeline, runs it until it finishes, and shows its progress.

    If the flags request it, the job is handed over instead, and there is no result yet.

    Args:
      build: applies the transforms.
      options: the pipeline's options.
      label: description of the work, for people.
      counter: the metric that counts finished records.

    Returns:
      The job that was handed over; None if it ran here and finished.

    Raises:
      ConfigError: the runner needs an option that is missing, or cannot use one.
      LatentbeamError: a step raised one, possibly in a worker process.
      JobError: an engine outside this process could not be reached, or gave up; a local worker
        process died.
    """
    with _own_workers(options), _pipeline(options) as pipeline:
        build(pipeline)
        if is_handed_over(options):
            return hand_over(pipeline, options)
        with (
            Progress(label) as progress,
            WorkerProgress(progress),
            _threads_for_workers(options),
            _errors_of_engine(options),
            quiet_threads(),
        ):
            result = pipeline.run()
            announce(result, options)
            result.wait_until_finish()
            counters = result.metrics().query(MetricsFilter().with_name(counter))["counters"]
            progress.show(sum(found.result for found in counters))
    return None


@contextlib.contextmanager
def _pipeline(options: PipelineOptions) -> Iterator[beam.Pipeline]:
    """A pipeline. Its temporary folder is removed too; Beam would only do so after a run."""
    with contextlib.ExitStack() as folders:
        try:
            trial = beam.Pipeline(runner=_LOCAL_RUNNER, options=options)
            folders.callback(shutil.rmtree, trial.local_tempdir, ignore_errors=True)
            _ = trial | beam.Create([0]) | beam.Reshuffle()  # first use of some options
            pipeline = beam.Pipeline(options=options)
        except Exception as error:  # only the options can cause one here
            raise ConfigError(f"Beam cannot use these flags: {error}") from error
        folders.callback(shutil.rmtree, pipeline.local_tempdir, ignore_errors=True)
        yield pipeline


def decoding_threads(options: PipelineOptions) -> int:
    """One per core if a single local process has the machine to itself; otherwise one, because
    there are enough processes or bundles."""
    direct = options.view_as(DirectOptions)
    alone = direct.direct_running_mode == "in_memory" and direct.direct_num_workers == 1
    return len(os.sched_getaffinity(0)) if _is_local(options) and alone else 1


def _is_local(options: PipelineOptions) -> bool:
    return (options.view_as(StandardOptions).runner or "").endswith(_LOCAL_RUNNER)


@contextlib.contextmanager
def _threads_for_workers(options: PipelineOptions) -> Iterator[None]:
    """Divides TensorFlow's threads among the local worker processes while these are started: each
    would otherwise start one per core, which gains nothing."""
    direct = options.view_as(DirectOptions)
    if (
        not _is_local(options)
        or direct.direct_running_mode != "multi_processing"
        or _THREADS in os.environ
    ):
        yield
        return
    cores = len(os.sched_getaffinity(0))
    os.environ[_THREADS] = str(max(1, cores // (direct.direct_num_workers or os.cpu_count() or 1)))
    try:
        yield
    finally:
        del os.environ[_THREADS]


@contextlib.contextmanager
def _own_workers(options: PipelineOptions) -> Iterator[None]:
    """Serves `--environment_type=LOOPBACK` from our own pool in this process: Beam's pool stops
    workers by ids that two TaskManagers share. Prism gives its workers distinct names, so it uses
    Beam's pool."""
    portable = options.view_as(PortableOptions)
    if portable.environment_type != _LOOPBACK or runner_name(options) not in _JAVA_ENGINES:
        yield
        return
    with serving("localhost:0") as (_, port):
        portable.environment_type = "EXTERNAL"
        portable.environment_config = f"localhost:{port}"
        try:
            yield
        finally:
            portable.environment_type, portable.environment_config = _LOOPBACK, None


@contextlib.contextmanager
def _errors_of_engine(options: PipelineOptions) -> Iterator[None]:
    """Turns errors from elsewhere, which arrive as text, into one line for people."""
    try:
        yield
    except LatentbeamError as error:
        raise type(error)(_STEP.sub("", str(error))) from error
    except (RuntimeError, grpc.RpcError) as error:
        if (known := _error_of_user(cause(str(error)))) is not None:
            raise known from error
        if not _is_local(options):
            runner = options.view_as(StandardOptions).runner
            raise JobError(f"{runner}: the job failed: {cause(str(error))}") from error
        if tells_of_a_death(error):
            raise JobError(DIED) from error
        raise


def _error_of_user(line: str) -> LatentbeamError | None:
    """The error that a worker process reported, parsed from the last line of a traceback."""
    name, _, message = line.partition(": ")
    kind = getattr(errors, name.removeprefix(f"{errors.__name__}."), None)
    if not (isinstance(kind, type) and issubclass(kind, LatentbeamError)):
        return None
    return kind(_STEP.sub("", message))


def cause(text: str) -> str:
    """The line that says what went wrong, from Python tracebacks nested in Java's: the innermost
    error's line, or the first line if there is no traceback."""
    innermost = text.rpartition("Traceback (most recent call last):\n")[2]
    lines = [line for line in innermost.splitlines() if line.strip() and not line[0].isspace()]
    return lines[0] if lines else "no reason given"


def described_options(options: PipelineOptions) -> dict[str, Any]:
    """The options that were given, as a ledger may contain them (`pipelines.beam.recorded`)."""
    return recorded(options.get_all_options(drop_default=True))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if name != "tensorflow":
            raise
        return importlib.metadata.version("tensorflow-cpu")  # the same without CUDA: deploy/slim
