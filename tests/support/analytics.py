"""The questions of docs/how-to/analytics.md, and whether a program answers them as DuckDB does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.pages import code_blocks

ANSWERS = ("top", "rates", "nearest", "cameras", "clusters")
PAGE = "how-to/analytics.md"


def lay_out(run: Path, folder: Path) -> None:
    """What the page says is there: `run`, `records.csv` with every other record, `clusters`."""
    (folder / "run").symlink_to(run)
    ids = [f"digits/{number}" for number in range(1797)]
    cameras = ["north", "south", "west"]
    rows = [f"{id_},{cameras[n % 3]}" for n, id_ in enumerate(ids) if n % 2 == 0]
    (folder / "records.csv").write_text("\n".join(["id,camera", *rows]) + "\n")
    (folder / "clusters" / "clusters").mkdir(parents=True)
    numbers = np.arange(len(ids))
    columns = {
        "id": pa.array(ids),
        "cluster": pa.array(numbers % 4 - 1, pa.int32()),  # -1: in none
        "distance_to_center": pa.array(1000.0 - numbers, pa.float32()),
        "probability": pa.array(np.ones(len(ids)), pa.float32()),
        "outlier_score": pa.array(np.zeros(len(ids)), pa.float32()),
    }
    pq.write_table(pa.table(columns), folder / "clusters" / "clusters" / "part-0.parquet")


def answers_of_duckdb() -> dict[str, pd.DataFrame]:
    """By the page's SQL, in the current folder."""
    with duckdb.connect() as connection:
        connection.execute(code_blocks(PAGE, "sql", "DuckDB")[0])
        return {name: connection.table(name).df() for name in ANSWERS}


def variables(section: str) -> dict[str, Any]:
    """What the page's Python of a section leaves behind, in the current folder."""
    (block,) = code_blocks(PAGE, "python", section)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block, PAGE, "exec"), names)
    return names


def assert_same_answers(found: Mapping[str, Any], as_pandas: Callable[[Any], pd.DataFrame]) -> None:
    for name, expected in answers_of_duckdb().items():
        frame = as_pandas(found[name]).reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, expected, check_dtype=False, rtol=1e-4, obj=name)
