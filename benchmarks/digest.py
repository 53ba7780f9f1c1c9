"""Digests of the rows of runs, for comparing them."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def digest(output: Path) -> str:
    """The digest of all rows of a finished run, sorted by id: every bit of every column counts,
    the boundaries of files do not.

    Raises:
      FileNotFoundError: the run has not finished.
    """
    (output / "_SUCCESS").stat()
    found = hashlib.sha256()
    for kind in ("scores", "rejects"):
        table = _plain(pq.read_table(output / kind)).sort_by("id").combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        found.update(sink.getvalue())
    return found.hexdigest()


def _plain(table: pa.Table) -> pa.Table:
    """The table without dictionaries, whose order depends on the order of writing."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields)).replace_schema_metadata()
