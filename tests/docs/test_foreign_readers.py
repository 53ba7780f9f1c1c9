"""Programs that know nothing of latentbeam read its scores to the last bit, in either schema."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from tests.support.columns_read import COLUMNS, TEXT, VECTORS, assert_same_bits

ROWS, DIMENSIONS = 1797, 6


def _files(run: Path) -> str:
    return f"{run}/scores/*.parquet"


def test_parquet_knows_neither_fixed_sizes_nor_dictionaries(scored_digits: Path) -> None:
    """Both are Arrow's, told in the metadata; any reader of Parquet finds plain types."""
    (file,) = scored_digits.glob("scores/*.parquet")
    schema = pq.ParquetFile(file).schema
    types = {leaf.path: leaf.physical_type for leaf in map(schema.column, range(len(schema)))}
    assert types["latent_mean.list.element"] == types["latent_stddev.list.element"] == "FLOAT"
    assert types["model"] == types["id"] == "BYTE_ARRAY"
    doubles = pq.read_schema(file).field("score").type == pa.float64()
    assert types["score"] == ("DOUBLE" if doubles else "FLOAT")
    assert (types["p_value"], types["is_anomaly"]) == ("DOUBLE", "BOOLEAN")


def test_duckdb(scored_digits: Path) -> None:
    relation = duckdb.sql(f"SELECT {', '.join(COLUMNS)} FROM '{_files(scored_digits)}'")
    found = relation.fetchnumpy()
    vectors = {name: np.stack(found[name]) for name in VECTORS}
    assert_same_bits(
        {**{name: np.asarray(found[name]) for name in COLUMNS}, **vectors}, scored_digits
    )


def test_polars(scored_digits: Path) -> None:
    frame = pl.read_parquet(_files(scored_digits), columns=list(COLUMNS))
    vectors = [pl.col(name).cast(pl.Array(pl.Float32, DIMENSIONS)) for name in VECTORS]
    found = frame.with_columns(vectors)
    assert_same_bits({name: found[name].to_numpy() for name in COLUMNS}, scored_digits)


def test_pandas(scored_digits: Path) -> None:
    frame = pd.read_parquet(scored_digits / "scores", columns=list(COLUMNS))
    found = {name: np.asarray(frame[name]) for name in COLUMNS}
    vectors = {name: np.stack(found[name]) for name in VECTORS}
    assert_same_bits({**found, **vectors}, scored_digits)


def test_tensorflow_streams_batches(scored_digits: Path) -> None:
    scores = ds.dataset(scored_digits / "scores")
    arrow = {field.name: field.type for field in scores.schema}

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for batch in scores.to_batches(columns=list(COLUMNS), batch_size=100):
            columns = {name: batch[name] for name in COLUMNS}
            yield {
                name: column.flatten().to_numpy().reshape(len(batch), -1)
                if name in VECTORS
                else column.to_numpy(zero_copy_only=False)
                for name, column in columns.items()
            }

    signature = {
        name: tf.TensorSpec((None, DIMENSIONS), tf.float32)
        if name in VECTORS
        else tf.TensorSpec((None,), tf.string if name in TEXT else arrow[name].to_pandas_dtype())
        for name in COLUMNS
    }
    given = tf.data.Dataset.from_generator(batches, output_signature=signature)
    parts = list(given.unbatch().batch(64).as_numpy_iterator())
    assert max(len(part["id"]) for part in parts) == 64
    found = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    texts = {name: np.char.decode(found[name].astype(bytes), "utf-8") for name in TEXT}
    assert_same_bits({**found, **texts}, scored_digits)


def _loaded(run: Path, cache: Path, streaming: bool) -> Any:
    return datasets.load_dataset(
        "parquet",
        data_files=_files(run),
        split="train",
        streaming=streaming,
        cache_dir=str(cache),
    ).select_columns(list(COLUMNS))


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_hugging_face_datasets(scored_digits: Path, tmp_path: Path, streaming: bool) -> None:
    given = _loaded(scored_digits, tmp_path, streaming)
    batches = list(given.with_format("arrow").iter(batch_size=500))
    assert [len(batch) for batch in batches] == [500, 500, 500, ROWS - 1500]
    table = pa.concat_tables(batches).combine_chunks()
    vectors = {name: np.asarray(table[name].to_pylist(), np.float32) for name in VECTORS}
    found = {name: table[name].to_numpy() for name in COLUMNS} | vectors
    assert_same_bits(found, scored_digits)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_numpy_from_hugging_face_datasets_has_no_doubles(
    scored_digits: Path, tmp_path: Path, streaming: bool
) -> None:
    """Its NumPy format rounds them to float32: the page says so."""
    given = _loaded(scored_digits, tmp_path, streaming).with_format("numpy")
    batches = list(given.iter(batch_size=ROWS))
    table = pq.read_table(scored_digits / "scores")
    assert batches[0]["latent_mean"].tobytes() == _latents(scored_digits).tobytes()
    rounded = table["p_value"].to_numpy().astype(np.float32)
    assert batches[0]["p_value"].dtype == np.float32
    assert batches[0]["p_value"].tobytes() == rounded.tobytes()


def _latents(run: Path) -> np.ndarray:
    column = pq.read_table(run / "scores", columns=["latent_mean"])["latent_mean"]
    return column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)


def test_scikit_learn_takes_the_latents_as_they_lie(scored_digits: Path) -> None:
    latents = _latents(scored_digits)
    assert (latents.shape, latents.dtype) == ((ROWS, DIMENSIONS), np.float32)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(latents).kneighbors(latents)
    nearest = duckdb.sql(f"""
        SELECT min(array_distance(a.latent_mean::FLOAT[6], b.latent_mean::FLOAT[6])) AS distance
        FROM '{_files(scored_digits)}' a JOIN '{_files(scored_digits)}' b ON a.id <> b.id
        GROUP BY a.id ORDER BY cast(split_part(a.id, '/', 2) AS integer)
    """).fetchnumpy()["distance"]
    np.testing.assert_allclose(distances[:, 1], nearest, rtol=1e-3, atol=1e-5)
    projected = PCA(2, random_state=0).fit_transform(latents)
    assert projected.shape == (ROWS, 2)
    assert set(KMeans(10, n_init=1, random_state=0).fit_predict(latents)) == set(range(10))
