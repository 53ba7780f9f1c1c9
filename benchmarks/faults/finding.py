"""Faults, and the findings from trying them."""

import abc
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Finding:
    """The finding for one fault.

    Attributes:
      name: the row of the page.
      asked: the expected outcome of each trial.
      tried: the number of trials.
      good: how many trials had the expected outcome.
      lost: records that were in neither scores nor rejects at the end, over all trials.
      seconds: of all trials.
      detail: further details.
    """

    name: str
    asked: str
    tried: int
    good: int
    lost: int
    seconds: float
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Fault(abc.ABC):
    """Something that goes wrong.

    Attributes:
      name: the row of the page.
      trials: the default number of trials.
    """

    name: str
    trials: int

    @abc.abstractmethod
    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        """Makes the fault happen.

        Args:
          cache: a permanent folder, for inputs and bundles.
          trials: how often.
          on_trial: called after each trial.

        Raises:
          RuntimeError: an undisturbed run failed.
        """


def read_findings(path: Path) -> dict[str, Finding]:
    """The findings in `path`, by name; none if there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {row["name"]: Finding(**row) for row in rows}


def write_findings(path: Path, findings: Mapping[str, Finding]) -> None:
    """Writes findings as JSON."""
    rows = [dataclasses.asdict(finding) for finding in findings.values()]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")
