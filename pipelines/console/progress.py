"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from ae_models.errors import LatentbeamError
from pipelines.console.concealed import concealed
from pipelines.console.escape import shown
from transforms.execution.timing import LOGGER, parse_progress

_SECONDS_BETWEEN_LINES = 10.0
# Beam 2.77 imports `resource` too late for its own check, and warns for each model that it loads.
# It also warns about each job server that it starts and stops.
_NOT_WARNINGS = (
    "Resource module is not available",
    "Really starting service",
    "Really destroying service",
    "Waiting for grpc channel to be ready",
)
_OF_A_RETRY = " Traceback for above exception"  # Beam adds it to the message of a warning
_ERRORS = f"{LatentbeamError.__module__}."  # in the tracebacks that workers send as text


class Progress:
    """Shows the progress of a stage of work. `total` is None if the amount of work is unknown."""

    def __init__(self, label: str, total: int | None = None, unit: str = " records"):
        self._label, self._total, self._unit = label, total, unit
        self._started = self._last_line = time.monotonic()
        self._done, self._note, self._printed = 0, "", -1
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = tqdm(desc=self._label, total=self._total, unit=self._unit, file=sys.stderr)
        else:
            print(f"{self._label} ...", file=sys.stderr, flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None and self._printed != self._done:
            self._line()

    def show(self, done: int, note: str = "") -> None:
        """Shows that `done` of `total` are done; `note` is added to the line."""
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._done)
        self._done, self._note = done, note
        if self._bar is None and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._line()

    def _line(self) -> None:
        self._last_line, self._printed = time.monotonic(), self._done
        seconds = self._last_line - self._started
        total = f"/{self._total:,}" if self._total else ""
        note = f", {self._note}" if self._note else ""
        print(
            f"{self._label}: {self._done:,}{total}{self._unit}, {seconds:.0f} s{note}",
            file=sys.stderr,
            flush=True,
        )


class WorkerProgress(logging.Handler):
    """Updates a `Progress` from the lines that workers log, wherever they run."""

    def __init__(self, progress: Progress):
        super().__init__(logging.INFO)
        self._progress, self._records = progress, dict[str, int]()

    def emit(self, record: logging.LogRecord) -> None:
        found = parse_progress(record.getMessage())
        if found:
            worker, records = found
            self._records[worker] = max(records, self._records.get(worker, 0))
            self._progress.show(sum(self._records.values()))

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger().removeHandler(self)


def say(line: str) -> None:
    """Prints a line for people on stderr; stdout is for results."""
    print(shown(line), file=sys.stderr, flush=True)


def warned(lines: Sequence[str]) -> list[str]:
    """The same lines, after printing each as a warning."""
    for line in lines:
        say(f"warning: {line}")
    return list(lines)


class _OneLine(logging.Formatter):
    """Escapes messages, which may contain text of records. Lines of a traceback stay separate."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        message = super().formatMessage(record).partition(_OF_A_RETRY)[0].rstrip()
        return "\n".join(map(shown, message.split("\n")))

    def format(self, record: logging.LogRecord) -> str:
        return concealed(super().format(record))


def _is_unknown(record: logging.LogRecord) -> bool:
    """Whether a log record is not about an error of the user. Beam logs the traceback of such an
    error at every level that it passes, and the command prints it in one line anyway."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, LatentbeamError) or _ERRORS in record.getMessage())


def configure_logging() -> None:
    """Sends warnings to stderr, and progress lines only to the handler that shows them."""
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING)
    console.setFormatter(_OneLine("%(levelname)s: %(message)s"))
    console.addFilter(lambda record: not any(map(record.getMessage().__contains__, _NOT_WARNINGS)))
    console.addFilter(_is_unknown)
    logging.basicConfig(level=logging.INFO, handlers=[console], force=True)
    LOGGER.setLevel(logging.INFO)
    tensorflow = logging.getLogger("tensorflow")  # it has its own handler for stderr
    tensorflow.setLevel(logging.WARNING)
