"""What a reader found in the scores of a run, beside what pyarrow finds there."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TEXT = ("id", "model")
VECTORS = ("latent_mean", "latent_stddev")
COLUMNS = (*TEXT, *VECTORS, "label", "score", "score_kl", "p_value", "is_anomaly")


def assert_same_bits(found: Mapping[str, np.ndarray], run: Path) -> None:
    """Text as lists of str, vectors as (N, d), all else as (N,), in any order of rows."""
    expected = {name: _array(pq.read_table(run / "scores")[name]) for name in COLUMNS}
    assert set(found) == set(COLUMNS)
    ours, theirs = np.argsort(expected["id"]), np.argsort(np.asarray(found["id"], str))
    for name, values in expected.items():
        reader = np.asarray(found[name], str) if name in TEXT else found[name]
        assert (reader.dtype, reader.shape) == (values.dtype, values.shape), name
        assert reader[theirs].tobytes() == values[ours].tobytes(), name


def _array(column: pa.ChunkedArray) -> np.ndarray:
    if column.type in (pa.string(), pa.dictionary(pa.int32(), pa.string())):
        return np.asarray(column.to_pylist(), str)
    if isinstance(column.type, pa.ListType | pa.FixedSizeListType):
        return np.asarray(column.to_pylist(), np.float32)  # through Python's doubles, exactly
    return column.to_numpy()
