"""`latentbeam cluster`: from a run that `score` wrote to a folder of clusters."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from ae_models.errors import InputError, OutputError
from ae_models.latents.clustering import CLUSTERINGS
from ae_models.latents.clustering.model_file import read_clustering
from pipelines.commands.cluster import cluster
from tests.support.command import run_command
from tests.support.finished_run import write_run
from transforms.results.assign_clusters import CLUSTERS_SCHEMA, cluster_rows, summary
from transforms.results.reader import vectors


@pytest.fixture(scope="module")
def run(digits_run: Callable[..., Path]) -> Path:
    return digits_run("vae")


def _blobs_run(folder: Path, stddevs: np.ndarray | None = None, portable: bool = False) -> str:
    points, labels = make_blobs(900, centers=6 * np.eye(4, 3), cluster_std=0.5, random_state=0)[:2]
    columns = {
        "id": pa.array([f"r{n}" for n in range(900)]),
        "label": pa.array([str(label) for label in labels]),
        "latent_mean": _lists(points, portable),
    }
    if stddevs is not None:
        columns["latent_stddev"] = _lists(stddevs, portable)
    table = pa.table(columns)
    return write_run(folder, table.slice(0, 400), table.slice(400))


def _lists(values: np.ndarray, portable: bool) -> pa.Array:
    flat = pa.array(values.astype(np.float32).ravel())
    fixed = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return fixed.cast(pa.list_(pa.float32())) if portable else fixed


def _clusters(folder: Path) -> pa.Table:
    return pq.read_table(folder / "clusters").sort_by("id")


@pytest.mark.parametrize(
    "method",
    [
        *sorted(CLUSTERINGS.keys() - {"n2d"}),
        pytest.param("n2d", marks=pytest.mark.slow),  # UMAP compiles itself
    ],
)
def test_every_record_has_a_cluster(
    method: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "clusters"
    chosen = [] if method == "hdbscan" else ["--clusters", "10"]
    arguments = ["cluster", "--scores", str(run), "--output", str(output), "--method", method]
    status, out, err = run_command([*arguments, *chosen, "--json"], capsys)
    assert status == 0, err
    ledger = json.loads(out)
    assert ledger == json.loads((output / "run.json").read_text())
    assert (output / "_SUCCESS").is_file()
    scored = pq.read_table(run / "scores").sort_by("id")
    found = _clusters(output)
    assert found.schema.equals(CLUSTERS_SCHEMA)
    assert found["id"].equals(scored["id"])
    # The model file gives the same assignments.
    with (output / "model.npz").open("rb") as file:
        clustering = read_clustering(file, "model.npz")
    latents, stddevs = vectors(scored["latent_mean"]), vectors(scored["latent_stddev"])
    again = clustering.assign(latents, stddevs)
    np.testing.assert_array_equal(found["cluster"].to_numpy(), again.cluster)
    np.testing.assert_array_equal(found["outlier_score"].to_numpy(), again.outlier_score)
    # The ledger's statements are true.
    clusters, labels = found["cluster"].to_pylist(), scored["label"].to_pylist()
    nmi = normalized_mutual_info_score(labels, clusters)
    np.testing.assert_allclose(ledger["agreement"]["normalized_mutual_information"], nmi)
    ari = adjusted_rand_score(labels, clusters)
    np.testing.assert_allclose(ledger["agreement"]["adjusted_rand_index"], ari)
    sizes = duckdb.sql(
        f"select cluster, count(*) from '{output}/clusters/*.parquet' where cluster >= 0 group by 1"
    ).fetchall()
    assert {str(cluster): size for cluster, size in sizes} == ledger["sizes"]
    assert ledger["noise"] == clusters.count(-1)
    assert ledger["records"] == 1797


def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = _blobs_run(tmp_path / "run")
    arguments = ["cluster", "--scores", scores, "--output", str(tmp_path / "c")]
    status, out, err = run_command(arguments, capsys)
    assert status == 0, err
    assert "clusters: 4, chosen by greatest mean silhouette" in out
    assert "records: 900 in clusters of 225, 225, 225, 225" in out
    assert "agreement with label: accuracy 1.000, NMI 1.000, ARI 1.000" in out


@pytest.mark.parametrize("flags", [[], ["--direct_running_mode=multi_threading"]])
@pytest.mark.parametrize("portable", [False, True])
def test_the_same_rows_however_they_are_read(
    flags: list[str], portable: bool, tmp_path: Path
) -> None:
    whole = _blobs_run(tmp_path / "whole")
    other = _blobs_run(tmp_path / "other", portable=portable)
    cluster(whole, str(tmp_path / "a"), method="gmm", clusters=4)
    options = [*flags, *(["--direct_num_workers=2"] if flags else [])]
    cluster(other, str(tmp_path / "b"), method="gmm", clusters=4, beam_flags=options)
    assert _clusters(tmp_path / "a").equals(_clusters(tmp_path / "b"))


def test_clusters_are_found_in_a_sample(tmp_path: Path) -> None:
    scores = _blobs_run(tmp_path / "run")
    ledger = cluster(scores, str(tmp_path / "c"), clusters=4, sample=60, seed=3)
    assert ledger["sample"] == {"records": 60, "reliable": 60}
    assert ledger["agreement"]["accuracy"] == 1
    assert ledger["records"] == 900


def test_uncertain_records_weigh_less(tmp_path: Path) -> None:
    """One of four groups is almost entirely uncertain: it gets no cluster."""
    labels = make_blobs(900, centers=6 * np.eye(4, 3), cluster_std=0.5, random_state=0)[1]
    stddevs = np.where(labels[:, None] == 2, 300.0, 0.01).repeat(3, axis=1)
    scores = _blobs_run(tmp_path / "run", stddevs)
    ledger = cluster(scores, str(tmp_path / "c"))
    assert ledger["clusters"] == 3
    assert 670 <= ledger["sample"]["reliable"] <= 680
    assert ledger["records"] == 900


def test_a_label_that_tells_records_apart_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table(
        {
            "id": [f"r{n}" for n in range(2000)],
            "label": [f"one of its own {n}" for n in range(2000)],
            "latent_mean": _lists(np.random.default_rng(0).normal(size=(2000, 2)), False),
        }
    )
    ledger = cluster(write_run(tmp_path / "run", table), str(tmp_path / "c"), clusters=2)
    assert "clusters are not compared with the column" in capsys.readouterr().err
    assert ledger["label"] is None
    assert "agreement" not in ledger


def test_a_finished_folder_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = _blobs_run(tmp_path / "run")
    arguments = ["cluster", "--scores", scores, "--output", str(tmp_path / "c"), "--clusters", "2"]
    assert run_command(arguments, capsys)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "c").rglob("*") if path.is_file()}
    status, _, err = run_command(arguments, capsys)
    assert status == 2
    assert "already contains results" in err
    assert before == {path: path.read_bytes() for path in before}
    assert run_command([*arguments, "--overwrite", "--clusters", "3"], capsys)[0] == 0
    assert set(_clusters(tmp_path / "c")["cluster"].to_pylist()) == {0, 1, 2}


@pytest.mark.parametrize("place", ["run", "run/clusters", "run/../run", "."])
def test_the_run_itself_is_safe(place: str, tmp_path: Path) -> None:
    scores = _blobs_run(tmp_path / "run")
    with pytest.raises(OutputError, match="choose another folder"):
        cluster(scores, str(tmp_path / place), clusters=2, overwrite=True)
    assert cluster(scores, str(tmp_path / "c"), clusters=2)["records"] == 900


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "hdbscan", "--clusters", "3"], "use --min_cluster_size instead"),
        (
            ["--min_cluster_size", "9"],
            "--min_cluster_size works only with --method hdbscan. Received: --method",
        ),
        (["--label", "colour"], "no column 'colour' to compare clusters with"),
        (["--clusters", "901"], "Received: 901"),
        (["--runner=DaskRunner"], "DaskRunner loses records"),
        (["--no_such_flag"], "no_such_flag"),
    ],
)
def test_flags_that_cannot_be_used(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, output = _blobs_run(tmp_path / "run"), tmp_path / "c"
    arguments = ["cluster", "--scores", scores, "--output", str(output), *flags]
    status, out, err = run_command(arguments, capsys)
    assert status == 2
    assert message in err
    assert not out
    assert not output.exists()


def test_runs_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        cluster(str(tmp_path / "nowhere"), str(tmp_path / "c"))
    scores = _blobs_run(tmp_path / "run")
    os.remove(next(Path(scores, "scores").iterdir()))
    with pytest.raises(InputError, match="cannot read"):
        cluster(scores, str(tmp_path / "c"), clusters=2)
    assert not (tmp_path / "c").exists()
    shutil.rmtree(scores)
    bad = pa.table({"id": ["a", "b"], "latent_mean": _lists(np.array([[1.0], [np.nan]]), False)})
    with pytest.raises(InputError, match="not finite"):
        cluster(write_run(tmp_path / "bad", bad), str(tmp_path / "c"), clusters=1)


def test_latents_of_another_length() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    clustering = CLUSTERINGS["kmeans"].from_arrays(
        {"centres": points[:2], "variance": np.asarray(1.0), "radii": np.zeros((2, 3))}
    )
    batch = pa.record_batch({"id": ["a"], "latent_mean": _lists(points[:1, :2], False)})
    with pytest.raises(InputError, match="2 dimensions, but the clusters have 3"):
        cluster_rows(batch, clustering)


def test_no_record_is_no_agreement() -> None:
    assert summary([]) == {"records": 0, "noise": 0, "sizes": {}}
