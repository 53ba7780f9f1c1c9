"""Passes over finished runs, compared with pandas on all of their rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ae_models.errors import InputError
from ae_models.latents.clustering.model import NOISE
from tests.support.finished_run import write_result, write_run
from transforms.results.cluster_members import NO_CLUSTER, cluster_sizes, clusters_of
from transforms.results.reject_counts import rejects_by_reason
from transforms.results.summary import summarise_run


def _rows(generator: np.random.Generator, count: int, prefix: str, model: str = "m") -> pa.Table:
    scores = np.round(generator.gamma(2, size=count), 1).astype(np.float32)  # with ties
    p_values = generator.uniform(size=count)
    return pa.table({
        "id": [f"{prefix}{n:04d}" for n in range(count)],
        "score": scores,
        "score_kl": scores * 2,
        "p_value": p_values,
        "is_anomaly": p_values <= 0.1,
        "label": pa.array([str(n % 3) for n in range(count)]).dictionary_encode(),
        "model": pa.array([model] * count).dictionary_encode(),
    })  # fmt: skip


def test_counts_and_the_top_are_those_of_all_rows(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    tables = [_rows(generator, 700, "b"), _rows(generator, 400, "a")]
    run = write_run(tmp_path / "run", *tables, group_rows=90)
    reference = generator.gamma(2, size=200).astype(np.float32)
    edges = np.linspace(0.5, 3, 11)
    found = summarise_run(
        run,
        "m",
        calibration={"score": reference, "score_kl": reference},
        edges=edges,
        most=25,
        columns=["label"],
    )
    frame = pa.concat_tables(tables).to_pandas()
    assert (found.records, found.flagged) == (1100, frame.is_anomaly.sum())
    inside = frame.score.clip(0.5, 3)
    np.testing.assert_array_equal(found.score_bins, np.histogram(inside, edges)[0])
    assert found.beyond == ((frame.score < 0.5).sum(), (frame.score > 3).sum())
    expected = frame.p_value.floordiv(0.05).value_counts().sort_index()
    np.testing.assert_array_equal(found.p_value_bins, expected.to_numpy())
    top = frame.sort_values(["score", "id"], ascending=[False, True]).head(25)
    assert found.top["id"].to_pylist() == top.id.to_list()
    assert found.top["label"].to_pylist() == top.label.to_list()
    assert set(found.counts) == {"score", "score_kl"}


def test_rows_of_another_model(tmp_path: Path, generator: np.random.Generator) -> None:
    run = write_run(tmp_path / "run", _rows(generator, 5, "a", "other"))
    with pytest.raises(InputError, match="scored by the model other, but the bundle given is m"):
        summarise_run(run, "m", calibration={}, edges=np.array([0.0, 1.0]), most=3)


def test_rejects_by_reason(tmp_path: Path) -> None:
    reasons = ["corrupt"] * 5 + ["empty"] * 2 + ["corrupt"]
    rows = {
        "id": [f"r{n}" for n in range(8)], "source": ["s"] * 8, "stage": ["decode"] * 8,
        "reason": pa.array(reasons).dictionary_encode(), "message": [None, *"abcdefg"],
    }  # fmt: skip
    run = write_result(tmp_path / "run", {"scores": [], "rejects": [pa.table(rows)]}, group_rows=3)
    first, second = rejects_by_reason(run, 2)
    assert (first.reason, first.count) == ("corrupt", 6)
    assert first.examples == [("r0", "decode", ""), ("r1", "decode", "a")]
    assert (second.reason, second.count, len(second.examples)) == ("empty", 2, 2)


def _clusters(folder: Path, generator: np.random.Generator) -> tuple[str, pa.Table]:
    cluster = generator.integers(-1, 4, 500).astype(np.int32)
    distance = generator.uniform(size=500).astype(np.float32)
    distance[cluster == -1] = np.nan
    ids = [f"r{n}" for n in range(500)]
    table = pa.table({"id": ids, "cluster": cluster, "distance_to_center": distance})
    return write_result(folder, {"clusters": [table.slice(0, 200), table.slice(200)]}), table


def test_clusters_are_those_of_all_rows(tmp_path: Path, generator: np.random.Generator) -> None:
    folder, table = _clusters(tmp_path / "clusters", generator)
    frame = table.to_pandas()
    sizes = cluster_sizes(folder)
    assert sizes == frame.cluster.value_counts().to_dict()
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    found, members = clusters_of(folder, [2, 0], ["r7", "gone", "r499", "r7"], shown=5)
    assert [cluster.number for cluster in found] == [2, 0]
    for cluster in found:
        own = frame[frame.cluster == cluster.number].sort_values("distance_to_center")
        assert cluster.size == len(own)
        assert cluster.core == own.id.head(5).to_list()
        assert cluster.edge == own.id.tail(5).to_list()[::-1]
    expected = [frame.cluster[7], NO_CLUSTER, frame.cluster[499], frame.cluster[7]]
    np.testing.assert_array_equal(members, expected)
    assert NOISE in sizes


def test_a_small_cluster_is_shared_by_core_and_edge(tmp_path: Path) -> None:
    table = pa.table({
        "id": ["a", "b", "c"],
        "cluster": np.zeros(3, np.int32),
        "distance_to_center": np.array([3, 1, 2], np.float32),
    })  # fmt: skip
    ((cluster,), _) = clusters_of(
        write_result(tmp_path / "c", {"clusters": [table]}), [0], ["a"], shown=8
    )
    assert (cluster.core, cluster.edge) == (["b", "c"], ["a"])


def test_no_clusters(tmp_path: Path, generator: np.random.Generator) -> None:
    run = write_run(tmp_path / "run", _rows(generator, 5, "a"))
    with pytest.raises(InputError, match="contains no clusters"):
        cluster_sizes(run)
