"""Rows of the scoreboard: measurements to take, and finished ones."""

import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

_PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn")


@dataclasses.dataclass(frozen=True)
class Identity:
    """What identifies a measurement.

    Attributes:
      task: the table that it belongs to.
      name: the row of the table.
      case: the class or the pair; rows with several cases are averaged.
      seed: of this repetition.
      settings: the configuration, for the page.
    """

    task: str
    name: str
    case: str
    seed: int
    settings: str

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        return (self.task, self.name, self.case, self.seed, self.settings)


@dataclasses.dataclass(frozen=True)
class Row(Identity):
    """One measurement: `measure` returns figures by name; it may take long."""

    measure: Callable[[], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Result(Identity):
    """A finished row, as stored in the file."""

    figures: dict[str, float]
    seconds: float
    date: str
    versions: dict[str, str]


def finished_repetitions(rows: Sequence[Row], results: Iterable[Result]) -> list[Result]:
    """The results of the repetitions (seeds) of rows in which every case is finished: a mean over
    only some of the classes would be meaningless."""
    finished = {result.key: result for result in results}
    groups: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.name, row.settings, row.seed), []).append(row)
    complete = (own for own in groups.values() if all(row.key in finished for row in own))
    return [finished[row.key] for own in complete for row in own]


class ResultFile:
    """Finished rows, one JSON object per line: an interruption loses only the current row."""

    def __init__(self, path: Path):
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def __iter__(self) -> Iterator[Result]:
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                yield Result(**json.loads(line))

    def measure(self, row: Row) -> Result:
        """Measures a row and appends it."""
        started = time.monotonic()
        figures = {name: float(value) for name, value in row.measure().items()}
        result = Result(
            *row.key,
            figures=figures,
            seconds=round(time.monotonic() - started, 1),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            versions={name: metadata.version(name) for name in _PACKAGES},
        )
        with self._path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
        return result
