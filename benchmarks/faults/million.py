"""A million records, 1% of them bad."""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.finding import Fault, Finding
from benchmarks.faults.inputs import bad_by_reason, make_records
from benchmarks.faults.runs import command, finished
from benchmarks.speed.bundles import make_bundle
from pipelines.commands.verify import verify

_FILES = 20


@dataclasses.dataclass(frozen=True)
class ManyBadRecords(Fault):
    """Every bad record becomes a reject with its reason.

    Attributes:
      records: the number of records, 1% of them bad.
    """

    records: int

    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        inputs = make_records(cache, self.records, _FILES)
        bundle = make_bundle("dense", cache)
        good = lost = 0
        started = time.monotonic()
        for _ in range(trials):
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                output = Path(folder) / "run"
                finished(command(inputs, bundle, output))
                result = verify(str(output), [f"{inputs}/*.parquet"])
                counts = json.loads((output / "run.json").read_text())["records"]
                bad = bad_by_reason(self.records)
                good += result["ok"] and counts["rejected_by_reason"] == bad
                lost += result.get("missing", self.records)
                on_trial()
        detail = ", ".join(f"{reason} {count:,}" for reason, count in bad.items())
        return Finding(
            self.name,
            "verify finds each record once, and each bad one with its reason",
            trials,
            good,
            lost,
            time.monotonic() - started,
            detail,
        )
