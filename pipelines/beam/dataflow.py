"""Dataflow jobs, which can be submitted without waiting for them to finish."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    TestOptions,
)
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.portability.common_urns import resource_hints
from apache_beam.transforms.resources import resource_hints_from_options

from ae_models.errors import ConfigError
from pipelines.beam.flags import runner_name
from pipelines.console.progress import say
from transforms.storage.paths import is_local

_DATAFLOW = "dataflow"
_EMBEDDED = "builtin:"
_CONSOLE = "https://console.cloud.google.com/dataflow/jobs"


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that was handed over: its result is not known here.

    state: `checked`: only its graph was built; `template`: written to `location`, to be submitted
      later; `submitted`: accepted by the service.
    name: the job's name.
    id: the service's job id; None if the job was not submitted.
    location: path of the template, or else the address of the service's page for the job.
    graph_bytes: size of the job graph.
    environments: where its steps run: the workers' image and the resource hints.
    """

    state: str
    name: str
    id: str | None
    location: str | None
    graph_bytes: int
    environments: list[dict[str, Any]]


def check_flags(options: PipelineOptions) -> None:
    """Raises ConfigError for flags that would hand a job over where the runner is not Dataflow and
    would ignore them, and for accelerators that are requested in two ways."""
    for name, given in _handing_over(options).items():
        if given and not _is_dataflow(options):
            raise ConfigError(f"--{name} works only with --runner=DataflowRunner")
    services = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    accelerators = [option for option in services if option.startswith("worker_accelerator")]
    if accelerators and resource_hints.ACCELERATOR.urn in _hints(options):
        raise ConfigError(
            "accelerators are requested twice: give either --resource_hint=accelerator=... or "
            f"--dataflow_service_options={accelerators[0]}"
        )


def _hints(options: PipelineOptions) -> dict[str, bytes]:
    try:
        return resource_hints_from_options(options)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def check_reachable(options: PipelineOptions, paths: Mapping[str, Sequence[str]]) -> None:
    """Raises ConfigError for local paths, naming the flag: Dataflow's workers are other machines.

    A dry run reads and writes nothing there, so it only warns.
    """
    if not _is_dataflow(options):
        return
    for flag, values in paths.items():
        for path in values:
            if is_local(path) and not path.startswith(_EMBEDDED):
                line = f"Dataflow's workers cannot reach the local path {path}: {flag} needs gs://"
                if not is_dry_run(options):
                    raise ConfigError(line)
                say(f"warning: {line}")


def is_handed_over(options: PipelineOptions) -> bool:
    """Whether the flags request a job that this process does not wait for."""
    return any(_handing_over(options).values())


def is_dry_run(options: PipelineOptions) -> bool:
    """Whether only the job's graph is built, without touching anything outside this process."""
    return bool(options.view_as(TestOptions).dry_run)


def hand_over(pipeline: beam.Pipeline, options: PipelineOptions) -> Job:
    """Checks, writes or submits the job, without waiting for it to finish."""
    result: Any = pipeline.run()
    runner: Any = pipeline.runner
    graph, name = runner.proto_pipeline, runner.job.proto.name
    cloud = options.view_as(GoogleCloudOptions)
    state, job_id, location = "submitted", None, None
    if is_dry_run(options):
        state = "checked"
    elif cloud.template_location:
        state, location = "template", cloud.template_location
    else:
        job_id = result.job_id()
        location = _page(cloud, job_id)
    environments = [_described(value) for value in graph.components.environments.values()]
    return Job(state, name, job_id, location, graph.ByteSize(), environments)


def announce(result: Any, options: PipelineOptions) -> None:
    """Prints which job is waited for: it continues if this process is stopped."""
    if _is_dataflow(options):
        page = _page(options.view_as(GoogleCloudOptions), result.job_id())
        say(f"submitted job {result.job_id()}: {page}")


def _handing_over(options: PipelineOptions) -> dict[str, Any]:
    return {
        "dry_run": is_dry_run(options),
        "template_location": options.view_as(GoogleCloudOptions).template_location,
        "no_wait_until_finish": options.view_as(StandardOptions).no_wait_until_finish,
    }


def _is_dataflow(options: PipelineOptions) -> bool:
    return runner_name(options) == _DATAFLOW


def _page(cloud: GoogleCloudOptions, job_id: str) -> str:
    return f"{_CONSOLE}/{cloud.region}/{job_id}?project={cloud.project}"


def _described(environment: beam_runner_api_pb2.Environment) -> dict[str, Any]:
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
    hints = {urn: value.decode() for urn, value in sorted(environment.resource_hints.items())}
    return {"image": payload.container_image, "resource_hints": hints}
