"""Growth of our peak memory on ten times as many images."""

import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.bundles import make_bundle
from benchmarks.speed.contests import Side
from benchmarks.speed.outcome import Measure, Outcome


@dataclasses.dataclass(frozen=True)
class Growth(Measure):
    """The ratio of peak memory on the larger size to that on the smaller size.

    Attributes:
      bundle: the model, by its name in `bundles`.
      side: the program.
      sizes: numbers of images.
      at_most: the target ratio.
    """

    bundle: str
    side: Side
    sizes: tuple[int, int]
    at_most: float

    def runs(self, rounds: int) -> int:
        return 2 * rounds

    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        bundle = make_bundle(self.bundle, cache)
        peaks: list[tuple[float, ...]] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                peaks.append(tuple(self._peak(size, bundle, Path(folder)) for size in self.sizes))
            on_run()
            on_run()
        small, large = (statistics.median(column) for column in zip(*peaks, strict=True))
        return Outcome(
            self.name,
            tuple(large / small for small, large in peaks),
            self.at_most,
            at_most=True,
            ours=f"{small:,.0f} → {large:,.0f} MiB",
        )

    def _peak(self, size: int, bundle: Path, folder: Path) -> float:
        return self.side.run(size, bundle, folder / str(size)).peak_mebibytes
