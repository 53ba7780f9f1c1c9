"""A finished run of rows that a test makes up."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.ledger import SCORES, finish_run
from transforms.shards import Shard
from transforms.staging import staging_folder


def write_run(folder: Path, *tables: pa.Table, group_rows: int = 50) -> str:
    """A finished run with a file for each table."""
    run_id = uuid.uuid4().hex
    staging = Path(staging_folder(str(folder), run_id))
    staging.mkdir(parents=True)
    shards = []
    for number, table in enumerate(tables):
        path = staging / f"{number}.parquet"
        pq.write_table(table, path, row_group_size=group_rows)
        shards.append(Shard(SCORES, str(path), len(table), "", {}))
    finish_run(str(folder), run_id, shards, {})
    return str(folder)
