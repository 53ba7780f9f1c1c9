"""What a fault was tried on, and what came of it."""

import abc
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Finding:
    """Of one fault.

    Attributes:
      name: the row of the page.
      asked: what each trial must come to.
      tried: how often.
      good: how many trials came to it.
      lost: records that were in neither scores nor rejects at the end, over all trials.
      seconds: of all trials.
      detail: what else there is to know.
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
      trials: how often the long form tries it.
    """

    name: str
    trials: int

    @abc.abstractmethod
    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        """Makes it happen.

        Args:
          cache: a folder that is kept, for inputs and bundles.
          trials: how often.
          on_trial: is called after each.

        Raises:
          RuntimeError: a run that nothing was done to failed.
        """


def read_findings(path: Path) -> dict[str, Finding]:
    """By name, what was written to `path`; nothing where there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {row["name"]: Finding(**row) for row in rows}


def write_findings(path: Path, findings: Mapping[str, Finding]) -> None:
    """As JSON."""
    rows = [dataclasses.asdict(finding) for finding in findings.values()]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")
