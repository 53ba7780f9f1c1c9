"""`latentbeam score` run as a user runs it, and what its rows come to."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Outcome:
    """Of a finished run."""

    runner: str
    seconds: float
    ledger: dict[str, Any]
    digest: str

    def line(self) -> str:
        records = self.ledger["records"]
        counts = f"{records['scored']:>8,} {records['rejected']:>8,}"
        return f"{self.runner:<34} {counts} {self.seconds:>8.1f} {self.digest[:16]}"


def score_command(inputs: Path, bundle: Path, output: Path, flags: Sequence[str]) -> list[str]:
    arguments = [
        "--input",
        f"{inputs}/*.parquet",
        "--model",
        str(bundle),
        "--output",
        str(output),
        *flags,
    ]
    return [sys.executable, "-m", "pipelines.cli", "score", *arguments]


def score(
    runner: str, inputs: Path, bundle: Path, output: Path, flags: Sequence[str] = ()
) -> Outcome:
    started = time.monotonic()
    command = score_command(inputs, bundle, output, flags)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{runner}: {done.stderr[-4000:]}"
    seconds = time.monotonic() - started
    ledger = json.loads((output / "run.json").read_text())
    return Outcome(runner, seconds, ledger, digest(output))


def digest(output: Path) -> str:
    """Of all rows of a run, sorted by id: every bit of every column counts, the files' borders do
    not."""
    assert (output / "_SUCCESS").exists()
    found = hashlib.sha256()
    for kind in ("scores", "rejects"):
        table = _plain(pq.read_table(output / kind)).sort_by("id").combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        found.update(sink.getvalue())
    return found.hexdigest()


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, whose order is the order of writing."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields)).replace_schema_metadata()
