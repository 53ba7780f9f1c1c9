"""A Flink cluster on this machine: a JobManager, TaskManagers, and a pool that starts Python
workers.

Example: python -m deploy.local.flink_cluster up --task_managers 2
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from deploy.local.artifacts import CACHE, FetchError, flink_home, job_server

REST = "localhost:8081"
WORKER_POOL_PORT = 50000
# Excluded from the jars that Beam requires: Flink has its own version of these, and of logging.
FLINKS_OWN = ("flink-", "slf4j-")
_CONFIG = Path(__file__).parents[1] / "flink" / "config.yaml"
# For this machine only; in containers and on Kubernetes, the images set these.
_LOCAL = "".join(
    f"{key}: localhost\n"
    for key in (
        *("jobmanager.rpc.address", "jobmanager.bind-host", "rest.address", "rest.bind-address"),
        *("taskmanager.host", "taskmanager.bind-host"),
    )
)
_SECONDS_TO_START, _SECONDS_TO_STOP = 90, 20


class FlinkCluster:
    """Processes that outlive the one that starts them, identified by files with their ids.

    Args:
      folder: for configuration, logs and the files of process ids.
    """

    def __init__(self, folder: Path = CACHE / "flink-cluster"):
        self._folder = folder

    def up(self, task_managers: int) -> None:
        """Starts the processes that are not running, and waits until all of them answer.

        Raises:
          FetchError: Flink cannot be fetched.
          TimeoutError: Flink does not answer.
        """
        home = flink_home()
        conf = self._folder / "conf"
        if not self._alive("jobmanager"):
            shutil.rmtree(self._folder, ignore_errors=True)
            shutil.copytree(home / "conf", conf)
            (conf / "config.yaml").write_text(_CONFIG.read_text() + _LOCAL)
            _link_jars(self._folder / "lib")
        self._start("jobmanager", _script("jobmanager"))
        for number in range(task_managers):
            self.start_task_manager(number)
        self._start("workers", _worker_pool())
        self._wait(task_managers)

    def start_task_manager(self, number: int) -> None:
        """Starts a TaskManager, unless it is running."""
        self._start(f"taskmanager-{number}", _script("taskmanager"))

    def kill_task_manager(self, number: int) -> None:
        """Kills a TaskManager with SIGKILL, like a machine that fails."""
        os.killpg(self._pid(f"taskmanager-{number}"), signal.SIGKILL)
        self._number(f"taskmanager-{number}").unlink()

    def down(self) -> None:
        """Stops all processes, with SIGTERM, then with SIGKILL."""
        names = [path.stem for path in self._folder.glob("*.pid")]
        for stop, seconds in ((signal.SIGTERM, _SECONDS_TO_STOP), (signal.SIGKILL, 5)):
            for name in filter(self._alive, names):
                os.killpg(self._pid(name), stop)
            end = time.monotonic() + seconds
            while any(map(self._alive, names)) and time.monotonic() < end:
                time.sleep(0.1)
        for name in names:
            self._number(name).unlink()

    def status(self) -> dict[str, Any]:
        """The overview from Flink's REST interface; empty if it does not answer."""
        with contextlib.suppress(OSError):
            return rest("overview")
        return {}

    def _start(self, name: str, command: list[str]) -> None:
        if self._alive(name):
            return
        logs = self._folder / "log"
        logs.mkdir(parents=True, exist_ok=True)
        output = str(logs / f"{name}.out")
        pid = os.posix_spawnp(
            command[0],
            command,
            _environment(self._folder, logs),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,  # it outlives this process
        )
        self._number(name).write_text(str(pid))

    def _wait(self, task_managers: int) -> None:
        end = time.monotonic() + _SECONDS_TO_START
        while self.status().get("taskmanagers", 0) < task_managers or not _listens():
            if time.monotonic() > end:
                raise TimeoutError(f"Flink has not started: see the logs in {self._folder}/log")
            time.sleep(0.5)

    def _number(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    def _pid(self, name: str) -> int:
        return int(self._number(name).read_text())

    def _alive(self, name: str) -> bool:
        try:
            os.killpg(self._pid(name), 0)
        except (OSError, ValueError):
            return False
        return not _is_zombie(self._pid(name))


def rest(path: str) -> Any:
    """The JobManager's answer.

    Raises:
      OSError: it does not answer.
    """
    with urllib.request.urlopen(f"http://{REST}/{path}", timeout=10) as answer:
        return json.load(answer)


def flags() -> list[str]:
    """The flags with which `latentbeam` runs on this cluster."""
    return [
        "--runner=FlinkRunner",
        f"--flink_master={REST}",
        f"--flink_job_server_jar={job_server('flink')}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{WORKER_POOL_PORT}",
        # Workers keep TensorFlow and the model between stages.
        "--environment_cache_millis=60000",
    ]


def _script(name: str) -> list[str]:
    return [str(flink_home() / "bin" / f"{name}.sh"), "start-foreground"]


def _worker_pool() -> list[str]:
    return [sys.executable, "-m", "pipelines.beam.worker_pool", f"--port={WORKER_POOL_PORT}"]


def _link_jars(folder: Path) -> None:
    """Flink's class path: its own jars and Beam's; config.yaml explains why."""
    folder.mkdir()
    beam = (job_server("flink").parent / "jars").iterdir()
    added = [jar for jar in beam if not jar.name.startswith(FLINKS_OWN)]
    for jar in [*(flink_home() / "lib").iterdir(), *added]:
        (folder / jar.name).symlink_to(jar)


def _environment(folder: Path, logs: Path) -> dict[str, str]:
    """The environment of a process; one thread per worker, as several share the machine."""
    return {
        **os.environ,
        "FLINK_CONF_DIR": str(folder / "conf"),
        "FLINK_LIB_DIR": str(folder / "lib"),
        "FLINK_LOG_DIR": str(logs),
        "TF_NUM_INTRAOP_THREADS": os.environ.get("TF_NUM_INTRAOP_THREADS", "1"),
    }


def _listens() -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", WORKER_POOL_PORT), 1):
        return True
    return False


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (FetchError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error


@click.group(help=__doc__)
def main() -> None:
    """The command line."""


@main.command()
@click.option("--task_managers", type=click.IntRange(1), default=2, show_default=True)
def up(task_managers: int) -> None:
    """Start the cluster, and print the flags for it."""
    with _errors():
        FlinkCluster().up(task_managers)
        click.echo(" ".join(flags()))


@main.command()
def down() -> None:
    """Stop the cluster."""
    FlinkCluster().down()


@main.command()
def status() -> None:
    """Print the cluster's overview."""
    click.echo(json.dumps(FlinkCluster().status(), indent=2))


if __name__ == "__main__":
    main()
