"""Ending a run of which too many records are rejected."""

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
_SCORED = "scored"  # beside the reasons, of which none is called so


@dataclasses.dataclass(frozen=True)
class RejectWatch:
    """The limit of one run, and where to write what it was ended for.

    fail_if_empty: whether a run that has scored no record is ended too.
    """

    limit: RejectLimit
    output: str
    facts: Mapping[str, Any]
    fail_if_empty: bool = False

    def check(
        self, records: Mapping[str, Any], shards: Sequence[Shard], finished: bool = True
    ) -> None:
        """Raises TooManyRejectsError if a run of these counts and files has too many, EmptyRunError
        if it has none that was scored and that is not allowed.

        Args:
          finished: whether that is the whole run; else it is the parts of it that are done.
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
        """The error that ends the run, once `failed.json` is written, if it can be.

        Args:
          examples: rows of rejects.
          complete: whether this is all that there is; else it is what one worker saw, or parts.
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
        """The message, and where `failed.json` is, once it is written."""
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
        with contextlib.suppress(OSError):  # a worker may have no access; the message says it all
            write_failure(self.output, ledger)
            where = f"{FAILED} of {self.output}"
            return f"{message}; examples are in {where}" if examples else f"{message}; see {where}"
        return message


def _examples(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The first rows of the files, as many as are told."""
    left = _EXAMPLES
    for path in itertools.islice(sorted(paths), _EXAMPLES):
        with contextlib.suppress(InputError), open_shard(path) as file:
            for batch in itertools.islice(file.iter_batches(left or 1), 1):
                rows = batch.slice(0, left).to_pylist()
                left -= len(rows)
                yield from rows


class _Seen:
    """What one process has seen of a run: its threads, and both stages that watch, share it."""

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
    """Counts scores or rejects, and raises TooManyRejectsError once those that this process has
    seen are too many; it puts out nothing.

    Records of a bundle that fails are taken back, as the runner may try it again.

    Args:
      watch: what a run is held to.
      kind: of the records, `SCORES` or `REJECTS`.
      seen: by which the stages of one pipeline, in all threads, know what they have counted
        together; another attempt has another one, and begins at nothing.
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
            self._check()  # before them: the good ones of their batch, which are next, count too
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
