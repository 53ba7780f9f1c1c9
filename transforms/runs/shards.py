"""Writing record batches to Parquet files of bounded row groups, each bundle to its own files; and
opening such a file again."""

import collections
import contextlib
import dataclasses
import posixpath
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, InputError
from transforms.execution.background import Ahead
from transforms.execution.timing import Timed, timed
from transforms.records.batches import ID
from transforms.runs.ledger import REJECTS
from transforms.storage.changes import create
from transforms.storage.sealed_file import SealedFile, open_plain
from transforms.storage.staging import output_errors

# Columns whose values repeat; for the others a dictionary costs more than it saves.
_DICTIONARY_COLUMNS = ("source", "label", "model", "stage", "reason")
_COMPRESSIONS = ("none", "snappy", "gzip", "brotli", "zstd", "lz4")
_BYTES_AHEAD = 16 << 20  # scored while the earlier ones are being written


@dataclasses.dataclass(frozen=True)
class ShardLimits:
    """The size of row groups and files, and how their pages are compressed.

    Raises:
      ConfigError: a size is no whole number, or less than 1, or PyArrow knows no such compression.
    """

    group_rows: int = 16_384
    group_bytes: int = 64 << 20
    file_rows: int = 4_194_304
    compression: str = "zstd"

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in vars(self).items() if name != "compression"}
        check_range(1, **sizes)
        if self.compression not in _COMPRESSIONS:
            known = ", ".join(_COMPRESSIONS)
            raise ConfigError(f"compression must be one of {known}. Received: {self.compression!r}")


@dataclasses.dataclass(frozen=True)
class Shard:
    """A finished file, not yet in its final place."""

    kind: str
    path: str
    rows: int
    first_id: str
    reasons: dict[str, int]
    sha256: str | None = None

    def listed(self, place: str) -> dict[str, Any]:
        """What the ledger says of it at its final place."""
        entry = {"path": place, "rows": self.rows}
        return entry if self.sha256 is None else {**entry, "sha256": self.sha256}


def rejected_by_reason(shards: Iterable[Shard]) -> dict[str, int]:
    """How many records were rejected, by reason."""
    reasons = collections.Counter[str]()
    for shard in shards:
        reasons.update(shard.reasons)
    return dict(sorted(reasons.items()))


@contextlib.contextmanager
def open_shard(path: str) -> Iterator[pq.ParquetFile]:
    """A file of a finished run, to be read.

    Raises:
      InputError: it cannot be read, at once or later.
    """
    with (
        read_errors(path),
        open_plain(path) as file,
        pq.ParquetFile(file, page_checksum_verification=True) as parquet,
    ):
        yield parquet


@contextlib.contextmanager
def read_errors(path: str) -> Iterator[None]:
    """Turns what goes wrong in reading `path` into an InputError that names it."""
    try:
        yield
    # Damage may be numbers that Python, too, can make nothing of.
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error


