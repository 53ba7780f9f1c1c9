"""Records with a known number of bad ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_SIDE = 28
_GROUP_ROWS = 1000
# In each thousand records: the rows of bad ones, and the cells that make them bad.
_BAD: dict[int, tuple[bytes | None, str]] = {
    **dict.fromkeys((3, 331, 967), (None, "no_image")),
    **dict.fromkeys((17, 509), (b"", "wrong_shape")),
    **dict.fromkeys((29, 400, 555, 700, 999), (b"too short", "wrong_shape")),
}


def make_records(folder: Path, count: int, files: int) -> Path:
    """A folder of Parquet files with raw images, 1% of them bad; created if it does not exist."""
    path = folder / f"records-{count}"
    if not path.exists():
        partial = folder / f"partial-records-{count}"
        partial.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            _write(partial / f"part-{number:03d}.parquet", number, count // files)
        partial.rename(path)
    return path


def bad_by_reason(count: int) -> dict[str, int]:
    """How many of `count` records are rejected, by reason."""
    counts: dict[str, int] = {}
    for _, reason in _BAD.values():
        counts[reason] = counts.get(reason, 0) + count // _GROUP_ROWS
    return counts


def _write(path: Path, number: int, count: int) -> None:
    generator = np.random.default_rng(number)
    metadata = {"shape": f"[{_SIDE}, {_SIDE}, 1]", "dtype": "uint8"}
    schema = pa.schema([("id", pa.string()), pa.field("image", pa.binary(), metadata=metadata)])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for first in range(0, count, _GROUP_ROWS):
            images = generator.integers(0, 256, (_GROUP_ROWS, _SIDE, _SIDE), np.uint8)
            cells = [image.tobytes() for image in images]
            for row, (cell, _) in _BAD.items():
                cells[row] = cell
            ids = [f"{number:03d}-{first + row:07d}" for row in range(_GROUP_ROWS)]
            writer.write_table(pa.table([ids, pa.array(cells, pa.binary())], schema))
