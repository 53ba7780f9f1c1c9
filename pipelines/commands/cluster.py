"""`latentbeam cluster`: clusters the latents of a finished run."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ae_models.config.validated import check_range
from ae_models.errors import ConfigError
from ae_models.latents.checks import check_latents
from ae_models.latents.clustering import CLUSTERINGS
from ae_models.latents.clustering.model import Clustering, ClusteringConfig, reliabilities
from ae_models.latents.clustering.model_file import write_clustering
from ae_models.training.splits import id_hashes
from pipelines.beam.run import pipeline_options
from pipelines.commands.derive import derive, new_folder
from pipelines.console.progress import Progress, say
from transforms.records.batches import ID
from transforms.results.assign_clusters import AssignClusters, summary
from transforms.results.derived_folder import SourceRun
from transforms.results.reader import (
    LATENT_MEAN,
    LATENT_STDDEV,
    latent_columns,
    sample_rows,
    scored_count,
    scored_schema,
    vectors,
)
from transforms.runs.ledger import CLUSTERS, read_ledger
from transforms.runs.run_lock import held

_LABEL = "label"
_MOST_LABELS = 1000  # a column with more distinct values identifies records, not kinds of them


def cluster(
    scores: str,
    output: str,
    *,
    method: str = "kmeans",
    clusters: int | None = None,
    label: str | None = None,
    sample: int | None = None,
    min_cluster_size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    beam_flags: Sequence[str] = (),
) -> dict[str, Any]:
    """Finds clusters in a sample of a run's latents, assigns every record to one, and writes the
    assignments.

    Args:
      scores: the folder of the finished run.
      output: the folder to write to.
      method: a key of `CLUSTERINGS`.
      clusters: the number of clusters; None: chosen by the method's criterion.
      label: the column to compare with; None: `label`, if there is one.
      sample: the maximum number of records to find clusters in; None: a number that suits the
        method.
      min_cluster_size: HDBSCAN's.
      seed: of the sample, and of what is random in the method.
      overwrite: replace the contents of `output`, once the work has succeeded.
      beam_flags: of the pipeline.

    Returns:
      The ledger.

    Raises:
      LatentbeamError: there is no finished run, it has no latents, or a flag or the output cannot
        be used.
    """
    config = ClusteringConfig(clusters, min_cluster_size=min_cluster_size, seed=seed)
    _check_flags(method, sample, min_cluster_size)
    options = pipeline_options(beam_flags)
    folder = new_folder(
        "cluster", CLUSTERS, scores=[scores], output=output, overwrite=overwrite, options=options
    )
    source, columns = SourceRun.read(scores), latent_columns(scores)
    with held(output):
        count = sample or CLUSTERINGS[method].sample_records
        drawn = _sample(scores, columns, label, count, seed)
        label = _usable_label(drawn, label)
        reliable = _reliable(drawn, seed)
        say(f"finding clusters among {len(reliable):,} records ...")
        found, tried = CLUSTERINGS[method].fit(reliable, config)
        folder.stage_model(lambda file: write_clustering(file, found))
        facts = {
            "scores": dataclasses.asdict(source),
            **_described(found, tried, config),
            "sample": {"records": len(drawn), "reliable": len(reliable)},
            "label": label,
        }
        wanted = [*columns, *([label] if label else [])]
        assign = AssignClusters(folder.model, label)
        derive(
            folder,
            source,
            columns=wanted,
            assign=assign,
            facts=facts,
            summary=summary,
            options=options,
            doing="assigning",
        )
    return read_ledger(output)


def _check_flags(method: str, sample: int | None, min_cluster_size: int | None) -> None:
    if method not in CLUSTERINGS:
        raise ConfigError(f"--method must be one of {', '.join(CLUSTERINGS)}. Received: {method}")
    CLUSTERINGS[method].check_installed()
    if sample is not None:
        check_range(1, sample=sample)
    if min_cluster_size is not None and method != "hdbscan":
        raise ConfigError(
            f"--min_cluster_size works only with --method hdbscan. Received: --method {method}"
        )


def _sample(
    scores: str, columns: Sequence[str], label: str | None, count: int, seed: int
) -> pa.Table:
    names = scored_schema(scores).names
    if label is not None and label not in names:
        raise ConfigError(f"{scores} has no column {label!r} to compare clusters with")
    wanted = [*columns, *(name for name in [label or _LABEL] if name in names)]
    with Progress("sampling", scored_count(scores)) as progress:
        return sample_rows(scores, wanted, count=count, seed=seed, show=progress.show)


def _usable_label(drawn: pa.Table, label: str | None) -> str | None:
    """The column to compare with; None if there is none, or if its values are ids."""
    name = label or _LABEL
    if name not in drawn.column_names:
        return None
    different = len(drawn[name].unique())
    if different > _MOST_LABELS:
        say(
            f"clusters are not compared with the column {name!r}: "
            f"it has {different} or more distinct values"
        )
        return None
    return name


def _reliable(drawn: pa.Table, seed: int) -> np.ndarray:
    """The latents in which clusters are found, (n, d). A record is included with a probability
    proportional to its reliability, so that uncertain ones weigh less, whatever the method."""
    latents = vectors(drawn[LATENT_MEAN])
    has_stddevs = LATENT_STDDEV in drawn.column_names
    stddevs = vectors(drawn[LATENT_STDDEV]) if has_stddevs else None
    check_latents(latents, stddevs)
    if stddevs is None:
        return latents
    weights = reliabilities(latents, stddevs)
    hashes = id_hashes(f"reliable/{seed}/{record}" for record in drawn[ID].to_pylist())
    return latents[hashes / 2.0**64 < weights / weights.max()]


def _described(
    found: Clustering, tried: dict[int, float], config: ClusteringConfig
) -> dict[str, Any]:
    chosen = {"by": found.criterion, "values": {str(k): value for k, value in tried.items()}}
    return {
        "method": found.method,
        "clusters": found.count,
        "chosen": None if config.clusters is not None else chosen,
        "seed": config.seed,
    }
