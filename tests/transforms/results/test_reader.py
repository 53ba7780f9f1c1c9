"""Reading the scored rows of finished runs."""

import ast
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from ae_models.errors import InputError
from tests.support.finished_run import write_run
from tests.support.project import PROJECT
from transforms.results.reader import (
    ReadScores,
    latent_columns,
    sample_rows,
    scored_count,
    vectors,
)


def _rows(first: int, last: int) -> pa.Table:
    latents = np.arange(first * 3, last * 3, dtype=np.float32)
    ids = [f"r{n}" for n in range(first, last)]
    labels = pa.array([str(n % 4) for n in range(first, last)]).dictionary_encode()
    means = pa.FixedSizeListArray.from_arrays(pa.array(latents), 3)
    return pa.table({"id": ids, "latent_mean": means, "label": labels})


def test_a_sample_is_the_same_whatever_the_files(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", _rows(0, 1000))
    parts = [_rows(n, n + 250) for n in (750, 0, 250, 500)]
    four = write_run(tmp_path / "four", *parts, group_rows=33)
    shown: list[int] = []
    samples = [
        sample_rows(run, ["latent_mean", "label"], count=40, seed=1, show=shown.append)
        for run in (one, four)
    ]
    assert samples[0].to_pylist() == samples[1].to_pylist()
    assert shown[-1] == 1000
    assert len(set(samples[0]["id"].to_pylist())) == 40
    numbers = np.array([int(record[1:]) for record in samples[0]["id"].to_pylist()])
    np.testing.assert_array_equal(vectors(samples[0]["latent_mean"])[:, 0], numbers * 3)
    assert samples[0]["label"].to_pylist() == [str(n % 4) for n in numbers]


def test_a_sample_is_uniform(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", _rows(0, 300))
    drawn = np.zeros(300)
    for seed in range(200):
        ids = sample_rows(run, [], count=30, seed=seed)["id"].to_pylist()
        drawn[[int(record[1:]) for record in ids]] += 1
    # Binomial(200, 0.1) for each record: 20 ± 4.2.
    assert drawn.min() > 2
    assert drawn.max() < 42
    assert drawn.sum() == 6000


def test_a_small_run_is_sampled_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", _rows(0, 20))
    assert sorted(sample_rows(run, [], count=1000, seed=0)["id"].to_pylist()) == sorted(
        f"r{n}" for n in range(20)
    )


def test_a_pipeline_reads_each_row_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", _rows(0, 120), _rows(120, 250))
    with beam.Pipeline("FnApiRunner") as pipeline:
        batches = pipeline | ReadScores(run, ["id"])
        ids = batches | beam.FlatMap(lambda batch: batch.column("id").to_pylist())
        assert_that(ids, equal_to([f"r{n}" for n in range(250)]))


def test_vectors_of_lists_and_of_slices() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 3)
    for column in (fixed, fixed.cast(pa.list_(pa.float32()))):
        np.testing.assert_array_equal(vectors(column), values)
        np.testing.assert_array_equal(vectors(column.slice(1, 2)), values[1:3])
        np.testing.assert_array_equal(vectors(pa.chunked_array([column, column]))[4:], values)


@pytest.mark.parametrize(
    "rows", [[[1.0, 2.0], None], [[1.0, 2.0], [3.0]], [[1.0], [2.0, 3.0, 4.0]]]
)
def test_vectors_that_are_none(rows: list) -> None:
    with pytest.raises(InputError, match="latent"):
        vectors(pa.array(rows, pa.list_(pa.float32())))


def test_a_run_without_what_is_asked_for(tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty", _rows(0, 0))
    with pytest.raises(InputError, match="no scored record"):
        scored_count(empty)
    bare = write_run(tmp_path / "bare", _rows(0, 5).drop_columns("latent_mean"))
    with pytest.raises(InputError, match="--outputs"):
        latent_columns(bare)
    with pytest.raises(InputError, match="no column 'latent_mean'"):
        beam.Pipeline("FnApiRunner") | ReadScores(bare, ["latent_mean"])
    with pytest.raises(InputError, match="no finished run"):
        latent_columns(str(tmp_path))


def _imported(module: str, seen: set[str]) -> set[str]:
    """The modules of `transforms` that one of its modules imports, directly or indirectly."""
    path = PROJECT / f"{module.replace('.', '/')}.py"
    if module not in seen and path.exists():
        seen.add(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transforms."):
                for name in (node.module, *(f"{node.module}.{a.name}" for a in node.names)):
                    _imported(str(name), seen)
    return seen


def test_what_reads_a_finished_run_knows_nothing_of_how_it_was_scored() -> None:
    for path in sorted((PROJECT / "transforms" / "results").glob("*.py")):
        rooms = {name.split(".")[1] for name in _imported(f"transforms.results.{path.stem}", set())}
        assert rooms <= {"execution", "records", "results", "runs", "storage"}, path.name
