"""The pool of Python workers, asked by a real runner."""

import os
import subprocess
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, endpoints_pb2

from pipelines.beam.worker_pool import WorkerPool, serving, worker_environment


def test_a_runner_gets_workers_that_are_processes_of_their_own(tmp_path: Path) -> None:
    with serving("localhost:0") as (_, port):
        options = PipelineOptions(
            runner="PortableRunner",
            job_endpoint="embed",
            environment_type="EXTERNAL",
            environment_config=f"localhost:{port}",
        )

        def write(name: str) -> None:
            (tmp_path / name).write_text(str(os.getpid()))

        with beam.Pipeline(options=options) as pipeline:
            pipeline | beam.Create(["a", "b"]) | beam.Map(write)
    pids = {int(path.read_text()) for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == 2
    assert os.getpid() not in pids


def test_options_and_endpoints_reach_a_worker_by_the_contracts_names() -> None:
    request = beam_fn_api_pb2.StartWorkerRequest(
        worker_id="1-1",
        control_endpoint=endpoints_pb2.ApiServiceDescriptor(url="localhost:1"),
        logging_endpoint=endpoints_pb2.ApiServiceDescriptor(url="localhost:2"),
    )
    environment = worker_environment(request, {"beam:option:job_name:v1": "a job"})
    assert environment["WORKER_ID"] == "1-1"
    assert environment["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "localhost:1"\n'
    assert environment["LOGGING_API_SERVICE_DESCRIPTOR"] == 'url: "localhost:2"\n'
    assert environment["PIPELINE_OPTIONS"] == '{"beam:option:job_name:v1": "a job"}'


def test_ending_one_of_two_with_the_same_id_ends_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two TaskManagers name their workers alike; each ends with its own connection."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        started.append(popen(["sleep", "60"]))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr("pipelines.beam.worker_pool._pipeline_options", lambda _: {})
    monkeypatch.setattr("pipelines.beam.worker_pool.subprocess.Popen", start)
    pool = WorkerPool()
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1")
    for _ in range(2):
        assert not pool.StartWorker(request, None).error
    pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"), None)
    assert [worker.poll() for worker in started] == [None, None]
    pool.stop()
    assert all(worker.wait(10) for worker in started)


def test_a_runner_that_does_not_answer_is_an_error_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.beam.worker_pool._SECONDS_TO_ANSWER", 0.2)
    request = beam_fn_api_pb2.StartWorkerRequest(
        worker_id="1-1", provision_endpoint=endpoints_pb2.ApiServiceDescriptor(url="localhost:1")
    )
    assert "no pipeline options" in WorkerPool().StartWorker(request, None).error
