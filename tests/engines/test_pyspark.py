"""Spark's own reader finds the bits of the scores, in either schema, and the answers of
docs/how-to/analytics.md."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.support.analytics import assert_same_answers, lay_out, variables
from tests.support.columns_read import COLUMNS, TEXT, assert_same_bits

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's
]


def test_spark_reads_every_column(spark: Any, scored_digits: Path) -> None:
    frame = spark.read.parquet(str(scored_digits / "scores"))
    assert frame.columns == pq.read_schema(next(scored_digits.glob("scores/*"))).names
    types = dict(frame.dtypes)
    assert (types["latent_mean"], types["model"], types["p_value"]) == (
        "array<float>",
        "string",
        "double",
    )
    rows = frame.select(*COLUMNS).collect()
    dtypes = {"array<float>": "f4", "float": "f4", "double": "f8", "bigint": "i8", "boolean": "?"}
    found = {
        name: np.asarray([row[name] for row in rows], str if name in TEXT else dtypes[types[name]])
        for name in COLUMNS
    }
    assert_same_bits(found, scored_digits)


def test_the_example_finds_what_duckdb_does(
    spark: Any, scored_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(scored_digits, tmp_path)
    monkeypatch.chdir(tmp_path)
    _work_in(spark, tmp_path)
    assert_same_answers(
        variables("PySpark"),
        lambda frame: pd.DataFrame(frame.collect(), columns=frame.columns),
    )


def _work_in(spark: Any, folder: Path) -> None:
    """Java cannot change its current folder; Hadoop's file system, which Spark asks, can."""
    hadoop = spark._jvm.org.apache.hadoop.fs
    files = hadoop.FileSystem.get(spark._jsc.hadoopConfiguration())
    files.setWorkingDirectory(hadoop.Path(str(folder)))
