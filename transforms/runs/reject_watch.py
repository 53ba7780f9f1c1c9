"""Stopping a run that rejects too many records."""

import collections
import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.shared import Shared

from ae_models.errors import EmptyRunError, InputError, TooManyRejectsError
from transforms.runs.ledger import FAILED, REJECTS, write_failure
from transforms.runs.reject_limit import RejectLimit
from transforms.runs.shards import Shard, open_shard

_EXAMPLES = 20
_SCORED = "scored"  # counted beside the reject reasons, none of which has this name


@dataclasses.dataclass(frozen=True)
class RejectWatch:
    """The reject limit of a run, and where to record why it was stopped.

    Attributes:
      limit: the reject limit.
      output: the run folder.
      facts: further contents of `failed.json`.
      fail_if_empty: whether a run that scored no record fails too.
    """

    limit: RejectLimit
    output: str
    facts: Mapping[str, Any]
    fail_if_empty: bool = False

    def check(
        self, records: Mapping[str, Any], shards: Sequence[Shard], finished: bool = True
    ) -> None:
        """Raises TooManyRejectsError if a run with these counts and files has too many rejects, and
        EmptyRunError if no record was scored and `fail_if_empty` is set.

        Args:
          records: the ledger's counts of records.
          shards: the files written so far.
          finished: whether they are of the entire run, or only of its finished parts.
        """
        by_reason, scored = records["rejected_by_reason"], records["scored"]
        rejected = sum(by_reason.values())
        if self.limit.is_exceeded(rejected, rejected + scored, finished):
            rejects = (shard.path for shard in shards if shard.kind == REJECTS)
            raise self.failure(by_reason, scored, list(_examples(rejects)), complete=finished)
        if finished and self.fail_if_empty and not scored:
            message = f"no record was scored: {records['read'] or rejected} were read"
            raise EmptyRunError(self._told(message, by_reason, scored, [], complete=True))

    def failure(
        self,
        by_reason: Mapping[str, int],
        scored: int,
        examples: list[dict[str, Any]],
        complete: bool,
    ) -> TooManyRejectsError:
        """Writes `failed.json`, if possible, and returns the error that ends the run.

        Args:
          by_reason: the number of rejects by reason.
          scored: the number of scored records.
          examples: rows of rejects.
          complete: whether the counts cover the entire run, or only one worker or some parts.
        """
        message = self.limit.message(by_reason, scored + sum(by_reason.values()))
        return TooManyRejectsError(self._told(message, by_reason, scored, examples, complete))

    def _told(
        self,
        message: str,
        by_reason: Mapping[str, int],
        scored: int,
        examples: list[dict[str, Any]],
        complete: bool,
    ) -> str:
        """Writes `failed.json`, and returns the message with its location."""
        rejected = sum(by_reason.values())
        ledger = {
            "error": message,
            "max_rejects": str(self.limit),
            "complete": complete,
            "records": {
                "read": scored + rejected,
                "scored": scored,
                "rejected": rejected,
                "rejected_by_reason": dict(sorted(by_reason.items())),
            },
            "examples": examples,
            **self.facts,
        }
        with contextlib.suppress(OSError):  # a worker may lack access; the message is enough
            write_failure(self.output, ledger)
            where = f"{FAILED} of {self.output}"
            return f"{message}; examples are in {where}" if examples else f"{message}; see {where}"
        return message


def _examples(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The first rows of the files, at most `_EXAMPLES`."""
    left = _EXAMPLES
    for path in itertools.islice(sorted(paths), _EXAMPLES):
        with contextlib.suppress(InputError), open_shard(path) as file:
            for batch in itertools.islice(file.iter_batches(left or 1), 1):
                rows = batch.slice(0, left).to_pylist()
                left -= len(rows)
                yield from rows


class _Seen:
    """The counts of one process, shared by its threads and by both watching stages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = collections.Counter[str]()
        self._examples: list[dict[str, Any]] = []

    def add(self, counts: Mapping[str, int], rejects: pa.RecordBatch | None) -> None:
        with self._lock:
            self._counts.update(counts)
            if rejects is not None and len(self._examples) < _EXAMPLES:
                self._examples += rejects.slice(0, _EXAMPLES - len(self._examples)).to_pylist()

    def take_back(self, counts: Mapping[str, int]) -> None:
        with self._lock:
            self._counts.subtract(counts)

    def so_far(self) -> tuple[dict[str, int], int, list[dict[str, Any]]]:
        """Rejects by reason, scored records, and examples of rejects."""
        with self._lock:
            by_reason = {
                reason: count for reason, count in self._counts.items() if reason != _SCORED
            }
            return +collections.Counter(by_reason), self._counts[_SCORED], list(self._examples)


class WatchRejects(beam.DoFn):
    """Counts scores or rejects, and raises TooManyRejectsError once this process has seen too many
    rejects. It has no output.

    The records of a failing Beam bundle are subtracted, as the runner may retry it.

    Args:
      watch: the limit of the run.
      kind: the kind of records, `SCORES` or `REJECTS`.
      seen: shares the counts among the stages of one pipeline, in all threads; another attempt has
        its own, which starts at zero.
    """

    def __init__(self, watch: RejectWatch, kind: str, seen: Shared):
        self._watch, self._kind, self._shared = watch, kind, seen

    def setup(self) -> None:
        self._seen = self._shared.acquire(_Seen)
        self._unfinished = collections.Counter[str]()

    def start_bundle(self) -> None:
        self._unfinished.clear()

    def process(self, batch: pa.RecordBatch) -> Iterable[None]:
        if self._kind != REJECTS:
            self._count({_SCORED: len(batch)})
            self._check()
            return ()
        if self._watch.limit.share is not None:
            self._check()  # before counting them: their batch's good records, next, count too
        self._count(collections.Counter(batch.column("reason").to_pylist()), batch)
        if self._watch.limit.share is None:
            self._check()
        return ()

    def _check(self) -> None:
        by_reason, scored, examples = self._seen.so_far()
        rejected = sum(by_reason.values())
        if self._watch.limit.is_exceeded(rejected, rejected + scored, finished=False):
            raise self._watch.failure(by_reason, scored, examples, complete=False)

    def _count(self, counts: Mapping[str, int], rejects: pa.RecordBatch | None = None) -> None:
        self._unfinished.update(counts)
        self._seen.add(counts, rejects)

    def finish_bundle(self) -> None:
        self._unfinished.clear()

    def teardown(self) -> None:
        self._seen.take_back(self._unfinished)
