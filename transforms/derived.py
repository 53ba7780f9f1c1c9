"""What is made of a finished run's rows: a folder with files of one kind and the model that made
them."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection

from ae_models.errors import InputError, OutputError
from transforms.files import is_local
from transforms.finished import scored_count
from transforms.ledger import finish_run, read_ledger
from transforms.shards import Shard, ShardLimits, WriteShards
from transforms.staging import staging_folder

Sums = Mapping[str, np.ndarray]


def check_apart(run: str, output: str, same: bool = False) -> None:
    """Raises OutputError if `output` lies within `run`, where it would be read as part of it, or
    is the same folder, unless it may be."""
    outer, inner = (
        os.path.realpath(path) if is_local(path) else path.rstrip("/") for path in (run, output)
    )
    if inner.startswith(f"{outer.rstrip('/')}/"):
        raise OutputError(f"{output} lies within {run}: choose another folder")
    if inner == outer and not same:
        raise OutputError(f"{output} is the run that is read: choose another folder")


def run_facts(run: str) -> dict[str, Any]:
    """What a ledger says of the finished run that it was made of: `scores`, its folder, `run_id`
    and the bundle's `fingerprint`, null where the run does not tell.

    Raises:
      InputError: no finished run.
    """
    ledger = read_ledger(run)
    fingerprint = ledger.get("model", {}).get("fingerprint")
    return {"scores": run, "run_id": ledger["run_id"], "fingerprint": fingerprint}


def tally(**sums: Sequence[float] | np.ndarray) -> pa.RecordBatch:
    """One row of vectors, float64, which `add_up` adds to those of other batches."""
    columns = {name: [np.asarray(values, np.float64).tolist()] for name, values in sums.items()}
    return pa.RecordBatch.from_pydict(
        columns, schema=pa.schema([(name, pa.list_(pa.float64())) for name in columns])
    )


def add_up(tallies: Iterable[pa.RecordBatch]) -> Sums:
    """The sum of each vector over all tallies, which have the same ones."""
    table = pa.Table.from_batches(list(tallies))
    return {name: np.sum(table[name].to_pylist(), axis=0) for name in table.schema.names}


class WriteDerived(beam.PTransform):
    """Writes `KIND/*.parquet`, `model.npz`, `run.json` and, last, `_SUCCESS`.

    Args:
      output: the folder to write; nothing in it changes until the work has succeeded.
      run_id: of this work, which `staging_folder` was made with.
      kind: of the files, and the name of their folder.
      model: a file in the staging folder.
      run: the finished run that the rows were made of, one of each of its own.
      facts: what `run.json` says besides counts and time.
      summarise: makes further facts of the sums of all tallies.
      overwrite: replace the results that `output` holds already.
      limits: of row groups and files.

    Input: a PCollection of rows with an `id`, and one of tallies, each of `pa.RecordBatch`.

    Returns:
      A PCollection of one element: the ledger.

    Raises:
      InputError: when it runs, the run was written anew while it was read.
    """

    def __init__(
        self,
        output: str,
        run_id: str,
        kind: str,
        model: str,
        run: str,
        facts: Mapping[str, Any],
        summarise: Callable[[Sums], Mapping[str, Any]],
        overwrite: bool = False,
        limits: ShardLimits | None = None,
    ):
        super().__init__()
        self._output, self._run_id, self._kind, self._limits = output, run_id, kind, limits
        self._finish = _Finish(
            output, run_id, kind, model, run_facts(run), facts, summarise, overwrite
        )

    def expand(self, inputs: Any) -> PCollection[dict[str, Any]]:
        rows, tallies = inputs
        staging = staging_folder(self._output, self._run_id)
        shards = rows | "WriteRows" >> WriteShards(staging, self._kind, self._limits)
        gathered = (shards, tallies) | beam.Flatten() | "Gather" >> beam.combiners.ToList()
        return gathered | "Finish" >> beam.ParDo(self._finish)


class _Finish(beam.DoFn):
    def __init__(
        self,
        output: str,
        run_id: str,
        kind: str,
        model: str,
        run: dict[str, Any],
        facts: Mapping[str, Any],
        summarise: Callable[[Sums], Mapping[str, Any]],
        overwrite: bool,
    ):
        self._output, self._run_id, self._kind, self._model = output, run_id, kind, model
        self._run, self._facts, self._summarise = run, dict(facts), summarise
        self._overwrite, self._started = overwrite, time.time()

    def process(self, parts: list[Shard | pa.RecordBatch]) -> Iterable[dict[str, Any]]:
        shards = [part for part in parts if isinstance(part, Shard)]
        sums = add_up(part for part in parts if isinstance(part, pa.RecordBatch))
        scores, rows = self._run["scores"], sum(shard.rows for shard in shards)
        if run_facts(scores) != self._run or rows != scored_count(scores):
            raise InputError(f"{scores} was written anew while it was read")
        facts = {
            "records": rows,
            **self._facts,
            **self._summarise(sums),
            "seconds": round(time.time() - self._started, 1),
        }
        yield finish_run(
            self._output,
            self._run_id,
            shards,
            facts,
            self._overwrite,
            kinds=(self._kind,),
            model=self._model,
        )
