"""The examples of docs/how-to/analytics.md, as they stand there: every program finds the same
answers. PySpark's is among the tests of engines."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.analytics import PAGE, answers_of_duckdb, assert_same_answers, lay_out, variables
from tests.support.pages import code_blocks


@pytest.fixture(autouse=True)
def scores(scored_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """As pyarrow reads them; the current folder is laid out as the page says."""
    lay_out(scored_digits, tmp_path)
    monkeypatch.chdir(tmp_path)
    return pq.read_table("run/scores")


def _latents(scores: pa.Table) -> np.ndarray:
    return np.asarray(scores["latent_mean"].to_pylist(), np.float32)


def test_duckdb_finds_what_is_there(scores: pa.Table) -> None:
    found = answers_of_duckdb()
    order = np.argsort(-scores["score"].to_numpy())
    assert list(found["top"]["id"]) == scores["id"].take(order[:10]).to_pylist()
    labels, flags = scores["label"].to_numpy(), scores["is_anomaly"].to_numpy()
    rates = [flags[labels == label].mean() for label in range(10)]
    np.testing.assert_allclose(found["rates"]["rate"], rates)
    latents = _latents(scores)
    distances = np.sort(np.linalg.norm(latents - latents[7], axis=1))
    np.testing.assert_allclose(found["nearest"]["distance"], distances[1:6], rtol=1e-4)
    assert list(found["cameras"]["records"]) == [300, 299, 300]
    assert list(found["clusters"]["cluster"]) == [-1, 0, 1, 2]
    assert list(found["clusters"]["core"]) == [f"digits/{n}" for n in (1796, 1793, 1794, 1795)]


def test_pandas_finds_the_same() -> None:
    assert_same_answers(variables("pandas"), lambda frame: frame)


def test_polars_finds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert_same_answers(
        variables("Polars"), lambda frame: pd.DataFrame(frame.collect().to_dict(as_series=False))
    )
    assert "digits/" in capsys.readouterr().out


def test_scikit_learn_finds_a_record_nearest_to_itself(scores: pa.Table) -> None:
    found = variables("scikit-learn")
    np.testing.assert_array_equal(found["latents"], _latents(scores))
    assert found["rows"][0, 0] == 0
    assert found["distances"][0, 0] == 0


def test_tensorflow_gets_every_record_once(scores: pa.Table) -> None:
    latents, labels = zip(*variables("tf.data")["data"].as_numpy_iterator(), strict=True)
    assert [len(batch) for batch in labels] == [256] * 7 + [5]
    given = np.column_stack([np.concatenate(latents), np.concatenate(labels)])
    there = np.column_stack([_latents(scores), scores["label"].to_numpy()])
    np.testing.assert_array_equal(_sorted(given), _sorted(there))


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_hugging_face_datasets_streams(capsys: pytest.CaptureFixture[str]) -> None:
    variables("Hugging Face `datasets`")
    assert capsys.readouterr().out == "digits/0 (1024, 6)\ndigits/1024 (773, 6)\n"


def test_every_example_is_tried() -> None:
    sections = ("pandas", "Polars", "PySpark", "scikit-learn", "tf.data", "Hugging Face `datasets`")
    tried = [block for section in sections for block in code_blocks(PAGE, "python", section)]
    assert tried == code_blocks(PAGE, "python")
    assert code_blocks(PAGE, "sql", "DuckDB") == code_blocks(PAGE, "sql")
