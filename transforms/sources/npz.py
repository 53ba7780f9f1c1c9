"""NumPy archives: `FILE.npz#test` is the arrays `x_test` and, if there, `y_test`."""

import contextlib
import dataclasses
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, cast

import numpy as np
import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.batches import BatchLimits, image_records
from transforms.records.passed_over import PassedOver
from transforms.records.pixels import checked_dtype, raw_metadata, three_dimensional
from transforms.records.rejects import Reason, Stage, reject, rejected_records
from transforms.sources.array_records import array_records, numbered_ids
from transforms.sources.recovery.cut_zip import CutZipFile
from transforms.sources.source import Listing, Source, first_schema
from transforms.storage.files import open_binary

_READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)
_SKIPPED_BYTES = 1 << 20
_NAME_LENGTHS, _NAME_LENGTHS_AT, _LOCAL_HEADER_BYTES = struct.Struct("<HH"), 26, 30
_ENCRYPTED = 1
# zlib makes no more than 1,032 bytes of one; the other ways of zip make any number.
_METHODS, _MOST_INFLATED, _SLACK_BYTES = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1032, 1 << 10
_MOST_LABEL_BYTES, _MOST_MISSING_ROWS = 64 << 10, 1 << 20


class Rows(NamedTuple):
    """A task: the rows `first` to `end` of an archive's arrays, or all from `first` on.

    A member stored as it is can be entered at any row, a compressed one only at its beginning. A
    member has one CRC, which only a task that sees all its bytes can check: the last one, without
    an `end`, runs over those before its rows too, at more than 1 GB/s. Damage anywhere in a stored
    member is thus met at its end, as where the whole archive is one task. The listing could
    check it sooner, but all other tasks would wait for that.
    """

    path: str
    first: int = 0
    end: int | None = None


