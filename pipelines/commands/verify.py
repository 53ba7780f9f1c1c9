"""`latentbeam verify`: checks that every input record is in exactly one of scores and rejects."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ae_models.errors import ConfigError, InputError
from pipelines.console.native_lines import native_lines_hidden
from pipelines.console.progress import Progress
from transforms.reading.read import common_carried, read_task
from transforms.records.batches import ID, BatchLimits
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.where import Where, conditions
from transforms.results.pictures import damaged_pictures
from transforms.results.read_shards import check_whole, shard_batches
from transforms.results.reconcile import Differences, reconcile
from transforms.runs.ledger import (
    MAPS,
    REJECTS,
    SCORES,
    DamagedLedgerError,
    read_ledger,
    result_files,
    unlisted_files,
)
from transforms.sources import ReadOptions, Source, resolve_inputs

_LIMITS = BatchLimits(rows=4096)


def verify(
    scores: str, inputs: Sequence[str], reading: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Re-reads the ids of the inputs, under the run's conditions, and compares them with the run's;
    also compares how many files were passed over.

    Args:
      scores: the run folder.
      inputs: the current paths of its inputs.
      reading: fields of `ReadOptions` that differ from those of the run.

    Returns:
      `ok`, `problems` as sentences, `passed_over` as counted in the ledger and, if every file is as
      it was written, counts of `expected`, `found`, `missing`, `unexpected` and `repeated` records
      and `examples` of ids.

    Raises:
      InputError: there is no finished run, or an input is missing.
      ConfigError: the inputs lack a column that the run's conditions name.
    """
    given = ReadOptions(**(reading or {}))
    try:
        ledger = read_ledger(scores)
        wheres, options = conditions(ledger), ReadOptions.from_ledger(ledger).with_given(given)
    except (DamagedLedgerError, ConfigError) as error:
        return {"passed_over": {}, "problems": [str(error)], "ok": False}
    if not isinstance(ledger.get("records"), dict):
        raise InputError(f"{scores} is not a run that `latentbeam score` wrote")
    with native_lines_hidden():  # TensorFlow's, which reads TFRecord files
        sources = resolve_inputs(inputs, options)
    passed_over = PassedOver()
    told = {"passed_over": ledger.get("passed_over", {})}

    def expected() -> Iterator[list[str]]:
        passed_over.taken()  # this may be called repeatedly
        return _expected(sources, wheres, passed_over)

    if problems := _damage(scores, ledger):  # the files' contents cannot be compared
        return {**told, "problems": problems, "ok": False}
    try:
        with Progress("verifying") as progress:
            differences = reconcile(_shown(expected, progress), lambda: _found(scores))
    except _UnreadableError as error:
        return {**told, "problems": [str(error)], "ok": False}
    problems = _problems(ledger, differences, passed_over)
    return {**vars(differences), **told, "problems": problems, "ok": not problems}


def _shown(batches: Any, progress: Progress) -> Any:
    def shown() -> Iterator[list[str]]:
        done = 0
        for ids in batches():
            done += len(ids)
            progress.show(done)
            yield ids

    return shown


def _damage(scores: str, ledger: Mapping[str, Any]) -> list[str]:
    """Problems with files that have changed since they were written, or are not the run's."""
    problems = [f"{path} is not in the ledger" for path in unlisted_files(scores)]
    with Progress("checking files", len(ledger["files"]), unit=" files") as progress:
        for number, listed in enumerate(ledger["files"], 1):
            try:
                check_whole(scores, listed)
            except InputError as error:
                problems.append(str(error))
            progress.show(number)
    if problems or MAPS not in ledger:
        return problems or list(damaged_pictures(scores))
    with Progress("checking pictures", unit=" files") as progress:
        return list(damaged_pictures(scores, progress.show))


class _UnreadableError(Exception):
    """One of the run's files, not an input, cannot be read."""


def _found(scores: str) -> Iterator[list[str]]:
    try:
        for path in result_files(scores, SCORES, REJECTS):
            for batch in shard_batches(path, [ID], rows=_LIMITS.rows):
                yield batch.column(ID).to_pylist()
    except InputError as error:
        raise _UnreadableError(str(error)) from error


def _expected(
    sources: Sequence[Source], wheres: Sequence[Where], passed_over: PassedOver
) -> Iterator[list[str]]:
    """The ids in the inputs; counts in `passed_over` what their listings pass over."""
    carried = common_carried(sources)
    for where in wheres:
        where.check(carried)
    for source in sources:
        for listing in source.listings():
            if listing.passed_over is not None:
                passed_over.update(listing.passed_over)
            if listing.task is None:
                continue
            for batch, _ in read_task(
                source, listing.task, _LIMITS, carried=carried, wheres=wheres, images=False
            ):
                yield batch.column(ID).to_pylist()


def _passed_over_otherwise(ledger: Mapping[str, Any], now: PassedOver) -> Iterator[str]:
    """Problems with files and folders passed over, if the inputs differ from what the run found.
    Ledgers of earlier versions do not record this."""
    if (then := ledger.get("passed_over")) is None:
        return
    for cause in filter(lambda cause: cause.is_of_files, Cause):
        if (found := now.counts[cause]) != (counted := then.get(cause, 0)):
            names = now.names(cause)
            example = f", such as {names[0]}" if names else ""
            yield f"passed over as {cause}: {found} now{example}, {counted} in the run"


def _problems(
    ledger: Mapping[str, Any], differences: Differences, passed_over: PassedOver
) -> list[str]:
    problems = _miscounted(ledger, differences.found)
    problems += _passed_over_otherwise(ledger, passed_over)
    for name in ("missing", "unexpected", "repeated"):
        if count := getattr(differences, name):
            examples = ", ".join(differences.examples[name])
            problems.append(f"{count} {name} records, such as {examples}")
    if not problems and not differences.none:
        problems.append(
            f"the inputs contain {differences.expected} records, the run {differences.found}: "
            "some ids occur twice"
        )
    return problems


def _miscounted(ledger: Mapping[str, Any], found: int) -> list[str]:
    """Problems where the ledger and the files disagree."""
    problems = []
    records = ledger["records"]
    if records.get("rejected") is None:
        problems.append("the run did not write its rejects")
    kinds = (SCORES, REJECTS)
    listed = sum(f["rows"] for f in ledger["files"] if f["path"].partition("/")[0] in kinds)
    if found != listed:
        problems.append(f"the files contain {found} rows, but the ledger lists {listed}")
    if (read := records.get("read")) not in (None, found):
        problems.append(f"{read} records were read, but {found} were written")
    return problems
