"""NumPy archives: `FILE.npz#test` is the arrays `x_test` and, if there, `y_test`."""

import contextlib
import dataclasses
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ae_models.errors import InputError
from transforms.batches import BatchLimits, image_records
from transforms.files import list_files, open_binary
from transforms.pixels import checked_dtype, raw_metadata, three_dimensional
from transforms.rejects import Reason, Stage, reject, rejected_records
from transforms.sources.array_records import array_records, numbered_ids
from transforms.sources.source import Listing, Source, first_schema

_READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class NpzArrays(Source):
    """Images are (N, H, W) or (N, H, W, C), uint8 or uint16; the record id is `FILE#test/N`.

    Members are read as a stream, compressed or not: an archive is never all in memory.
    """

    @property
    def path(self) -> str:
        return split_npz(self.uri)[0]

    @property
    def part(self) -> str:
        return split_npz(self.uri)[1]

    def listings(self) -> Iterator[Listing]:
        for path in list_files(self.path):
            yield Listing(path)

    def read(self, task: str, limits: BatchLimits, images: bool = True) -> Iterator[pa.RecordBatch]:
        name = f"{self.relative(task)}#{self.part}"
        try:
            yield from self._read_arrays(task, f"{name}/" if self.part else name, limits, images)
        except InputError as error:  # it was there when the run began
            yield rejected_records([name], task, Reason.UNREADABLE, str(error))

    def _read_arrays(
        self, task: str, prefix: str, limits: BatchLimits, images: bool
    ) -> Iterator[pa.RecordBatch]:
        with contextlib.ExitStack() as stack:
            archive = stack.enter_context(_open_archive(task))
            x = stack.enter_context(contextlib.closing(self._images(archive, task)))
            y = self._labels(archive, task)
            if y is not None:
                stack.enter_context(contextlib.closing(y))
            shape = three_dimensional(x.shape[1:])
            image_bytes = int(np.prod(shape)) * checked_dtype(x.dtype).itemsize
            rows = max(1, min(limits.rows, limits.image_bytes // image_bytes))
            start = 0
            try:
                while start < x.shape[0]:
                    count = min(rows, x.shape[0] - start)
                    pixels = x.read(count).reshape((-1, *shape))
                    labels = None if y is None else y.read(count)
                    yield array_records(prefix, task, start, pixels, labels, images)
                    start += count
            except _READ_ERRORS as error:
                yield from _unreadable(prefix, task, start, x, shape, rows, error)

    def carried(self) -> pa.Schema:
        return first_schema(list_files(self.path), self._carried)

    def _carried(self, path: str) -> pa.Schema:
        with _open_archive(path) as archive:
            with contextlib.closing(self._images(archive, path)) as x:
                three_dimensional(x.shape[1:])
                checked_dtype(x.dtype)
            y = self._labels(archive, path)
            if y is None:
                return pa.schema([])
            y.close()
            if y.shape != x.shape[:1]:
                raise InputError(
                    f"{self.uri}: labels of shape {y.shape} do not fit images {x.shape}"
                )
            try:
                return pa.schema([("label", pa.from_numpy_dtype(y.dtype))])
            except pa.ArrowException as error:
                raise InputError(f"{self.uri}: labels of type {y.dtype}: {error}") from error

    def _images(self, archive: zipfile.ZipFile, path: str) -> "_ArrayStream":
        name = self._array_name("x")
        if f"{name}.npy" in archive.namelist():
            return _ArrayStream(archive, name, path)
        arrays = sorted(member.removesuffix(".npy") for member in archive.namelist())
        parts = [array[2:] for array in arrays if array.startswith("x_")]
        hint = f"; did you mean {path}#{parts[0]}?" if parts else ""
        raise InputError(f"no array {name!r} in {path} (it has {', '.join(arrays)}){hint}")

    def _labels(self, archive: zipfile.ZipFile, path: str) -> "_ArrayStream | None":
        name = self._array_name("y")
        found = f"{name}.npy" in archive.namelist()
        return _ArrayStream(archive, name, path) if found else None

    def _array_name(self, letter: str) -> str:
        return f"{letter}_{self.part}" if self.part else letter


def split_npz(uri: str) -> tuple[str, str]:
    """The path, and what follows `.npz#`: `test` of `a#b/c.npz#test`."""
    path, mark, part = uri.rpartition(".npz#")
    return (f"{path}.npz", part) if mark else (uri, "")


class _ArrayStream:
    """A `.npy` member read front to back."""

    def __init__(self, archive: zipfile.ZipFile, name: str, path: str):
        self._file = archive.open(f"{name}.npy")
        name, file = f"{path}: {name}", self._file
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            self.shape, fortran_order, self._stored = read_header(file)
        except (*_READ_ERRORS, KeyError) as error:
            raise InputError(f"{name} is not a NumPy array: {error}") from error
        if fortran_order or self._stored.hasobject or not self.shape:
            raise InputError(f"{name} must be a plain array in C order")
        self.dtype = self._stored.newbyteorder("=")

    def read(self, rows: int) -> np.ndarray:
        """The next rows; EOFError where the member is cut short."""
        shape = (rows, *self.shape[1:])
        size = int(np.prod(shape)) * self.dtype.itemsize
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError("the array is cut short")
        return np.frombuffer(data, self._stored).astype(self.dtype, copy=False).reshape(shape)

    def close(self) -> None:
        """Closes the member; the archive stays open."""
        self._file.close()


@contextlib.contextmanager
def _open_archive(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with open_binary(path) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _unreadable(
    prefix: str,
    source: str,
    start: int,
    x: _ArrayStream,
    shape: tuple[int, int, int],
    rows: int,
    error: Exception,
) -> Iterator[pa.RecordBatch]:
    """The rest of the array as rejects: the header says how many records there should be."""
    value = reject(Stage.READ, Reason.UNREADABLE, f"{source}: {error}")
    image_type = pa.binary(int(np.prod(shape)) * x.dtype.itemsize)
    for first in range(start, x.shape[0], rows):
        count = min(rows, x.shape[0] - first)
        yield image_records(
            ids=numbered_ids(prefix, first, count),
            source=source,
            images=pa.nulls(count, image_type),
            rejects=[value] * count,
            image_metadata=raw_metadata(shape, x.dtype),
        )
