"""How long commands take if there is next to nothing to do: the cost of starting them."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.outcome import Measure, Outcome
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration

_DIGITS = "builtin:digits"


@dataclasses.dataclass(frozen=True)
class Start(Measure):
    """Wall seconds of a command, in a new process each time.

    Attributes:
      at_most: the target.
      arguments: of the command; `{bundle}` is the bundle of a tiny model of digits, `{run}` its run
        over all 1,797 of them, `{new}` a folder to write to.
    """

    at_most: float
    arguments: tuple[str, ...]

    def runs(self, rounds: int) -> int:
        return rounds

    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        folders = {name: cache / f"start-{name}" for name in ("bundle", "run", "new")}
        if "{" in "".join(self.arguments):
            _prepare(folders["bundle"], folders["run"])
        arguments = [argument.format(**folders) for argument in self.arguments]
        seconds = []
        for _ in range(rounds):
            seconds.append(_seconds(arguments))
            on_run()
        return Outcome(self.name, tuple(seconds), self.at_most, at_most=True, unit="s")


def _prepare(bundle: Path, run: Path) -> None:
    """Creates the bundle and the run if they do not exist."""
    if not bundle.exists():
        overrides = ["model.network=dense", "model.latent_dim=6"]
        config = train_configuration("vae", overrides=overrides, flags={"epochs": 1})
        train([_DIGITS], config, str(bundle))
    if not run.exists():
        score([_DIGITS], str(bundle), str(run))


def _seconds(arguments: list[str]) -> float:
    command = Path(sys.executable).with_name("latentbeam")
    started = time.monotonic()
    subprocess.run([command, *arguments], check=True, capture_output=True)
    return time.monotonic() - started
