"""Writing record batches to Parquet files with bounded row groups, separate files for each Beam
bundle; and opening these files."""

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

# Columns with repeated values; for others, a dictionary costs more than it saves.
_DICTIONARY_COLUMNS = ("source", "label", "model", "stage", "reason")
_COMPRESSIONS = ("none", "snappy", "gzip", "brotli", "zstd", "lz4")
_BYTES_AHEAD = 16 << 20  # scored while earlier ones are being written


@dataclasses.dataclass(frozen=True)
class ShardLimits:
    """The size of row groups and files, and the compression of their pages.

    Raises:
      ConfigError: a size is not a whole number or is less than 1, or the compression is unknown.
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
        """The ledger's entry for this file at its final place."""
        entry = {"path": place, "rows": self.rows}
        return entry if self.sha256 is None else {**entry, "sha256": self.sha256}


def rejected_by_reason(shards: Iterable[Shard]) -> dict[str, int]:
    """The number of rejected records by reason."""
    reasons = collections.Counter[str]()
    for shard in shards:
        reasons.update(shard.reasons)
    return dict(sorted(reasons.items()))


@contextlib.contextmanager
def open_shard(path: str) -> Iterator[pq.ParquetFile]:
    """Opens a file of a finished run for reading.

    Raises:
      InputError: it cannot be read, now or later in the block.
    """
    with (
        read_errors(path),
        open_plain(path) as file,
        pq.ParquetFile(file, page_checksum_verification=True) as parquet,
    ):
        yield parquet


@contextlib.contextmanager
def read_errors(path: str) -> Iterator[None]:
    """Turns errors from reading `path` into an InputError that names it."""
    try:
        yield
    # Damage may yield numbers that Python cannot handle either.
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error


class ShardWriter:
    """Gathers batches into row groups, with one file open at a time.

    Memory is bounded by one row group; `close` always leaves no file open. Failing writes raise
    OutputError.

    Args:
      folder: the folder to write to.
      kind: the kind of rows; for `REJECTS`, the reasons are counted.
      limits: the limits of row groups and files.
      lasting: whether files must survive a power failure.
    """

    def __init__(self, folder: str, kind: str, limits: ShardLimits, lasting: bool = True):
        self._folder, self._kind, self._limits, self._lasting = folder, kind, limits, lasting
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0

    def add(self, batch: pa.RecordBatch) -> list[Shard]:
        """Adds a batch; returns the files that it completed, usually none."""
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
        """Writes pending rows; returns the last file, if one is open."""
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
        """Closes the open file, if any, without completing or reporting it."""
        for name in ("_writer", "_file"):
            # It may not be open, and on a full disk writing the footer fails too.
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
            # One dictionary for the entire group, as batches may have different ones.
            table = pa.Table.from_batches(self._pending).unify_dictionaries().combine_chunks()
            with self._writing():
                self._writer.write_table(table, row_group_size=max(1, len(table)))
            self._rows += self._pending_rows
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Closes the file at once if a write fails: its footer would fail again later."""
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
        """Also called after a failed bundle, in the middle of a file."""
        if hasattr(self, "_writer"):
            self._ahead.close()
            self._writer.abandon()

    def _finished(self, results: list[Timed[list[Shard]]]) -> list[Shard]:
        for result in results:
            self._milliseconds.update(result.milliseconds)
        return [shard for result in results for shard in result.value]


class WriteShards(beam.PTransform):
    """Record batches → `Shard`s under `folder`.

    A retried bundle leaves files behind that no `Shard` names: only the named files are results,
    and they must be moved out of the folder.

    Args:
      folder: the folder to write to.
      kind: the kind of rows.
      limits: the limits of row groups and files.
      lasting: whether files must survive a power failure; those of a work folder need not.
    """

    def __init__(
        self, folder: str, kind: str, limits: ShardLimits | None = None, lasting: bool = True
    ):
        super().__init__()
        self._write = _Write(folder, kind, limits or ShardLimits(), lasting)

    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[Shard]:
        return batches | beam.ParDo(self._write)
