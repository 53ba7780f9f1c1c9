"""The records whose regions have the highest peaks, compared with pandas on all rows of a run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ae_models.errors import InputError
from tests.support.finished_run import write_result, write_run
from transforms.results.summary import top_by_region

COLUMNS = ["id", "score", "label"]


def _scores(generator: np.random.Generator, ids: list[str]) -> pa.Table:
    return pa.table({
        "id": ids,
        "score": generator.gamma(2, size=len(ids)).astype(np.float32),
        "p_value": generator.uniform(size=len(ids)),
        "label": pa.array([str(len(record) % 3) for record in ids]).dictionary_encode(),
    })  # fmt: skip


def _regions(generator: np.random.Generator, ids: list[str], rows: int) -> pa.Table:
    """Regions of some of the ids, one or more each, in any order, with ties."""
    peaks = np.round(generator.gamma(2, size=rows), 1).astype(np.float32)
    return pa.table({
        "id": generator.choice(ids[:: generator.integers(1, 4)], rows).tolist(),
        "x": generator.integers(0, 9, rows).astype(np.int32),
        "peak": peaks,
        "mean": peaks / 2,
    })  # fmt: skip


def _expected(scores: pa.Table, regions: pa.Table, most: int) -> pd.DataFrame:
    peaks = regions.to_pandas().groupby("id", as_index=False)["peak"].max()
    order = peaks.sort_values(["peak", "id"], ascending=[False, True]).head(most)
    return order.merge(scores.to_pandas(), on="id")[COLUMNS]


def _check(found: pa.Table, expected: pd.DataFrame) -> None:
    assert found.column_names == COLUMNS
    assert found.to_pydict() == {name: expected[name].to_list() for name in COLUMNS}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("portable", [False, True], ids=["own schema", "portable"])
def test_the_top_is_that_of_all_rows(tmp_path: Path, seed: int, portable: bool) -> None:
    """There are many files and row groups, and a record's regions may be anywhere in them."""
    generator = np.random.default_rng(seed)
    ids = [f"r{n}" for n in generator.permutation(300)]
    cuts = np.sort(generator.integers(0, 300, 2)).tolist()
    parts = [ids[: cuts[0]], ids[cuts[0] : cuts[1]], ids[cuts[1] :]]
    scores = [_scores(generator, part) for part in parts]
    regions = [_regions(generator, ids, int(generator.integers(1, 250))) for _ in range(3)]
    if portable:
        schema = regions[0].schema.set(2, pa.field("peak", pa.float64()))
        regions = [table.cast(schema) for table in regions]
    tables = {"scores": scores, "regions": regions}
    run = write_result(
        tmp_path / "run", tables, {"regions": 1}, group_rows=int(generator.integers(1, 60))
    )
    whole = pa.concat_tables(scores).unify_dictionaries(), pa.concat_tables(regions)
    present = len(set(whole[1]["id"].to_pylist()))
    for most in (1, 7, present - 1, present, present + 1, 1000):
        found = top_by_region(run, most, COLUMNS)
        _check(found, _expected(*whole, most))
        assert len(found) == min(most, present)


def test_equal_peaks_are_in_the_order_of_the_ids(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    """Ids are ordered as text, regardless of their order in the files; the last are cut off."""
    ids = ["b", "a10", "a9", "é", "A", "c"]
    regions = pa.table({"id": ids[::-1], "peak": np.ones(6, np.float32)})
    tables = {"scores": [_scores(generator, ids)], "regions": [regions]}
    run = write_result(tmp_path / "run", tables, {"regions": 6}, group_rows=1)
    for most in (2, 6):
        found = top_by_region(run, most, COLUMNS)["id"].to_pylist()
        assert found == ["A", "a10", "a9", "b", "c", "é"][:most]


def test_a_record_is_there_once_by_its_highest_region(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    """Also a record whose highest region is read after others had displaced it."""
    peaks = {"a": [1.0], "b": [2.0, 3.0], "c": [4.0], "d": [1.5]}
    first = [(name, peak) for name, own in peaks.items() for peak in own]
    rows = [*first, ("a", 5.0), ("a", 0.5), ("c", 4.5)]
    columns = zip(*rows, strict=True)
    regions = pa.table(dict(zip(("id", "peak"), map(list, columns), strict=True)))
    tables = {"scores": [_scores(generator, ["a", "b", "c", "d", "e"])], "regions": [regions]}
    run = write_result(tmp_path / "run", tables, {"regions": len(rows)}, group_rows=1)
    assert top_by_region(run, 2, COLUMNS)["id"].to_pylist() == ["a", "c"]
    assert top_by_region(run, 9, COLUMNS)["id"].to_pylist() == ["a", "c", "b", "d"]


@pytest.mark.parametrize("files", [[], [pa.table({"id": pa.array([], pa.string()), "peak": []})]])
def test_of_a_run_in_which_nothing_has_a_region_there_is_no_row(
    tmp_path: Path, files: list[pa.Table], generator: np.random.Generator
) -> None:
    tables = {"scores": [_scores(generator, ["a", "b"])] * 2, "regions": files}
    run = write_result(tmp_path / "run", tables, {"regions": 0})
    found = top_by_region(run, 3, COLUMNS)
    assert (found.column_names, len(found)) == (COLUMNS, 0)


def test_a_run_without_regions_is_refused(tmp_path: Path, generator: np.random.Generator) -> None:
    run = write_run(tmp_path / "run", _scores(generator, ["a"]))
    with pytest.raises(InputError, match="has no regions by which to order records") as refused:
        top_by_region(run, 3, COLUMNS)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="contains no finished run"):
        top_by_region(str(tmp_path / "nowhere"), 3, COLUMNS)


def test_a_damaged_file_of_regions_is_named(tmp_path: Path, generator: np.random.Generator) -> None:
    regions = pa.table({"id": ["a"], "peak": [1.0]})
    tables = {"scores": [_scores(generator, ["a"])], "regions": [regions]}
    run = write_result(tmp_path / "run", tables, {"regions": 1})
    (path,) = Path(run, "regions").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=rf"{path.name}"):
        top_by_region(run, 3, COLUMNS)
