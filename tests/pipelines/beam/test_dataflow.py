"""Dataflow as far as possible without an account: job graphs, and submissions on this machine."""

import base64
import bz2
import http.server
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from ae_models.errors import ConfigError
from pipelines.beam.run import pipeline_options
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from tests.support.command import run_command
from tests.support.elsewhere import PREFIX
from transforms import ReadImages, ScoreImages, WriteScores

Bundles = Callable[[str], Path]

_IMAGE = "registry.example/latentbeam:1"
_ACCELERATOR = "type:nvidia-l4;count:1;install-nvidia-driver"
_HINTS = [f"--resource_hint=accelerator={_ACCELERATOR}", "--resource_hint=min_ram=16GB"]
_URNS = {
    "beam:resources:accelerator:v1": _ACCELERATOR,
    "beam:resources:min_ram_bytes:v1": "16000000000",
}
_MEBIBYTE = 1 << 20


class _Dataflow(http.server.ThreadingHTTPServer):
    """A stand-in for the service's side of submissions. With `runs`, it runs the staged graph."""

    def __init__(self) -> None:
        super().__init__(("localhost", 0), _Handler)
        self.runs = False
        self.jobs: list[tuple[str, dict[str, Any]]] = []

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Dataflow

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.jobs.append((self.path.partition("?")[0], job))
        if self.server.runs:
            _run_here(_staged_graph(job))
        self._answer({
            "id": "2026-job-1",
            "name": job["name"],
            "clientRequestId": job["clientRequestId"],
            "currentState": "JOB_STATE_DONE" if self.server.runs else "JOB_STATE_PENDING",
        })  # fmt: skip

    def do_GET(self) -> None:  # the job's metrics
        self._answer({})

    def _answer(self, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


def _staged_graph(job: dict[str, Any]) -> beam_runner_api_pb2.Pipeline:
    staged = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    return beam_runner_api_pb2.Pipeline.FromString(Path(staged).read_bytes())


def _run_here(graph: beam_runner_api_pb2.Pipeline) -> None:
    """Runs a job graph in this process instead of in containers."""
    for environment in graph.components.environments.values():
        environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
    FnApiRunner().run_via_runner_api(graph, PipelineOptions()).wait_until_finish()


@pytest.fixture
def service() -> Iterator[_Dataflow]:
    with _Dataflow() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _flags(*more: str) -> list[str]:
    return [
        "--runner=DataflowRunner",
        "--project=a-project",
        "--region=europe-west4",
        "--job_name=scoring",
        "--no_auth",
        "--sdk_location=container",
        f"--sdk_container_image={_IMAGE}",
        *more,
    ]


def _dry_run(*more: str) -> list[str]:
    return _flags("--temp_location=gs://some-bucket/temp", "--dry_run=True", *more)


def _submission(service: _Dataflow, folder: Path, *more: str) -> list[str]:
    """Staged files go to a folder, as Beam does by default for local paths."""
    return _flags(f"--dataflow_endpoint={service.endpoint}", f"--temp_location={folder}", *more)


def _arguments(bundle: Path, output: str | Path) -> list[str]:
    given = ["--input", "builtin:digits", "--model", str(bundle), "--output", str(output)]
    return ["score", *given]


def test_a_dry_run_checks_the_graph_and_touches_nothing(
    bundle: Bundles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*_arguments(bundle("vae"), "gs://some-bucket/run"), *_dry_run(*_HINTS)]
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *host, **_: asked.append(host))
    status, out, err = run_command([*arguments, "--json"], capsys)
    assert (status, err, asked) == (0, "", [])
    job = json.loads(out)["job"]
    assert 0 < job.pop("graph_bytes") < _MEBIBYTE
    assert job == {
        "state": "checked",
        "name": "scoring",
        "id": None,
        "location": None,
        "environments": [{"image": _IMAGE, "resource_hints": _URNS}],
    }
    status, out, err = run_command(arguments, capsys)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "checked: the graph of job scoring; it was not submitted"
    assert re.fullmatch(r"graph: \d+ bytes", lines[1])
    assert lines[2].startswith(f"workers: {_IMAGE}, beam:resources:accelerator:v1={_ACCELERATOR}, ")
    assert len(lines) == 3


