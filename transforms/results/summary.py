"""A summary of a finished run's scores, in one pass and bounded memory."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.calibration.drift import ScoreCounts
from ae_models.errors import InputError
from transforms.records.batches import ID
from transforms.results.reader import read_row_group, row_groups
from transforms.runs.ledger import REGIONS, kinds_in, read_ledger
from transforms.runs.shards import read_errors

SCORE, P_VALUE, FLAG, MODEL_COLUMN = "score", "p_value", "is_anomaly", "model"
_P_VALUE_BINS = 20
_PEAK = "_peak"


@dataclasses.dataclass
class RunSummary:
    """Counts over all rows of a run.

    Attributes:
      records: the number of rows.
      flagged: the number of rows with `is_anomaly` true.
      score_edges: (B + 1,) edges of the score's bins.
      score_bins: (B,) number of scores per bin; the first and last include those beyond the edges.
      beyond: the numbers of scores below the first edge and above the last.
      p_value_bins: (20,) number of p-values per bin, from 0 to 1.
      counts: for each column `score_<name>`, its counts among the calibration records' scores.
      top: the rows with the greatest scores, in descending order; ties are ordered by id.
    """

    records: int
    flagged: int
    score_edges: np.ndarray
    score_bins: np.ndarray
    beyond: tuple[int, int]
    p_value_bins: np.ndarray
    counts: dict[str, ScoreCounts]
    top: pa.Table


def summarise_run(
    scores: str,
    fingerprint: str,
    *,
    calibration: Mapping[str, np.ndarray],
    edges: np.ndarray,
    most: int,
    columns: Sequence[str] = (),
    show: Callable[[int], None] = lambda _: None,
) -> RunSummary:
    """Reads every row of a finished run once.

    Args:
      scores: the run folder.
      fingerprint: the fingerprint of the bundle that must have scored all rows.
      calibration: maps the column of each score to count to the calibration records' scores.
      edges: (B + 1,) ascending edges of the bins of `score`.
      most: the number of rows with the greatest scores to retain.
      columns: the columns of these rows besides `id`, `score`, `p_value` and `is_anomaly`.
      show: called with the number of rows read so far.

    Raises:
      InputError: there is no finished run, it is by another model, or a file cannot be read.
    """
    kept = list(dict.fromkeys([ID, SCORE, P_VALUE, FLAG, *columns]))
    names = list(dict.fromkeys([*kept, MODEL_COLUMN, *calibration]))
    counts = {name: ScoreCounts(reference) for name, reference in calibration.items()}
    result = RunSummary(
        0, 0, edges, np.zeros(len(edges) - 1, int), (0, 0), np.zeros(_P_VALUE_BINS, int), counts,
        pa.table({}),
    )  # fmt: skip
    tops: list[pa.Table] = []
    for group in row_groups(scores):
        for batch in read_row_group(group, names):
            for found in pc.unique(batch.column(MODEL_COLUMN)).to_pylist():
                check_model(scores, found, fingerprint)
            _count(result, batch)
            for name, counted in counts.items():
                counted.add(_numbers(batch, name))
            with read_errors(group.path):
                tops = [_top([*tops, pa.table(batch.select(kept))], most)]
            show(result.records)
    result.top = tops[0]
    return result


def top_by_region(scores: str, most: int, columns: Sequence[str]) -> pa.Table:
    """The rows of the records whose regions have the highest peaks, in descending order; ties are
    ordered by id. Records without a region are not included.

    Args:
      scores: the run folder.
      most: the maximum number of rows.
      columns: the columns of the rows, including `id`.

    Raises:
      InputError: there is no finished run, it has no regions, or a file cannot be read.
    """
    if REGIONS not in kinds_in(read_ledger(scores)):
        raise InputError(f"{scores} has no regions by which to order records")
    order = [(_PEAK, "descending"), (ID, "ascending")]
    peaks = pa.table({ID: pa.array([], pa.string()), _PEAK: pa.array([], pa.float64())})
    for group in row_groups(scores, REGIONS):
        for batch in read_row_group(group, [ID, "peak"]):
            found = [pa.array(batch.column(ID)), batch.column("peak").cast(pa.float64())]
            joined = pa.concat_tables([peaks, pa.table(found, [ID, _PEAK])])
            highest = joined.group_by(ID).aggregate([(_PEAK, "max")])
            named = highest.select([ID, f"{_PEAK}_max"]).rename_columns([ID, _PEAK])
            peaks = named.take(pc.select_k_unstable(named, most, order))
    wanted = peaks[ID].combine_chunks()
    rows = [
        pa.table(batch.filter(pc.is_in(batch.column(ID), wanted)))
        for group in row_groups(scores)
        for batch in read_row_group(group, columns)
    ]
    table = pa.concat_tables(rows).unify_dictionaries()
    table = table.append_column(_PEAK, peaks[_PEAK].take(pc.index_in(table[ID], wanted)))
    return table.sort_by(order).select(columns).slice(0, most).combine_chunks()


def check_model(scores: str, found: str | None, fingerprint: str) -> None:
    """Raises InputError if a run's rows were not scored by the bundle with this fingerprint."""
    if found != fingerprint:
        raise InputError(
            f"{scores} was scored by the model {str(found)[:16]}, "
            f"but the bundle given is {fingerprint[:16]}"
        )


def _count(result: RunSummary, batch: pa.RecordBatch) -> None:
    values, edges = _numbers(batch, SCORE), result.score_edges
    result.records += len(batch)
    result.flagged += pc.sum(batch.column(FLAG)).as_py() or 0
    below, above = (values < edges[0]).sum(), (values > edges[-1]).sum()
    result.beyond = (result.beyond[0] + int(below), result.beyond[1] + int(above))
    finite = values[~np.isnan(values)]
    result.score_bins += np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0]
    p_values = _numbers(batch, P_VALUE)
    result.p_value_bins += np.histogram(p_values, _P_VALUE_BINS, (0.0, 1.0))[0]


def _numbers(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return batch.column(name).to_numpy(zero_copy_only=False)


def _top(tables: Sequence[pa.Table], most: int) -> pa.Table:
    # Dictionaries may differ between files.
    table = pa.concat_tables(tables).unify_dictionaries()
    order = [(SCORE, "descending"), (ID, "ascending")]
    return table.take(pc.select_k_unstable(table, most, order)).combine_chunks()
