"""Counts that travel beside the records: data, unlike metrics, counts a retried bundle once."""

import pyarrow as pa

READ = "records read"
EXCLUDED = "records excluded by where"
PASSED_OVER = "files passed over"
TALLY_SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64())])


def tally(**counts: int) -> pa.RecordBatch:
    """A batch of one row for each count that is not zero; `name` is one of the above."""
    names = {"read": READ, "excluded": EXCLUDED, "passed_over": PASSED_OVER}
    rows = [(names[key], count) for key, count in counts.items() if count]
    columns = [[name for name, _ in rows], [count for _, count in rows]]
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[0], pa.string()), pa.array(columns[1], pa.int64())], schema=TALLY_SCHEMA
    )