@dataclasses.dataclass(frozen=True)
class NpzArrays(Source):
    """Images are (N, H, W) or (N, H, W, C), uint8 or uint16; the record id is `FILE#test/N`.

    Members are read as a stream, compressed or not: an archive is never all in memory. A task is
    a range of rows, or a whole archive that is small, compressed or not to be read. Of an archive
    that was cut short, the arrays are read as far as they are there.

    Args:
      range_bytes: of the images of a task, about.
      range_rows: of a task, at least.
    """

    range_bytes: int = 64 << 20
    range_rows: int = 2048

    @property
    def path(self) -> str:
        return split_npz(self.uri)[0]

    @property
    def part(self) -> str:
        return split_npz(self.uri)[1]

    def listings(self) -> Iterator[Listing]:
        passed_over = PassedOver()
        for path in self.files(passed_over):
            firsts, rows = [0], None
            with contextlib.suppress(InputError):  # reading it tells why
                firsts, rows = self._range_starts(path)
            for first, end in zip(firsts, [*firsts[1:], None], strict=True):
                records = None if rows is None else (rows if end is None else end) - first
                yield Listing(Rows(path, first, end), passed_over.taken(), records)
        yield Listing(None, passed_over.taken())

    def _range_starts(self, path: str) -> tuple[list[int], int]:
        """The first rows of an archive's tasks, and how many rows there are."""
        with _open_archive(path) as archive, contextlib.ExitStack() as stack:
            x, y = self._arrays(archive, path, stack)
            if not x.stored or (y is not None and not y.stored):
                return [0], x.shape[0]
            rows = max(self.range_rows, self.range_bytes // _image_bytes(x))
            return list(range(0, x.shape[0], rows)) or [0], x.shape[0]

    def paths(self, task: Rows) -> list[str]:
        return [task.path]

    def read(
        self,
        task: Rows,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        del passed_over  # arrays are taken by their names
        name = f"{self.relative(task.path)}#{self.part}"
        try:
            yield from self._read_rows(task, f"{name}/" if self.part else name, limits, images)
        except InputError as error:  # it was there when the run began
            what = f"{name}[{task.first}:]" if task.first else name
            yield rejected_records([what], task.path, Reason.UNREADABLE, str(error))

    def _read_rows(
        self, task: Rows, prefix: str, limits: BatchLimits, images: bool
    ) -> Iterator[pa.RecordBatch]:
        with _open_archive(task.path) as archive, contextlib.ExitStack() as stack:
            x, y = self._arrays(archive, task.path, stack)
            shape = three_dimensional(x.shape[1:])
            if (image_bytes := _image_bytes(x)) > limits.record_bytes:
                raise InputError(
                    f"{task.path}: images of {image_bytes} bytes, more than {limits.record_bytes}"
                )
            rows = max(1, min(limits.rows, limits.image_bytes // image_bytes))
            end = x.shape[0] if task.end is None else task.end
            start = task.first
            is_range = start or task.end is not None
            if is_range and ((task.end or start + 1) > x.shape[0] or not x.stored):
                raise InputError(f"{task.path} changed while it was read")
            try:
                for array in filter(None, (x, y)):
                    array.skip(start) if task.end is None else array.jump(start)
                while start < end:
                    count = min(rows, end - start)
                    pixels = x.read(count).reshape((-1, *shape))
                    labels = None if y is None else y.read(count)
                    yield array_records(
                        prefix, task.path, start, images=pixels, labels=labels, with_images=images
                    )
                    start += count
            except _READ_ERRORS as error:
                yield from _unreadable(
                    prefix,
                    task.path,
                    numbers=range(start, end),
                    x=x,
                    shape=shape,
                    rows=rows,
                    error=error,
                )
            else:
                if task.end is None and isinstance(archive, CutZipFile):
                    raise InputError("the archive is cut short, behind these images")

    def carried(self) -> pa.Schema:
        return first_schema(self.files(), self._carried)

    def _carried(self, path: str) -> pa.Schema:
        with _open_archive(path) as archive, contextlib.ExitStack() as stack:
            x, y = self._arrays(archive, path, stack)
            _image_bytes(x)
            if y is None:
                return pa.schema([])
            try:
                return pa.schema([("label", pa.from_numpy_dtype(y.dtype))])
            except pa.ArrowException as error:
                raise InputError(f"{self.uri}: labels of type {y.dtype}: {error}") from error

    def _arrays(
        self, archive: zipfile.ZipFile, path: str, stack: contextlib.ExitStack
    ) -> "tuple[_ArrayStream, _ArrayStream | None]":
        """Images and, if there, labels, to be closed by `stack`.

        Raises:
          InputError: there are no images, or one of the two is no array.
        """
        arrays = sorted(member.removesuffix(".npy") for member in archive.namelist())
        x, y = self._array_name("x"), self._array_name("y")
        if x not in arrays:
            parts = [array[2:] for array in arrays if array.startswith("x_")]
            hint = f"; did you mean {path}#{parts[0]}?" if parts else ""
            raise InputError(f"no array {x!r} in {path} (it has {', '.join(arrays)}){hint}")
        images = stack.enter_context(contextlib.closing(_ArrayStream(archive, x, path)))
        if y not in arrays:
            return images, None
        labels = stack.enter_context(contextlib.closing(_ArrayStream(archive, y, path)))
        if labels.shape != images.shape[:1] or labels.dtype.itemsize > _MOST_LABEL_BYTES:
            raise InputError(
                f"{path}: labels of shape {labels.shape}, {labels.dtype}, do not fit images "
                f"{images.shape}"
            )
        return images, labels

    def _array_name(self, letter: str) -> str:
        return f"{letter}_{self.part}" if self.part else letter


def split_npz(uri: str) -> tuple[str, str]:
    """The path, and what follows `.npz#`: `test` of `a#b/c.npz#test`."""
    path, mark, part = uri.rpartition(".npz#")
    return (f"{path}.npz", part) if mark else (uri, "")


def _image_bytes(x: "_ArrayStream") -> int:
    """The size of one image.

    Raises:
      InputError: the array holds no images.
    """
    return math.prod(three_dimensional(x.shape[1:])) * checked_dtype(x.dtype).itemsize


class _ArrayStream:
    """A `.npy` member read front to back, or, if it is stored as it is, from some row on."""

    def __init__(self, archive: zipfile.ZipFile, name: str, path: str):
        self._archive = archive
        try:
            self._info = archive.getinfo(f"{name}.npy")
        except KeyError as error:  # a directory that was damaged may name it otherwise
            raise InputError(f"{path}: no array {name!r}") from error
        name = f"{path}: {name}"
        _check_member(self._info, archive, name)
        try:
            file = archive.open(self._info)
            self._file: IO[bytes] | _Section = file
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            self.shape, fortran_order, self._stored_dtype = read_header(file)
            self._data_offset = file.tell()
        # RuntimeError: encrypted. MemoryError, RecursionError: of Python's reader, for the header.
        except (*_READ_ERRORS, KeyError, RuntimeError, MemoryError) as error:
            raise InputError(f"{name} is not a NumPy array: {error}") from error
        if fortran_order or self._stored_dtype.hasobject or not self.shape:
            raise InputError(f"{name} must be a plain array in C order")
        self.dtype = self._stored_dtype.newbyteorder("=")
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        # Each row that is missing is a reject, so a header may not say any number.
        missing = self.shape[0] - self._info.file_size // max(1, self._row_bytes)
        if min(self.shape) < 0 or missing > _MOST_MISSING_ROWS:
            raise InputError(
                f"{name}: shape {self.shape} is more than {self._info.file_size} bytes"
            )

    @property
    def stored(self) -> bool:
        """Whether the member's bytes lie in the archive as they are."""
        plain = not self._info.flag_bits & _ENCRYPTED
        return plain and self._info.compress_type == zipfile.ZIP_STORED

    def skip(self, rows: int) -> None:
        """Goes past rows, which the member's CRC takes in; EOFError where it is cut short."""
        left = rows * self._row_bytes
        while left:
            data = self._file.read(min(left, _SKIPPED_BYTES))
            if not data:
                raise EOFError("the array is cut short")
            left -= len(data)

    def jump(self, rows: int) -> None:
        """Goes past rows of a stored member without reading them; its CRC is not checked then."""
        self._file.close()
        start = self._data_offset + rows * self._row_bytes
        self._file = _Section(self._archive, self._info, start)

    def read(self, rows: int) -> np.ndarray:
        """The next rows; EOFError where the member is cut short."""
        data = self._file.read(rows * self._row_bytes)
        if len(data) < rows * self._row_bytes:
            raise EOFError("the array is cut short")
        shape = (rows, *self.shape[1:])
        return np.frombuffer(data, self._stored_dtype).astype(self.dtype, copy=False).reshape(shape)

    def close(self) -> None:
        """Closes the member; the archive stays open."""
        self._file.close()


def _check_member(info: zipfile.ZipInfo, archive: zipfile.ZipFile, name: str) -> None:
    """Whether the sizes that a member claims can be true, whatever it holds.

    Raises:
      InputError: they cannot.
    """
    file = cast(IO[bytes], archive.fp)
    there = file.seek(0, io.SEEK_END) - info.header_offset
    most = info.compress_size
    if info.compress_type == zipfile.ZIP_DEFLATED:
        most = most * _MOST_INFLATED + _SLACK_BYTES
    is_cut = isinstance(archive, CutZipFile)  # of which the rest is missing
    more = info.file_size > most and not is_cut
    if info.compress_type not in _METHODS or info.compress_size > there or more:
        raise InputError(
            f"{name}: {info.file_size} bytes cannot be in {info.compress_size} of {there}, "
            f"compressed by method {info.compress_type}"
        )


class _Section:
    """The bytes, from `offset` on, of a member that is stored as it is. zipfile itself, before
    Python 3.13, reads all that lies before the place it seeks."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, offset: int):
        self._file = cast(IO[bytes], archive.fp)
        self._file.seek(info.header_offset + _NAME_LENGTHS_AT)
        lengths = _NAME_LENGTHS.unpack(self._file.read(_NAME_LENGTHS.size))
        start = info.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
        self._place, self._end = start + offset, start + info.file_size

    def read(self, size: int) -> bytes:
        """The next bytes, fewer at the member's end."""
        self._file.seek(self._place)  # other members are read through the same file
        data = self._file.read(max(0, min(size, self._end - self._place)))
        self._place += len(data)
        return data

    def close(self) -> None:
        """The archive closes its file."""


@contextlib.contextmanager
def _open_archive(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with open_binary(path) as file:
            try:
                archive = zipfile.ZipFile(file)
            except zipfile.BadZipFile:
                archive = CutZipFile(file)
            with archive:
                yield archive
    # NotImplementedError, ValueError: of a directory that makes no sense.
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _unreadable(
    prefix: str,
    source: str,
    *,
    numbers: range,
    x: _ArrayStream,
    shape: tuple[int, int, int],
    rows: int,
    error: Exception,
) -> Iterator[pa.RecordBatch]:
    """The rest of the rows as rejects: the header says how many records there should be."""
    value = reject(Stage.READ, Reason.UNREADABLE, f"{source}: {error}")
    image_type = pa.binary(int(np.prod(shape)) * x.dtype.itemsize)
    for first in numbers[::rows]:
        count = min(rows, numbers.stop - first)
        yield image_records(
            ids=numbered_ids(prefix, first, count),
            source=source,
            images=pa.nulls(count, image_type),
            rejects=[value] * count,
            image_metadata=raw_metadata(shape, x.dtype),
        )
