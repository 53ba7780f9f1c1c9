"""The suite's measures and their outcomes."""

import abc
import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Figures of a measure, one per round; the median counts.

    Attributes:
      name: the row of the page.
      values: one per round.
      asked: the target for the median: a minimum or, with `at_most`, a maximum.
      unit: of values and `asked`; "×" for ratios.
      ours, beside: details of our program and of the baseline, for people.
    """

    name: str
    values: tuple[float, ...]
    asked: float
    at_most: bool = False
    unit: str = "×"
    ours: str = ""
    beside: str = ""

    @property
    def figure(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        return self.figure <= self.asked if self.at_most else self.figure >= self.asked


def read_outcomes(path: Path) -> dict[str, Outcome]:
    """The outcomes in `path`, by name; none if there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    fields = [field.name for field in dataclasses.fields(Outcome)]
    given = ({name: row[name] for name in fields} for row in rows)
    outcomes = [Outcome(**{**row, "values": tuple(row["values"])}) for row in given]
    return {outcome.name: outcome for outcome in outcomes}


def write_outcomes(path: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Writes outcomes as JSON, with the median and whether it reaches the target."""
    rows = [
        {**dataclasses.asdict(outcome), "figure": outcome.figure, "reached": outcome.reached}
        for outcome in outcomes.values()
    ]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Measure(abc.ABC):
    """Something that can be measured in rounds."""

    name: str

    @abc.abstractmethod
    def runs(self, rounds: int) -> int:
        """The number of programs that `take` runs."""

    @abc.abstractmethod
    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        """Takes the measure.

        Args:
          cache: a permanent folder, for inputs and bundles.
          rounds: how often.
          on_run: called after each program.

        Raises:
          ValueError: two programs gave different scores.
          RuntimeError: a program failed.
        """
