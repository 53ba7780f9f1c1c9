"""Counts that travel beside the records: data, unlike metrics, counts a retried bundle once."""

import pyarrow as pa

READ = "records read"
EXCLUDED = "records excluded by where"
PASSED_OVER = "files passed over"
_NAMES = {"read": READ, "excluded": EXCLUDED, "passed_over": PASSED_OVER}
TALLY_SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64())])


def tally(**counts: int) -> pa.RecordBatch:
    """A batch of one row for each count: of `read`, `excluded`, `passed_over`."""
    names = [_NAMES[key] for key in counts]
    return pa.RecordBatch.from_pydict(
        {"name": names, "count": list(counts.values())}, schema=TALLY_SCHEMA
    )
