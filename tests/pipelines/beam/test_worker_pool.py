"""The pool of Python workers, with requests from a real runner."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)

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


class _NoOptions(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    def GetProvisionInfo(self, *_: object) -> beam_provision_api_pb2.GetProvisionInfoResponse:  # noqa: N802
        return beam_provision_api_pb2.GetProvisionInfoResponse()


@pytest.fixture
def runner() -> Iterator[str]:
    """The address of a runner whose pipeline has no options."""
    server = grpc.server(ThreadPoolExecutor(1))
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(_NoOptions(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(None).wait()


def test_ending_one_of_two_with_the_same_id_ends_neither(runner: str, tmp_path: Path) -> None:
    """Two TaskManagers give their workers equal names; each worker ends with its connection."""
    pool = WorkerPool(["sh", "-c", f"touch {tmp_path}/$$; exec sleep 60"])
    request = beam_fn_api_pb2.StartWorkerRequest(
        worker_id="1-1", provision_endpoint=endpoints_pb2.ApiServiceDescriptor(url=runner)
    )
    for _ in range(2):
        assert not pool.StartWorker(request, None).error
    pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"), None)
    end = time.monotonic() + 30
    while len(started := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert all(Path(f"/proc/{process}").exists() for process in started)
    pool.stop()
    assert not any(Path(f"/proc/{process}").exists() for process in started)


def test_a_runner_that_does_not_answer_is_an_error_of_the_worker() -> None:
    request = beam_fn_api_pb2.StartWorkerRequest(
        worker_id="1-1", provision_endpoint=endpoints_pb2.ApiServiceDescriptor(url="localhost:1")
    )
    assert "no pipeline options" in WorkerPool(timeout=0.2).StartWorker(request, None).error
