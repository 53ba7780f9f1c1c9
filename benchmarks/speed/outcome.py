"""A measure of the suite, and what it gave."""

import abc
import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Figures of a measure, one a round, of which the median counts.

    Attributes:
      name: the row of the page.
      values: one a round.
      asked: what the median must reach: at least, or where `at_most` is set at most.
      unit: of values and `asked`; "×" for ratios.
      ours, beside: what was measured of either, as people read it.
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
    """By name, what was written to `path`; nothing where there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    fields = [field.name for field in dataclasses.fields(Outcome)]
    given = ({name: row[name] for name in fields} for row in rows)
    outcomes = [Outcome(**{**row, "values": tuple(row["values"])}) for row in given]
    return {outcome.name: outcome for outcome in outcomes}


def write_outcomes(path: Path, outcomes: Mapping[str, Outcome]) -> None:
    """As JSON, with the median and whether it is reached."""
    rows = [
        {**dataclasses.asdict(outcome), "figure": outcome.figure, "reached": outcome.reached}
        for outcome in outcomes.values()
    ]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Measure(abc.ABC):
    """Something that can be measured, round after round."""

    name: str

    @abc.abstractmethod
    def runs(self, rounds: int) -> int:
        """How many programs `take` runs."""

    @abc.abstractmethod
    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        """Measures.

        Args:
          cache: a folder that is kept, for inputs and bundles.
          rounds: how often.
          on_run: is called after each program.

        Raises:
          ValueError: what was to score alike did not.
          RuntimeError: a program failed.
        """
