"""Reads a finished run for the report, in passes of bounded memory."""

import dataclasses
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.bundles.bundle import Bundle
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.calibration.score_calibration import ScoreCalibration, calibration_of
from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError, InputError
from ae_models.latents.clustering.model import NOISE
from pipelines.console.progress import Progress
from pipelines.report.plots import bin_edges
from transforms.records.batches import ID
from transforms.results.cluster_members import NO_CLUSTER, Cluster, cluster_sizes, clusters_of
from transforms.results.reader import LATENT_MEAN, sample_rows, scored_count, scored_schema
from transforms.results.summary import (
    FLAG,
    P_VALUE,
    SCORE,
    RunSummary,
    check_model,
    summarise_run,
    top_by_region,
)
from transforms.runs.ledger import read_ledger

_LATENT_BYTES = 128 << 20
_LABEL = "label"
MOST_CLUSTERS, _SHOWN = 20, 8


@dataclasses.dataclass(frozen=True)
class RunClusters:
    """A run's clusters.

    Attributes:
      sizes: of all clusters by number, largest first, including `NOISE`.
      largest: cores and edges of the largest clusters.
      members: (N,) int32, the cluster of each of `RunData.records`.
    """

    sizes: dict[int, int]
    largest: list[Cluster]
    members: np.ndarray

    def names(self) -> list[str]:
        """(N,) names of the records' clusters."""
        special = {NOISE: "noise", NO_CLUSTER: "none"}
        return [special.get(number, str(number)) for number in self.members.tolist()]


@dataclasses.dataclass(frozen=True)
class RunData:
    """A finished run of one bundle.

    Attributes:
      scores: its folder.
      ledger: its `run.json`.
      bundle: the bundle that scored it.
      label: the column of labels; None if there is none.
      primary: the calibration of the primary score, which is in the column `score`.
      calibration: ascending scores of the calibration records by column, `score` first.
      sample: rows of a uniform sample of at most 100,000 records.
      summary: of all rows.
      records: the rows of the sample, and of the most anomalous records outside it.
      clusters: None if none were given.
    """

    scores: str
    ledger: dict[str, Any]
    bundle: Bundle
    label: str | None
    primary: ScoreCalibration
    calibration: dict[str, np.ndarray]
    sample: pa.Table
    summary: RunSummary
    records: pa.Table
    clusters: RunClusters | None

    @property
    def fpr(self) -> float:
        """The greatest p-value of a flagged record."""
        found = self.ledger.get("model", {}).get("fpr")
        return float(self.bundle.config.scoring.fpr if found is None else found)

    @property
    def regions_fpr(self) -> float:
        """The greatest p-value of a region's peak: `fpr`; for a relabelled run, which keeps its
        regions, the rate before relabelling; the bundle's if none is known."""
        relabelled = self.ledger.get("relabelled") or {}
        known = (
            relabelled.get("regions_fpr"),
            (relabelled.get("from") or {}).get("fpr"),
            self.fpr,
        )
        return float(next(filter(None, known), self.bundle.config.scoring.fpr))

    @property
    def is_in_tiles(self) -> bool:
        """Whether the bundle scores images in tiles."""
        return self.bundle.config.image.tile is not None

    @property
    def ids(self) -> list[str]:
        """The ids of `records`."""
        return list(self.records[ID].to_pylist())

    def labels(self, rows: pa.Table) -> list[str] | None:
        """The labels of rows, as text; None if there is no label column."""
        if self.label is None:
            return None
        return ["no label" if v is None else str(v) for v in rows[self.label].to_pylist()]


def read_run(
    scores: str,
    bundle: Bundle,
    *,
    clusters: str | None,
    label: str | None,
    most: int,
    seed: int,
    order: Literal["score", "region"] = "score",
    map_records: int = 100_000,
) -> RunData:
    """Reads a finished run.

    Args:
      scores: the run folder.
      bundle: the bundle that scored it.
      clusters: the folder of its clusters.
      label: a column of labels; None: `label`, if the run has it.
      most: how many of the most anomalous records to keep.
      seed: of the sample.
      order: what is most anomalous: the highest scores, or the highest peaks of regions.
      map_records: how many to sample, if their latents fit in 128 MiB.

    Raises:
      InputError: there is no finished run with scored records, another model scored it, or its
        clusters do not exist.
      ConfigError: there is no such label column.
    """
    rows, ledger, names = scored_count(scores), read_ledger(scores), scored_schema(scores).names
    check_model(scores, _fingerprint(ledger, bundle), bundle.fingerprint)
    label = _label(scores, label, names)
    scored = [SCORE, *(name for name in names if name.startswith(SCORE_PREFIX))]
    named = ledger.get("model", {}).get("primary_score")
    primary = calibration_of(bundle, named if named in bundle.calibrated_scores() else None)
    others = {name: bundle.calibration_scores(name) for name in scored if name != SCORE}
    calibration = {SCORE: primary.scores, **others}
    shown = [name for name in names if name in (LATENT_MEAN, label)]
    columns = list(dict.fromkeys([*scored, P_VALUE, FLAG, *shown]))
    with Progress("sampling", rows) as progress:
        count = min(map_records, _LATENT_BYTES // (4 * bundle.config.model.latent_size))
        sample = sample_rows(scores, columns, count=max(1, count), seed=seed, show=progress.show)
    edges = bin_edges(calibration[SCORE], sample[SCORE].to_numpy())
    with Progress("counting", rows) as progress:
        summary = summarise_run(
            scores,
            bundle.fingerprint,
            calibration=calibration,
            edges=edges,
            most=most,
            columns=shown,
            show=progress.show,
        )
    if order == "region":
        kept = list(dict.fromkeys([ID, SCORE, P_VALUE, FLAG, *shown]))
        with Progress("ordering by region", unit=" passes") as progress:
            summary.top = top_by_region(scores, most, kept)
            progress.show(1)
    records = _with_top(sample.select([ID, SCORE, P_VALUE, FLAG, *shown]), summary.top)
    ids = records[ID].to_pylist()
    found = None if clusters is None else _read_clusters(clusters, ids, scores)
    return RunData(
        scores, ledger, bundle, label, primary, calibration, sample, summary, records, found
    )


def _fingerprint(ledger: dict[str, Any], bundle: Bundle) -> str:
    """The fingerprint in the ledger, or else the bundle's: rows have one too."""
    return str(ledger.get("model", {}).get("fingerprint", bundle.fingerprint))


def _label(scores: str, label: str | None, names: list[str]) -> str | None:
    if label is None:
        return _LABEL if _LABEL in names else None
    if label not in names:
        raise ConfigError(f"{scores} has no column {label!r}{suggestion(label, names)}")
    return label


def _with_top(sample: pa.Table, top: pa.Table) -> pa.Table:
    others = top.filter(pc.invert(pc.is_in(top[ID], sample[ID].combine_chunks())))
    tables = [sample, others.select(sample.column_names)]
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _read_clusters(folder: str, ids: list[str], scores: str) -> RunClusters:
    with Progress("reading clusters", unit=" passes") as progress:
        sizes = cluster_sizes(folder)
        progress.show(1)
        largest = [number for number in sizes if number != NOISE][:MOST_CLUSTERS]
        clusters, members = clusters_of(folder, largest, ids, _SHOWN)
        progress.show(2)
    if (members == NO_CLUSTER).all():
        raise InputError(
            f"{folder} contains no record of {scores}: give the clusters of this run as --clusters"
        )
    return RunClusters(sizes, clusters, members)
