"""Finished runs, and what is made of them, of rows that a test makes up."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.runs.finish import finish_run
from transforms.runs.ledger import SCORES
from transforms.runs.shards import Shard
from transforms.storage.staging import staging_folder


def write_run(folder: Path, *tables: pa.Table, group_rows: int = 50) -> str:
    """A finished run with a file of scores for each table."""
    return write_result(folder, {SCORES: tables}, group_rows=group_rows)


def write_result(
    folder: Path,
    tables: Mapping[str, Sequence[pa.Table]],
    facts: Mapping[str, Any] | None = None,
    group_rows: int = 50,
) -> str:
    """A finished result with a file for each table of each kind, and facts for its ledger."""
    run_id = uuid.uuid4().hex
    staging = Path(staging_folder(str(folder), run_id))
    staging.mkdir(parents=True)
    shards = []
    for kind, files in tables.items():
        for number, table in enumerate(files):
            path = staging / f"{kind}-{number}.parquet"
            pq.write_table(table, path, row_group_size=group_rows)
            shards.append(Shard(kind, str(path), len(table), "", {}))
    finish_run(str(folder), run_id, shards=shards, facts=facts or {}, kinds=tuple(tables))
    return str(folder)
