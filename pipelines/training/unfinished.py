"""The working folder of a training, from which the same command with `--resume` continues."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ae_models.bundles.names import MANIFEST
from ae_models.bundles.plain_path import plain_path
from ae_models.errors import (
    BundleError,
    ConfigError,
    InputError,
    LatentbeamError,
    OutputError,
)
from ae_models.training.checkpoint import Checkpoint
from pipelines.console.progress import say
from transforms.storage import local
from transforms.storage.paths import is_local

_REQUEST, _PART = "request", ".part"
RECORDS = "records"  # the stage that takes long
# These may change when a training is resumed: they have not affected any weight so far.
_FREE = {"training": ("epochs",), "scoring": ("scores", "primary", "tail", "batch_rows")}
_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class UnfinishedTraining:
    """The progress of a training so far, in a separate folder.

    Args:
      path: of the folder, in a form that TensorFlow accepts.
      place: the same path, as people know it.
    """

    def __init__(self, path: Path, place: Path):
        self.path, self.place = path, place
        self.bundle = path / "bundle"
        self.checkpoint = path / "checkpoint.npz"

    def kept(self, stage: str) -> Any:
        """The value that a finished stage stored for later stages; None if it is not done."""
        path = self._of(stage)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def keep(self, stage: str, value: Any) -> None:
        """Records that a stage is done, with a JSON value (not None) for later stages."""
        _write(self._of(stage), value)

    def _of(self, stage: str) -> Path:
        return self.path / f"{stage}.json"

    def check_same(self, request: Mapping[str, Any]) -> None:
        """Raises ConfigError, naming the difference, unless the training began with this request;
        some values may differ."""
        began = self.kept(_REQUEST)
        for name in request:
            one, other = began.get(name), json.loads(json.dumps(request[name]))
            if name == "config":
                one, other = (_of_weights(value) for value in (one, other))
            if one != other:
                raise ConfigError(
                    f"{self.place} contains the training of another command: "
                    f"{_difference(name, one, other)}; rerun that command, or give --overwrite "
                    "to start over"
                )

    def begin(self, request: Mapping[str, Any]) -> None:
        """Starts over, with an empty folder."""
        self._clear()
        self.keep(_REQUEST, request)

    def remove(self) -> None:
        """Removes the folder with all its contents."""
        self._clear()
        local.remove(str(self.place))

    def _clear(self) -> None:
        """Empties the folder. The marks of finished stages go first and the request goes last, so
        that an interrupted removal leaves a folder that can be resumed or started over."""
        if not self.path.is_dir():
            return
        last = self._of(_REQUEST)
        marks = [path for path in self.path.glob("*.json") if path != last]
        others = [path for path in self.path.iterdir() if path not in (last, *marks)]
        for path in (*marks, *others, last):
            local.remove(str(path))

    @property
    def has_begun(self) -> bool:
        return self.kept(_REQUEST) is not None

    @property
    def has_read(self) -> bool:
        """Whether the decoded records are on disk."""
        return self.kept(RECORDS) is not None

    def how_to_go_on(self) -> str | None:
        """A line for people, if the training has weights worth keeping."""
        if (self.bundle / MANIFEST).is_file():
            return f"the bundle is kept in {self.place / self.bundle.name}"
        file = Checkpoint(self.checkpoint)
        if not file.exists():
            return None
        epochs = file.standing().epoch
        kept = f"{epochs:,} {'epoch' if epochs == 1 else 'epochs'} of training"
        told = f"{self.place} keeps {kept}: rerun the command with --resume"
        if not epochs:
            return f"{told} to continue"
        return f"{told} to continue, or with --resume --epochs {epochs} to end with the best epoch"


@contextlib.contextmanager
def unfinished_training(
    output: str, request: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> Iterator[UnfinishedTraining]:
    """The folder in which a bundle for `output` is trained: beside `output`, and so on the same
    file system; for a remote output, in this user's cache. It is removed when the work has
    succeeded, and when a command that starts afresh is refused before there are weights to keep.

    Raises:
      OutputError: it cannot be written, another process uses it, or its contents would be lost.
      ConfigError: it contains the training of another command, and `resume` is set.
    """
    path = _place(output)
    with contextlib.ExitStack() as scope:
        try:
            path.mkdir(parents=True, exist_ok=True)
            scope.enter_context(_locked(path))
        except OSError as error:
            raise OutputError(f"cannot write {output}: {error}") from error
        work = UnfinishedTraining(scope.enter_context(plain_path(path)), path)
        _settle(work, request, resume, overwrite)
        had_read = work.has_read  # reading took long, and its result is still valid
        try:
            yield work
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _OF_A_DISK:
                full = OutputError(f"cannot write {path}: {error.strerror}")
                _left(work, full, keep_read=True)
                raise full from error
            refused = isinstance(error, ConfigError | InputError | BundleError)
            _left(work, error, keep_read=had_read or not refused)
            raise
        work.remove()


def _settle(
    work: UnfinishedTraining, request: Mapping[str, Any], resume: bool, overwrite: bool
) -> None:
    if not work.has_begun and any(path.suffix != _PART for path in work.path.iterdir()):
        raise OutputError(
            f"{work.place} already exists and is not an unfinished training: remove or rename it"
        )
    if resume and work.has_begun:
        try:
            work.check_same(request)
        except ConfigError:
            if not overwrite:
                raise
        else:
            local.remove(str(work.bundle / MANIFEST))  # of a bundle that could not be moved
            return
    if work.checkpoint.is_file() and not overwrite:
        raise OutputError(
            f"{work.place} contains an unfinished training: give --resume to continue it, or "
            "--overwrite to start over"
        )
    work.begin(request)


def _left(work: UnfinishedTraining, error: BaseException, keep_read: bool) -> None:
    """Keeps or removes the folder of a failed training, and completes the error."""
    told = work.how_to_go_on() if work.path.is_dir() else None
    if told is None and keep_read and work.has_read:
        told = (
            f"{work.place} keeps the records that were read: rerun the command with --resume "
            "to continue"
        )
    if told is None:
        work.remove()
    elif isinstance(error, LatentbeamError):
        raise type(error)(f"{error}; {told}") from error
    else:
        say(told)


def _place(output: str) -> Path:
    if is_local(output):
        path = Path(output).absolute()
        return path.with_name(f"{path.name}-unfinished")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha256(output.rstrip("/").encode()).hexdigest()[:32]
    return Path(home, "latentbeam", "trainings", name)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A lock for one process at a time; the system releases it when the process dies."""
    folder = os.open(path, os.O_RDONLY)  # not inherited by worker processes
    try:
        with contextlib.suppress(OSError):  # no locks on this file system
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(f"another training is running in {path}") from error
        yield
    finally:
        os.close(folder)


def _write(path: Path, value: Any) -> None:
    """Writes a file that appears under its name atomically."""
    part = path.with_suffix(_PART)
    with local.create(str(part)) as file:
        file.write(json.dumps(value, indent=2).encode())
    local.move([(str(part), str(path))])


def _of_weights(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        section: {k: v for k, v in values.items() if k not in _FREE.get(section, ())}
        for section, values in config.items()
    }


def _difference(name: str, began: Any, asked: Any) -> str:
    """The first setting that differs, by its name."""
    if isinstance(began, dict) and isinstance(asked, dict):
        for key in sorted(began.keys() | asked.keys()):
            if began.get(key) != asked.get(key):
                path = key if name == "config" else f"{name}.{key}"
                return _difference(path, began.get(key), asked.get(key))
    return f"its {name} is {began!r}, not {asked!r}"
