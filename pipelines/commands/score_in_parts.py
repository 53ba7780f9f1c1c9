"""`latentbeam score --checkpoint_every`: a run in parts, each in a separate pipeline."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.errors import OutputError
from pipelines.beam.run import run
from pipelines.console.progress import say
from transforms.parts.checkpoints import (
    PartResult,
    check_files,
    committed,
    forget,
    is_whole,
    remember_files,
)
from transforms.parts.partition import Part, divided
from transforms.parts.write_part import WritePart
from transforms.reading.read import RECORDS_READ, ReadTasks, open_inputs
from transforms.records.tallies import Tallies
from transforms.records.where import Where
from transforms.runs.checkpoint_plan import Plan, read_plan, write_plan
from transforms.runs.finish import count_records, finish_run
from transforms.runs.gather import passed_over_shards
from transforms.runs.ledger import read_ledger
from transforms.runs.output_folder import discard_unfinished, is_finishing
from transforms.runs.reject_watch import RejectWatch
from transforms.runs.shards import Shard
from transforms.sources import ReadOptions
from transforms.storage.staging import staging_folder


@dataclasses.dataclass(frozen=True)
class PartedRun:
    """What the parts of a run have in common.

    output: the run folder, held by this process.
    inputs, where: as the user gave them.
    reading: how the inputs are read.
    score: makes the transform of image records to `ScoredRecords`, once per part.
    portable_schema: whether scores have the portable schema.
    options: of the pipelines.
    kinds: of the result's rows.
    watch: limits the rejects of all parts together; None: no limit.
    """

    output: str
    inputs: Sequence[str]
    where: Sequence[str]
    reading: ReadOptions
    score: Callable[[], beam.PTransform]
    portable_schema: bool
    options: PipelineOptions
    kinds: Sequence[str]
    watch: RejectWatch | None = None


def score_in_parts(
    work: PartedRun,
    plan: Plan,
    facts: Mapping[str, Any],
    overwrite: bool,
    check_held: Callable[[], None],
) -> dict[str, Any]:
    """Scores the parts that are not done yet, then finishes the run; returns its ledger.

    Raises:
      LatentbeamError: an input cannot be used, or has changed since its part was scored; the folder
        is no longer held, or cannot be written to; too many records were rejected.
    """
    wheres = tuple(map(Where.parse, work.where))
    sources, carried = open_inputs(work.inputs, wheres, work.reading)
    if read_plan(work.output) is None:
        write_plan(work.output, plan)
    results: list[PartResult] = []
    resumed = False
    for part in divided(sources, plan.every):
        result = _result(work.output, plan, part)
        if result is None:
            if not resumed and results:
                say(f"resuming after {len(results)} parts ({_records(results):,} records)")
            resumed = True
            result = _scored(work, plan, part, ReadTasks(part.tasks, carried=carried, where=wheres))
            check_held()
        results.append(result)
        _check_rejects(work, results, finished=False)
    _check_rejects(work, results, finished=True)
    _check_none_left(work.output, plan, len(results))
    return _finished(work, plan, results, facts, overwrite)


def _result(output: str, plan: Plan, part: Part) -> PartResult | None:
    """The result of a part that is done, if its files are present and complete."""
    result = committed(output, plan.run_id, part.number)
    if result is None:
        return None
    check_files(output, plan.run_id, part.number, result, part)
    if is_finishing(output, plan.run_id) or all(map(is_whole, result.shards)):
        return result
    return None


def _scored(work: PartedRun, plan: Plan, part: Part, read: ReadTasks) -> PartResult:
    forget(work.output, plan.run_id, part.number)
    remember_files(work.output, plan.run_id, part)
    write = WritePart(
        work.output, plan.run_id, part=part, portable_schema=work.portable_schema, watch=work.watch
    )
    try:
        run(
            lambda pipeline: pipeline | read | work.score() | write,
            work.options,
            f"scoring part {part.number + 1}",
            counter=RECORDS_READ,
        )
    except Exception:  # a full disk may be the cause
        with contextlib.suppress(OutputError):
            forget(work.output, plan.run_id, part.number)
        raise
    result = committed(work.output, plan.run_id, part.number)
    if result is None:
        raise OutputError(
            f"part {part.number + 1} is missing from {work.output}: did another process remove it?"
        )
    check_files(work.output, plan.run_id, part.number, result, part)
    return result


def _check_none_left(output: str, plan: Plan, parts: int) -> None:
    """Raises InputError if the run had more parts: their input files have disappeared."""
    if (result := committed(output, plan.run_id, parts)) is not None:
        check_files(output, plan.run_id, parts, result, None)


def _finished(
    work: PartedRun,
    plan: Plan,
    results: Sequence[PartResult],
    facts: Mapping[str, Any],
    overwrite: bool,
) -> dict[str, Any]:
    output, tallies = work.output, _tallies(results)
    staging = staging_folder(output, plan.run_id)
    shards = _shards(results) + passed_over_shards(staging, tallies.passed_over)
    counts = _counts(results, work.kinds)
    checkpoints = {"every": plan.every, "parts": len(results)}
    seconds = round(sum(result.seconds for result in results), 1)
    whole = {**counts, **facts, "checkpoints": checkpoints, "seconds": seconds}
    finish_run(
        output, plan.run_id, shards=shards, facts=whole, overwrite=overwrite, kinds=work.kinds
    )
    discard_unfinished(output)
    return read_ledger(output)


def _check_rejects(work: PartedRun, results: Sequence[PartResult], finished: bool) -> None:
    if work.watch is not None:
        work.watch.check(_counts(results)["records"], _shards(results), finished)


def _counts(results: Sequence[PartResult], kinds: Sequence[str] = ()) -> dict[str, Any]:
    return count_records(_shards(results), _tallies(results), rejects_known=True, kinds=kinds)


def _tallies(results: Sequence[PartResult]) -> Tallies:
    total = Tallies()
    for result in results:
        total.add(result.tallies.rows())
    return total


def _shards(results: Sequence[PartResult]) -> list[Shard]:
    return [shard for result in results for shard in result.shards]


def _records(results: Sequence[PartResult]) -> int:
    return _tallies(results).read or 0
