"""Starts the Python workers that Flink and Spark request (`--environment_type=EXTERNAL`).

Beam's pool identifies workers by an id that is unique only within one TaskManager and one job: if
two workers share an id, stopping one stops the other. This pool does not stop single workers: each
exits when the connection to its requester closes. Pipeline options and logs are passed through, as
in Beam's images.

Example: python -m pipelines.beam.worker_pool --port 50000
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import grpc
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
)
from google.protobuf import json_format, text_format

_SECONDS_TO_END = 10
_WORKER = (sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main")
_LOGGER = logging.getLogger(__name__)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """The service that a runner asks for workers: each is a process of this Python.

    Args:
      command: the command that starts a worker.
      timeout: seconds to wait for the runner to send the pipeline's options.
    """

    def __init__(self, command: Sequence[str] = _WORKER, timeout: float = 60):
        self._command, self._timeout = command, timeout
        self._workers: list[subprocess.Popen[bytes]] = []

    def StartWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        del context
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        try:
            environment = worker_environment(request, self._pipeline_options(request))
        except grpc.RpcError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"no pipeline options: {error}")
        self._workers.append(subprocess.Popen(self._command, env=environment))  # noqa: S603
        _LOGGER.info("started worker %s for %s", request.worker_id, request.control_endpoint.url)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        del request, context
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop(self) -> None:
        """Ends all workers, with SIGKILL if they do not exit when terminated."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _pipeline_options(self, request: beam_fn_api_pb2.StartWorkerRequest) -> dict[str, Any]:
        with grpc.insecure_channel(request.provision_endpoint.url) as channel:
            service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
            answer = service.GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(),
                metadata=[("worker_id", request.worker_id)],
                timeout=self._timeout,
            )
        return json_format.MessageToDict(answer.info.pipeline_options)


def worker_environment(
    request: beam_fn_api_pb2.StartWorkerRequest, options: dict[str, Any]
) -> dict[str, str]:
    """The environment variables for Beam's worker, named as in the container contract."""
    return {
        **os.environ,
        "WORKER_ID": request.worker_id,
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(request.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(request.logging_endpoint),
        "PIPELINE_OPTIONS": json.dumps(options),
    }


@click.command(help=__doc__)
@click.option("--port", type=click.IntRange(1, 65535), default=50000, show_default=True)
@click.option("--host", default="localhost", show_default=True, help="Address to listen on.")
def main(port: int, host: str) -> None:
    """Serves until it is stopped.

    Raises:
      RuntimeError: it cannot listen at this address.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with serving(f"{host}:{port}") as (server, _):
        server.wait_for_termination()


@contextlib.contextmanager
def serving(address: str) -> Iterator[tuple[grpc.Server, int]]:
    """A pool that listens at HOST:PORT, and its port (port 0 picks a free one). Its workers end
    with it.

    Raises:
      RuntimeError: it cannot listen at this address.
    """
    pool = WorkerPool()
    server = grpc.server(ThreadPoolExecutor(thread_name_prefix="start-worker"))
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield server, port
    finally:
        server.stop(None)
        pool.stop()


if __name__ == "__main__":
    main()
