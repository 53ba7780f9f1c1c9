"""Clusters a finished run, by each method.

Usage: python -m benchmarks.speed.clusters METHOD RUN - OUTPUT
"""

import functools
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_models.latents.clustering import CLUSTERINGS
from benchmarks.speed.programs import measure
from pipelines.commands.cluster import cluster
from transforms.runs.finish import finish_run
from transforms.runs.ledger import SCORES
from transforms.runs.shards import Shard
from transforms.storage.staging import staging_folder

LATENT_DIM, CLUSTERS = 32, 20
_FILE_ROWS, _GROUP_ROWS = 100_000, 16_384


def make_run(folder: Path, rows: int) -> None:
    """Writes a finished run of latents in 32 dimensions, with standard deviations, around 20
    centres, which are the labels."""
    run_id = uuid.uuid4().hex
    staging = Path(staging_folder(str(folder), run_id))
    staging.mkdir(parents=True)
    shards = []
    for number, table in enumerate(_tables(rows)):
        path = staging / f"{number}.parquet"
        pq.write_table(table, path, row_group_size=_GROUP_ROWS, compression="zstd")
        shards.append(Shard(SCORES, str(path), len(table), f"{number:05d}", {}))
    finish_run(str(folder), run_id, shards=shards, facts={})


def _tables(rows: int) -> Iterator[pa.Table]:
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 1.5, (CLUSTERS, LATENT_DIM))
    for start in range(0, rows, _FILE_ROWS):
        count = min(_FILE_ROWS, rows - start)
        labels = generator.integers(0, CLUSTERS, count)
        stddevs = generator.uniform(0.1, 0.8, (count, LATENT_DIM))
        means = centres[labels] + generator.normal(size=stddevs.shape)
        yield pa.table(
            {
                "id": [f"record/{n}" for n in range(start, start + count)],
                "label": pa.array(map(str, labels)),
                "latent_mean": _lists(means),
                "latent_stddev": _lists(stddevs),
            }
        )


def _lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(values.astype(np.float32).ravel(), LATENT_DIM)


def _clustered(uri: str, bundle: Path, output: Path, method: str) -> None:
    del bundle
    found = None if method == "hdbscan" else CLUSTERS
    cluster(uri, str(output), method=method, clusters=found, overwrite=True)


if __name__ == "__main__":
    programs = {method: functools.partial(_clustered, method=method) for method in CLUSTERINGS}
    measure(programs, sys.argv[1:])
