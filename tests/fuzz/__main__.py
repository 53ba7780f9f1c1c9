"""`python -m tests.fuzz`: every target, for a number of items or a time; a table in the end."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.campaign import Findings, campaign

_COUNTS = {"images": 100_000, "tfrecord": 2500, "parquet": 2500, "tar": 2500, "npz": 2500}
_COUNTS |= {"bundles": 1000}
_ACCEPTED = ("decoded", "whole")


def main() -> int:
    """0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", choices=_COUNTS, action="append", help="default: all")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual numbers")
    parser.add_argument("--seconds", type=float, help="for each target, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    arguments.keep.mkdir(exist_ok=True)
    names = arguments.target or list(_COUNTS)
    rows, found = [], []
    with tempfile.TemporaryDirectory() as folder:
        bundle = _bundle(Path(folder)) if "bundles" in names else None
        for name in names:
            count, started = max(1, round(_COUNTS[name] * arguments.share)), time.monotonic()
            with tqdm(total=count, desc=name, file=sys.stderr) as bar:
                findings = campaign(
                    *(name, count, arguments.seed, arguments.processes, arguments.seconds),
                    bundle=bundle,
                    keep=arguments.keep,
                    on_progress=bar.update,
                )
            rows.append(_row(findings, time.monotonic() - started))
            found += [{"target": name, **failure} for failure in findings.failures]
    print("\n".join([*_HEAD, *rows]))
    for failure in found:
        print(f"found, seed {arguments.seed}: {failure}; kept in {arguments.keep}")
    if not found and not any(arguments.keep.iterdir()):
        arguments.keep.rmdir()
    return bool(found)


def _bundle(folder: Path) -> Path:
    """A small bundle, trained on digits."""
    from pipelines.commands.train import train, train_configuration  # noqa: PLC0415 - seconds

    overrides = ["model.network=dense", "model.latent_dim=6", "model.widths=[16]"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    train(["builtin:digits"], config, str(folder / "bundle"))
    return folder / "bundle"


_HEAD = (
    "| target | tried | accepted | rejected or refused, by reason | slowest, s | peak, MiB | "
    "crashes | hangs | over memory | errors | seconds |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def _row(findings: Findings, seconds: float) -> str:
    accepted = sum(findings.counts[name] for name in _ACCEPTED)
    reasons = ", ".join(
        f"{count:,} {name}"
        for name, count in findings.counts.most_common()
        if name not in _ACCEPTED
    )
    kinds = [failure.get("failure", "error") for failure in findings.failures]
    crashes = sum(kind.startswith("exit") for kind in kinds)
    cells = [
        *(findings.target, f"{findings.tried:,}", f"{accepted:,}", reasons),
        *(f"{findings.slowest:.2f}", f"{findings.peak >> 20:,}", crashes),
        *(kinds.count(kind) for kind in ("hang", "memory", "error")),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
