"""Dataflow jobs, which can be submitted without waiting for them to finish, and dry runs."""

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
_DRY_RUN = "dry_run"
_EMBEDDED = "builtin:"
_CONSOLE = "https://console.cloud.google.com/dataflow/jobs"


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that was not run to its end here, so that no result is known.

    state: `checked`, if only its graph was built; `template`, if it was written to `location`, for
      others to submit; `submitted`, if the service has it.
    name: of the job; None for a dry run without Dataflow.
    id: the service's; None if it was not submitted.
    location: of the template, or of the service's page for the job.
    graph_bytes: size of the job graph.
    environments: what Dataflow runs its steps in: the workers' image and the resource hints.
    """

    state: str
    name: str | None
    id: str | None
    location: str | None
    graph_bytes: int
    environments: list[dict[str, Any]]


def check_flags(options: PipelineOptions) -> None:
    """Raises ConfigError for flags that hand a job over, with a runner other than Dataflow, which
    ignores them, and for accelerators that are requested in two ways."""
    for name, given in _handing_over(options).items():
        if given and not is_on_dataflow(options) and name != _DRY_RUN:
            raise ConfigError(
                f"--{name} works with DataflowRunner only: leave it out, or give "
                "--runner=DataflowRunner"
            )
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

    A dry run only warns, as it reads and writes nothing there.
    """
    if not is_on_dataflow(options):
        return
    for flag, values in paths.items():
        for path in values:
            if is_local(path) and not path.startswith(_EMBEDDED):
                line = f"Dataflow's workers cannot reach the local path {path}: {flag} needs gs://"
                if not is_dry_run(options):
                    raise ConfigError(line)
                say(f"warning: {line}")


def is_handed_over(options: PipelineOptions) -> bool:
    """Whether the flags ask for a job that does not run to its end here."""
    return any(_handing_over(options).values())


def is_dry_run(options: PipelineOptions) -> bool:
    """Whether the job's graph is built and nothing else is done."""
    return bool(options.view_as(TestOptions).dry_run)


def hand_over(pipeline: beam.Pipeline, options: PipelineOptions) -> Job:
    """Checks, writes or submits the job, without waiting for its result."""
    if not is_on_dataflow(options):  # a dry run: all other flags of this kind were refused
        return Job("checked", None, None, None, pipeline.to_runner_api().ByteSize(), [])
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
    """Prints which job is waited for: it continues when this process is stopped."""
    if is_on_dataflow(options):
        page = _page(options.view_as(GoogleCloudOptions), result.job_id())
        say(f"submitted job {result.job_id()}: {page}")


def _handing_over(options: PipelineOptions) -> dict[str, Any]:
    return {
        _DRY_RUN: is_dry_run(options),
        "template_location": options.view_as(GoogleCloudOptions).template_location,
        "no_wait_until_finish": options.view_as(StandardOptions).no_wait_until_finish,
    }


def is_on_dataflow(options: PipelineOptions) -> bool:
    """Whether Dataflow runs the pipeline."""
    return runner_name(options) == _DATAFLOW


def _page(cloud: GoogleCloudOptions, job_id: str) -> str:
    return f"{_CONSOLE}/{cloud.region}/{job_id}?project={cloud.project}"


def _described(environment: beam_runner_api_pb2.Environment) -> dict[str, Any]:
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
    hints = {urn: value.decode() for urn, value in sorted(environment.resource_hints.items())}
    return {"image": payload.container_image, "resource_hints": hints}