def test_a_dry_run_warns_of_paths_that_workers_cannot_reach(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / ".staging-1").mkdir(parents=True)  # of a run that may be in progress
    flags = [flag for flag in _dry_run() if not flag.startswith("--job_name=")]
    status, out, err = run_command([*_arguments(bundle("vae"), tmp_path / "run"), *flags], capsys)
    assert (status, err.count("\n")) == (0, 1)
    assert out.startswith("checked: the graph of job beamapp-"), "Beam's own name"
    assert f"warning: Dataflow's workers cannot reach the local path {tmp_path / 'run'}: " in err
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".staging-1"]


def test_a_submission_has_image_machines_options_and_a_small_graph(
    bundle: Bundles, service: _Dataflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = _submission(service, tmp_path, "--no_wait_until_finish")
    flags += ["--machine_type=n2-standard-4", "--dataflow_service_options=enable_prime"]
    output = f"{PREFIX}{tmp_path}/run"
    status, out, _ = run_command([*_arguments(bundle("vae"), output), *flags, "--json"], capsys)
    assert status == 0
    found = json.loads(out)["job"]
    assert (found["state"], found["id"]) == ("submitted", "2026-job-1")
    page = "https://console.cloud.google.com/dataflow/jobs/europe-west4/2026-job-1"
    assert found["location"] == f"{page}?project=a-project"
    ((path, job),) = service.jobs
    assert path == "/v1b3/projects/a-project/locations/europe-west4/jobs"
    (pool,) = job["environment"]["workerPools"]
    assert pool["machineType"] == "n2-standard-4"
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [_IMAGE]
    assert "enable_prime" in job["environment"]["serviceOptions"]
    graph = _staged_graph(job)
    assert graph.ByteSize() == found["graph_bytes"] < _MEBIBYTE
    assert [step.environment_id for step in _steps(graph, "RunInference")]
    assert not (tmp_path / "run").exists(), "nothing has run"


def test_no_bytes_of_the_bundle_are_in_the_graph(
    bundle: Bundles, service: _Dataflow, tmp_path: Path, generator: np.random.Generator
) -> None:
    flags = _submission(service, tmp_path, "--no_wait_until_finish")
    score(["builtin:digits"], str(bundle("vae")), f"{PREFIX}{tmp_path}/run", beam_flags=flags)
    ((_, job),) = service.jobs
    content = _unpacked(_staged_graph(job))
    assert len(content) < _MEBIBYTE
    assert str(bundle("vae")).encode() in content, "the path travels"
    files = [file for file in bundle("vae").rglob("*") if file.stat().st_size > 256]
    names = {file.name for file in files if file.is_file()}
    assert {"model.keras", "saved_model.pb", "calibration.parquet"} < names
    # The manifest's fingerprint is in the ledger's facts.
    for file in (file for file in files if file.is_file() and file.name != "manifest.json"):
        data = file.read_bytes()
        for start in generator.integers(0, len(data) - 64, 200):
            part = data[start : start + 64]
            assert len(set(part)) < 16 or part not in content, file


def _unpacked(graph: beam_runner_api_pb2.Pipeline) -> bytes:
    """A graph's bytes, and those of its functions, which are base64-encoded bz2."""
    content = graph.SerializeToString()
    parts = [content]
    for found in re.findall(rb"Qlpo[A-Za-z0-9+/]+=*", content):  # base64 of bz2's magic number
        # Bytes after the field may look like base64 too; bz2 detects where its stream ends.
        parts.append(bz2.decompress(base64.b64decode(found[: len(found) // 4 * 4])))
    assert len(parts) > 5
    return b"".join(parts)


def test_the_graph_as_submitted_gives_the_rows_of_a_local_run(
    bundle: Bundles, service: _Dataflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.runs = True
    arguments = _arguments(bundle("vae"), f"{PREFIX}{tmp_path}/run")
    status, out, err = run_command([*arguments, *_submission(service, tmp_path)], capsys)
    assert status == 0
    assert "submitted job 2026-job-1: https://console.cloud.google.com/" in err
    assert "records: 1797 read, 1797 scored, 0 rejected" in out
    score(["builtin:digits"], str(bundle("vae")), str(tmp_path / "local"))
    run, local = (
        pq.read_table(tmp_path / name / "scores").sort_by("id") for name in ("run", "local")
    )
    assert run.equals(local)


def test_a_template_is_written_and_not_submitted(
    bundle: Bundles, service: _Dataflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "template.json"
    flags = _submission(service, tmp_path, f"--template_location={template}")
    arguments = _arguments(bundle("vae"), f"{PREFIX}{tmp_path}/run")
    status, out, _ = run_command([*arguments, *flags], capsys)
    assert status == 0
    assert out.startswith(f"template: {template}; job scoring was not submitted\n")
    assert service.jobs == []
    job = json.loads(template.read_text())
    assert job["environment"]["workerPools"][0]["workerHarnessContainerImage"] == _IMAGE


def test_hints_of_the_flags_reach_every_step(
    bundle: Bundles, service: _Dataflow, tmp_path: Path
) -> None:
    flags = _submission(service, tmp_path, "--no_wait_until_finish", *_HINTS)
    score(["builtin:digits"], str(bundle("vae")), f"{PREFIX}{tmp_path}/run", beam_flags=flags)
    ((_, job),) = service.jobs
    graph = _staged_graph(job)
    assert [_hints(graph, step) for step in _steps(graph, "")] == [_URNS] * len(_steps(graph, ""))
    # One set of hints, one kind of worker: images never travel between two.
    assert len(job["environment"]["workerPools"][0]["sdkHarnessContainerImages"]) == 1


def test_hints_of_a_transform_reach_its_steps_alone(bundle: Bundles) -> None:
    pipeline = beam.Pipeline(options=pipeline_options(_dry_run()))
    images = pipeline | ReadImages("builtin:digits")
    scoring = ScoreImages(str(bundle("vae"))).with_resource_hints(accelerator=_ACCELERATOR)
    images | scoring | WriteScores("gs://some-bucket/run")
    pipeline.run()
    graph = pipeline.runner.proto_pipeline
    accelerated = {
        step.unique_name.partition("/")[0] for step in _steps(graph, "") if _hints(graph, step)
    }
    assert accelerated == {"ScoreImages"}
    assert _steps(graph, "ReadImages")


def _steps(graph: beam_runner_api_pb2.Pipeline, name: str) -> list[beam_runner_api_pb2.PTransform]:
    """The transforms of that name that workers run."""
    found = graph.components.transforms.values()
    return [step for step in found if step.environment_id and name in step.unique_name]


def _hints(
    graph: beam_runner_api_pb2.Pipeline, step: beam_runner_api_pb2.PTransform
) -> dict[str, str]:
    environment = graph.components.environments[step.environment_id]
    return {urn: value.decode() for urn, value in environment.resource_hints.items()}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner=FlinkRunner", "--no_wait_until_finish"], "--no_wait_until_finish works with"),
        (["--template_location=gs://some-bucket/t"], "--template_location works with"),
        (_flags(), r"workers cannot reach the local path .*: --output needs gs://"),
        (_dry_run("--project=X"), r"Invalid Project ID \(X\)"),
        (_dry_run("--resource_hint=gpu=1"), "Unknown resource hint: gpu"),
        (
            _dry_run(*_HINTS, "--dataflow_service_options=worker_accelerator=type:nvidia-l4"),
            "accelerators are requested twice: give either --resource_hint",
        ),
    ],
)
def test_flags_that_cannot_be_used_are_one_line_and_status_2(
    flags: list[str],
    message: str,
    bundle: Bundles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out, err = run_command([*_arguments(bundle("vae"), tmp_path / "run"), *flags], capsys)
    assert (status, out) == (2, "")
    assert re.search(rf"latentbeam: .*{message}.*\n\Z", err)
    assert not (tmp_path / "run").exists()


def test_training_is_not_handed_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out --dry_run"):
        train(
            ["builtin:digits"],
            train_configuration("ae"),
            str(tmp_path / "bundle"),
            beam_flags=_dry_run(),
        )
