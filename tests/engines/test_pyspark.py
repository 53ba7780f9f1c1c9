"""Spark's own reader finds the bits of the scores, in either schema."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.columns_read import COLUMNS, TEXT, assert_same_bits

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