class ShardWriter:
    """Gathers batches into row groups of one open file after another.

    Memory is bounded by one row group; whatever is added, `close` leaves no file open. What cannot
    be written is an OutputError.

    Args:
      folder: to write to.
      kind: of the rows; of `REJECTS` the reasons are counted.
      limits: of row groups and files.
      lasting: whether files are to outlast a power failure.
    """

    def __init__(self, folder: str, kind: str, limits: ShardLimits, lasting: bool = True):
        self._folder, self._kind, self._limits, self._lasting = folder, kind, limits, lasting
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0

    def add(self, batch: pa.RecordBatch) -> list[Shard]:
        """Takes a batch; gives the files that it made complete: none, but seldom."""
        complete = []
        if self._writer is not None and batch.schema != self._writer.schema:
            complete += self.close()
        if self._writer is None:
            self._open(batch)
        self._pending.append(batch)
        self._pending_rows += len(batch)
        self._pending_bytes += batch.nbytes
        if self._kind == REJECTS:
            self._reasons.update(batch.column("reason").to_pylist())
        full = self._pending_rows >= self._limits.group_rows
        if full or self._pending_bytes >= self._limits.group_bytes:
            self._write_group()
        if self._rows >= self._limits.file_rows:
            complete += self.close()
        return complete

    def close(self) -> list[Shard]:
        """Writes what is pending; gives the last file, if one is open."""
        if self._writer is None:
            return []
        self._write_group()
        with self._writing():
            self._writer.close()
            self._file.close()
        self._writer = None
        return [
            Shard(
                self._kind,
                self._path,
                self._rows,
                self._first_id,
                dict(self._reasons),
                self._file.sha256,
            )
        ]

    def abandon(self) -> None:
        """Closes the file that is open, if one is, as it is: nobody will be told of it."""
        for name in ("_writer", "_file"):
            # It may not be open, and on a full disk its footer cannot be written either.
            with contextlib.suppress(Exception):
                getattr(self, name).close()
        self._writer = None

    def _open(self, batch: pa.RecordBatch) -> None:
        self._path = posixpath.join(self._folder, f"{self._kind}-{uuid.uuid4().hex}.parquet")
        names = batch.schema.names
        with self._writing():
            self._file = SealedFile(
                create(self._path, "application/vnd.apache.parquet", self._lasting)
            )
            self._writer = pq.ParquetWriter(
                self._file,
                batch.schema,
                compression=self._limits.compression,
                use_dictionary=[name for name in _DICTIONARY_COLUMNS if name in names],
                write_page_checksum=True,
            )
        self._rows, self._reasons = 0, collections.Counter[str]()
        self._first_id = batch.column(ID)[0].as_py() if len(batch) else ""

    def _write_group(self) -> None:
        if self._pending and self._writer is not None:
            # One dictionary for the whole group, where batches bring their own.
            table = pa.Table.from_batches(self._pending).unify_dictionaries().combine_chunks()
            with self._writing():
                self._writer.write_table(table, row_group_size=max(1, len(table)))
            self._rows += self._pending_rows
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """What cannot be written is closed at once: later its footer would fail once more."""
        try:
            with output_errors(self._folder):
                yield
        except BaseException:
            self.abandon()
            raise


class _Write(beam.DoFn):
    """Encodes and compresses in the background while the next records are scored."""

    def __init__(self, folder: str, kind: str, limits: ShardLimits, lasting: bool):
        self._arguments = (folder, kind, limits, lasting)
        self._milliseconds = Metrics.distribution("latentbeam", "write_milliseconds")

    def start_bundle(self) -> None:
        self._writer = ShardWriter(*self._arguments)
        self._ahead: Ahead[Timed[list[Shard]]] = Ahead(_BYTES_AHEAD)

    def process(self, batch: pa.RecordBatch) -> Iterable[Shard]:
        due = self._ahead.submit(batch.nbytes, timed, self._writer.add, batch)
        return self._finished(due)

    def finish_bundle(self) -> Iterable[WindowedValue]:
        window = GlobalWindow()
        for shard in [*self._finished(self._ahead.drain()), *self._writer.close()]:
            yield WindowedValue(shard, window.max_timestamp(), (window,))

    def teardown(self) -> None:
        """Also after a bundle that failed, in the middle of a file."""
        if hasattr(self, "_writer"):
            self._ahead.close()
            self._writer.abandon()

    def _finished(self, results: list[Timed[list[Shard]]]) -> list[Shard]:
        for result in results:
            self._milliseconds.update(result.milliseconds)
        return [shard for result in results for shard in result.value]


class WriteShards(beam.PTransform):
    """Record batches → `Shard`s under `folder`.

    A bundle that is tried again leaves files behind that no `Shard` names: what is in the folder
    is no result until someone takes the named ones out of it.

    Args:
      folder: to write to.
      kind: of the rows.
      limits: of row groups and files.
      lasting: whether files are to outlast a power failure, as those of a work folder need not.
    """

    def __init__(
        self, folder: str, kind: str, limits: ShardLimits | None = None, lasting: bool = True
    ):
        super().__init__()
        self._write = _Write(folder, kind, limits or ShardLimits(), lasting)

    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[Shard]:
        return batches | beam.ParDo(self._write)
