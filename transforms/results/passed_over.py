"""The names of what a finished run passed over."""

from transforms.records.passed_over import SCHEMA, Cause
from transforms.runs.ledger import PASSED_OVER, result_files
from transforms.runs.shards import open_shard


def passed_over_names(output: str, cause: Cause) -> list[str]:
    """The names that a finished run stores of what it passed over for `cause`, in order.

    Raises:
      InputError: there is no finished run, or a file cannot be read.
    """
    names: list[str] = []
    for path in result_files(output, PASSED_OVER):
        with open_shard(path) as parquet:
            table = parquet.read(SCHEMA.names)
        names += [row["name"] for row in table.to_pylist() if row["cause"] == cause]
    return names
