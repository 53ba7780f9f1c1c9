"""Local worker processes, any of which may die.

Beam 2.77 would wait forever for answers from a process that was killed, and for the exit of one
that was still starting when the run failed.
"""

import contextlib
import shlex
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import grpc
from apache_beam.portability import python_urns
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    endpoints_pb2,
)
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance
from google.protobuf import json_format

from pipelines.beam.worker_pool import worker_environment

DIED = "a worker process died before it finished its work"
_CHANNEL = "Channel closed prematurely"  # Beam's message if data was on its way to the worker
_SECONDS_TO_END = 30
# Private names of Beam 2.77 that the watch uses: the handler's, its connection's, its service's.
_PRIVATE = (("_worker_command_line",), ("_read", "_read_thread"), ("_DONE_MARKER",))


def tells_of_a_death(error: BaseException) -> bool:
    """Whether a pipeline failed because a worker process died."""
    return DIED in str(error) or _CHANNEL in str(error)


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Beam's threads end with gRPC errors when a worker dies; Python would print these."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, grpc.RpcError):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


class _Connection:
    """The channel for requests to a worker; once the worker is dead, it answers with errors."""

    def __init__(self, connection: worker_handlers.ControlConnection):
        self._connection = connection
        self._lock = threading.Lock()
        self._asked: list[worker_handlers.ControlFuture] = []
        self._dead = False
        connection._read_thread = threading.Thread(name="beam_control_read", target=self._read)

    def push(self, request: beam_fn_api_pb2.InstructionRequest) -> Any:
        future: Any = self._connection.push(request)
        with self._lock:
            self._asked = [asked for asked in self._asked if not asked.is_done()]
            self._asked.append(future)
            if self._dead:
                self._answer_all()
        return future

    def close(self) -> None:
        self._connection.close()

    def ask_to_end(self) -> None:
        """Also works for a worker that has not connected yet."""
        self._connection.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)

    def worker_died(self) -> None:
        with self._lock:
            self._dead = True
            self._answer_all()

    def _read(self) -> None:
        try:
            self._connection._read()
        except Exception:  # gRPC's, when the other end is gone
            self.worker_died()

    def _answer_all(self) -> None:
        for future in self._asked:
            if not future.is_done():
                future.set(beam_fn_api_pb2.InstructionResponse(error=DIED))


@worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class WatchedWorkerHandler(worker_handlers.SubprocessSdkWorkerHandler):
    """Replaces Beam's handler and watches the process; behaves like Beam's where a version of Beam
    lacks the private names that the watch needs."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        owners = (self, self.control_conn, worker_handlers.BeamFnControlServicer)
        self._is_watched = all(
            hasattr(owner, name)
            for owner, names in zip(owners, _PRIVATE, strict=True)
            for name in names
        )
        if self._is_watched:
            self.control_conn: Any = _Connection(self.control_conn)

    def start_worker(self) -> None:
        """Starts the process, and a thread that waits for it to exit."""
        if not self._is_watched:
            super().start_worker()
            return
        logs = grpc.server(shared_unbounded_instance())
        port = logs.add_insecure_port("localhost:0")
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(
            local_job_service.BeamFnLoggingServicer(), logs
        )
        logs.start()
        request = beam_fn_api_pb2.StartWorkerRequest(
            worker_id=self.worker_id,
            control_endpoint=endpoints_pb2.ApiServiceDescriptor(url=self.control_address),
            logging_endpoint=endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{port}"),
        )
        given = self.provision_info.provision_info.pipeline_options
        environment = worker_environment(request, json_format.MessageToDict(given))
        command = shlex.split(self._worker_command_line.decode())
        self._process = subprocess.Popen(command, env=environment)  # noqa: S603
        self.worker_thread = threading.Thread(
            name="run_worker", target=self._wait, args=(logs,), daemon=True
        )
        self.worker_thread.start()

    def close(self) -> None:
        """Ends the process, with SIGKILL if the run has failed and the process is still busy."""
        if not self._is_watched:
            super().close()
            return
        self.control_conn.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._process.kill()
        with contextlib.suppress(grpc.RpcError):  # from connections that ended with the process
            super().close()

    def _wait(self, logs: grpc.Server) -> None:
        if self._process.wait():
            self.control_conn.worker_died()
        logs.stop(0)
