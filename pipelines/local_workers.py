"""Local worker processes, of which one may die.

Beam 2.77 would wait for ever for the answers of a process that was killed.
"""

import threading
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers

DIED = "a worker process died before its work was done"
_CHANNEL = "Channel closed prematurely"  # what Beam says where data was on its way to the worker


class _Connection:
    """What a worker is asked through; once it is dead, it answers everything with an error."""

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

    def _read(self) -> None:
        try:
            self._connection._read()
        except Exception:  # gRPC's, when the other end is gone
            self.worker_died()

    def worker_died(self) -> None:
        with self._lock:
            self._dead = True
            self._answer_all()

    def _answer_all(self) -> None:
        for future in self._asked:
            if not future.is_done():
                future.set(beam_fn_api_pb2.InstructionResponse(error=DIED))


@worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class WatchedWorkerHandler(worker_handlers.SubprocessSdkWorkerHandler):
    """Beam's own, which it stands in for, with an eye on the process."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.control_conn: Any = _Connection(self.control_conn)

    def start_worker(self) -> None:
        """Starts the process, and a thread that waits for its end."""
        self.worker = local_job_service.SubprocessSdkWorker(
            self._worker_command_line, self.control_address, self.provision_info, self.worker_id
        )
        self.worker_thread = threading.Thread(name="run_worker", target=self._run)
        self.worker_thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except RuntimeError:  # its exit status was not 0
            self.control_conn.worker_died()


def tells_of_a_death(error: BaseException) -> bool:
    """Whether a pipeline has failed by the death of a worker process."""
    return DIED in str(error) or _CHANNEL in str(error)
