"""NumPy files: `FILE.npz#test` means the arrays `x_test` and, if present, `y_test`."""

import contextlib
import dataclasses
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.batches import BatchLimits, image_records
from transforms.records.passed_over import PassedOver
from transforms.records.pixels import Shape, raw_metadata
from transforms.records.rejects import Reason, Stage, reject, rejected_records
from transforms.sources.array_records import array_records, numbered_ids
from transforms.sources.kinds import files_of
from transforms.sources.layouts.axes import of_many
from transforms.sources.layouts.levels import Levels, find_levels
from transforms.sources.layouts.npy_stream import (
    ENDING,
    ONLY_ARRAY,
    READ_ERRORS,
    Archive,
    ArrayStream,
    OneArray,
)
from transforms.sources.layouts.npz_arrays import Arrays, choose_arrays
from transforms.sources.recovery.cut_zip import CutZipFile
from transforms.sources.source import Listing, Source, first_schema
from transforms.storage.files import open_binary

_NPY = b"\x93NUMPY"
_MOST_LABEL_BYTES = 64 << 10  # per row
_SAMPLE_ROWS, _SAMPLE_BYTES = 256, 4 << 20  # read to find how numbers map to levels


class Rows(NamedTuple):
    """A task: the rows `first` to `end` of a file's arrays, or all rows from `first`.

    Reading can start at any row of an uncompressed member, but only at the beginning of a
    compressed one. A member has one CRC, which only a task that sees all its bytes can check. The
    last task, without an `end`, therefore also runs over the bytes before its rows, at more than
    1 GB/s. Damage anywhere in an uncompressed member is thus found at its end, as it is if the
    entire archive is one task. The listing could check it sooner, but then every task would wait.
    """

    path: str
    first: int = 0
    end: int | None = None


class _Layout(NamedTuple):
    """The layout of an array of images: the shape of each, whether channels come first in the
    file, and how numbers become levels."""

    shape: Shape
    channels_first: bool
    levels: Levels

    def pixels(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows as read → (N, H, W, C) uint8 or uint16, and (N,) bool, which rows are valid."""
        pixels, valid = self.levels.of(values)
        if self.channels_first:
            pixels = np.moveaxis(pixels, 1, -1)
        return pixels.reshape((-1, *self.shape)), valid

    def none(self, count: int) -> pa.Array:
        """`count` null images."""
        return pa.nulls(count, pa.binary(int(np.prod(self.shape)) * self.levels.dtype.itemsize))

    @property
    def metadata(self) -> dict[str, str]:
        return raw_metadata(self.shape, self.levels.dtype)


class _Set(NamedTuple):
    """The arrays of a set of images."""

    images: ArrayStream
    labels: ArrayStream | None
    ids: ArrayStream | None

    @property
    def all(self) -> list[ArrayStream]:
        return [array for array in self if array is not None]


@dataclasses.dataclass(frozen=True)
class NpzArrays(Source):
    """Images are (N, H, W), (N, H, W, C) or (N, C, H, W), of levels (`levels`). The record id is
    `FILE#test/N`, or comes from the id array given in the options. A .npy file contains one array,
    of images.

    Members are read as streams, compressed or not: an archive is never entirely in memory. A task
    is a range of rows, or an entire archive if it is small, compressed or unreadable. The arrays
    of a truncated archive are read as far as they go.

    Args:
      range_bytes: approximate size of a task's images, in bytes.
      range_rows: minimum number of rows of a task.
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
        for path in files_of("npz", self, passed_over):
            firsts, rows = [0], None
            with contextlib.suppress(InputError):  # the reader reports the reason
                firsts, rows = self._range_starts(path)
            for first, end in zip(firsts, [*firsts[1:], None], strict=True):
                records = None if rows is None else (rows if end is None else end) - first
                yield Listing(Rows(path, first, end), passed_over.taken(), records)
        yield Listing(None, passed_over.taken())

    def _range_starts(self, path: str) -> tuple[list[int], int]:
        """The first row of each of a file's tasks, and the number of rows."""
        with _open_archive(path) as archive, contextlib.ExitStack() as stack:
            arrays = self._arrays(archive, path, stack)
            images = arrays.images
            if not all(array.stored for array in arrays.all):
                return [0], images.shape[0]
            of_many(images.shape)
            rows = max(self.range_rows, self.range_bytes // max(1, images.row_bytes))
            return list(range(0, images.shape[0], rows)) or [0], images.shape[0]

    def paths(self, task: Rows) -> list[str]:
        return [task.path]

    def read(
        self,
        task: Rows,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        del passed_over  # arrays are chosen by name
        name = f"{self.relative(task.path)}#{self.part}"
        try:
            yield from self._read_rows(task, f"{name}/" if self.part else name, limits, images)
        except InputError as error:  # the file was readable when the run began
            what = f"{name}[{task.first}:]" if task.first else name
            yield rejected_records([what], task.path, Reason.UNREADABLE, str(error))

    def _read_rows(
        self, task: Rows, prefix: str, limits: BatchLimits, with_images: bool
    ) -> Iterator[pa.RecordBatch]:
        with _open_archive(task.path) as archive, contextlib.ExitStack() as stack:
            arrays = self._arrays(archive, task.path, stack)
            layout = self._layout(archive, task.path)
            images = arrays.images
            if images.row_bytes > limits.record_bytes:
                raise InputError(
                    f"{task.path}: each image has {images.row_bytes} bytes; the limit is "
                    f"{limits.record_bytes}"
                )
            rows = max(1, min(limits.rows, limits.image_bytes // images.row_bytes))
            end = images.shape[0] if task.end is None else task.end
            start = task.first
            is_range = start or task.end is not None
            if is_range and ((task.end or start + 1) > images.shape[0] or not images.stored):
                raise InputError(f"{task.path} changed while it was read")
            try:
                for array in arrays.all:
                    array.skip(start) if task.end is None else array.jump(start)
                while start < end:
                    count = min(rows, end - start)
                    yield _records(arrays, layout, prefix, task.path, start, count, with_images)
                    start += count
            except READ_ERRORS as error:
                yield from _unreadable(
                    layout, prefix, task.path, numbers=range(start, end), rows=rows, error=error
                )
            else:
                if task.end is None and isinstance(archive, CutZipFile):
                    raise InputError("the archive is truncated after these images")

    def carried(self) -> pa.Schema:
        return first_schema(files_of("npz", self), self._carried)

    def _carried(self, path: str) -> pa.Schema:
        with _open_archive(path) as archive, contextlib.ExitStack() as stack:
            labels = self._arrays(archive, path, stack).labels
            self._layout(archive, path)
            if labels is None:
                return pa.schema([])
            try:
                return pa.schema([("label", _label_type(labels))])
            except pa.ArrowException as error:
                raise InputError(
                    f"{self.uri}: unsupported label type {labels.dtype}: {error}"
                ) from error

    def _arrays(self, archive: Archive, path: str, stack: contextlib.ExitStack) -> _Set:
        """Images and, if present, labels and ids, which `stack` closes.

        Raises:
          InputError: there are no images, or the arrays do not match.
        """

        def opened(name: str) -> ArrayStream:
            return stack.enter_context(contextlib.closing(ArrayStream(archive, name, path)))

        chosen = self._chosen(archive, path)
        images = opened(chosen.images)
        labels, ids = (None if name is None else opened(name) for name in chosen[1:])
        if labels is not None and len(labels.shape) > 2 and self.options.label_column is None:
            labels = None  # these are masks or other images
        for what, array in (("labels", labels), ("ids", ids)):
            if array is None:
                continue
            fits = array.shape[:1] == images.shape[:1] and len(array.shape) <= 2
            one_a_row = int(np.prod(array.shape[1:])) == 1
            if not fits or array.row_bytes > _MOST_LABEL_BYTES or (what == "ids" and not one_a_row):
                raise InputError(
                    f"{path}: {what} of shape {array.shape} and type {array.dtype} do not match "
                    f"images of shape {images.shape}"
                )
        return _Set(images, labels, ids)

    def _chosen(self, archive: Archive, path: str) -> Arrays:
        names = sorted(member.removesuffix(ENDING) for member in archive.namelist())
        if isinstance(archive, OneArray):
            given = (self.options.image_column, self.options.label_column, self.options.id_column)
            if any(given) or self.part:
                raise InputError(
                    f"{path} contains a single array without a name; omit the array names"
                )
            return Arrays(ONLY_ARRAY, None, None)

        def shape_of(name: str) -> tuple[int, ...]:
            try:
                with contextlib.closing(ArrayStream(archive, name, path)) as array:
                    return array.shape
            except InputError:
                return ()

        try:
            return choose_arrays(names, self.part, self.options, shape_of)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _layout(self, archive: Archive, path: str) -> _Layout:
        """The layout, from the shape and, if numbers have to be converted to levels, from the
        first images.

        Raises:
          InputError: the array does not contain images.
        """
        name = self._chosen(archive, path).images
        with contextlib.closing(ArrayStream(archive, name, path)) as images:
            told = path if isinstance(archive, OneArray) else f"{path}: {name}"
            try:
                shape, channels_first = of_many(images.shape)
                count = min(images.shape[0], _SAMPLE_ROWS, _SAMPLE_BYTES // images.row_bytes)
                levels = find_levels(_sample(images, max(0, count)))
            except InputError as error:
                raise InputError(f"{told}: {error}") from error
        return _Layout(shape, channels_first, levels)


def split_npz(uri: str) -> tuple[str, str]:
    """The path, and the part after `.npz#`: `test` for `a#b/c.npz#test`."""
    path, mark, part = uri.rpartition(".npz#")
    return (f"{path}.npz", part) if mark else (uri, "")


def _sample(images: ArrayStream, rows: int) -> np.ndarray:
    """The first rows, as far as they can be read; none if the type alone is enough."""
    if images.dtype in (np.uint8, np.uint16):
        rows = 0
    with contextlib.suppress(*READ_ERRORS):
        return images.read(rows)
    for count in (rows // 16, 1):
        images.restart()
        with contextlib.suppress(*READ_ERRORS):
            return images.read(min(count, rows))
    return np.empty((0, *images.shape[1:]), images.dtype)


def _label_type(labels: ArrayStream) -> pa.DataType:
    kind = pa.from_numpy_dtype(labels.dtype)
    return kind if int(np.prod(labels.shape[1:])) == 1 else pa.list_(kind)


def _label_column(labels: np.ndarray) -> pa.Array:
    """(N,), (N, 1) or, for K labels per record, (N, K) → (N,)."""
    if int(np.prod(labels.shape[1:])) == 1:
        return pa.array(labels.reshape(-1))
    values = pa.array(labels.reshape(-1))
    offsets = np.arange(len(labels) + 1, dtype=np.int32) * labels.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _records(
    arrays: _Set,
    layout: _Layout,
    prefix: str,
    source: str,
    start: int,
    count: int,
    with_images: bool,
) -> pa.RecordBatch:
    """The next `count` records, numbered from `start`."""
    pixels, valid = layout.pixels(arrays.images.read(count))
    labels = None if arrays.labels is None else _label_column(arrays.labels.read(count))
    ids = None
    if arrays.ids is not None:
        ids = pa.array(arrays.ids.read(count).reshape(-1)).cast(pa.string())
    return array_records(
        prefix,
        source,
        start,
        images=pixels,
        labels=labels,
        with_images=with_images,
        ids=ids,
        rejects=_not_levels(layout, valid),
    )


def _not_levels(layout: _Layout, valid: np.ndarray) -> list[dict[str, str] | None] | None:
    if valid.all():
        return None
    name, factor = layout.levels.dtype.name, layout.levels.factor
    what = f"multiples of 1 / {factor}" if factor > 1 else "whole numbers"
    value = reject(
        Stage.READ,
        Reason.WRONG_BITS,
        f"not all of its values are {what} that fit {name}, unlike other records'",
    )
    return [None if is_valid else value for is_valid in valid]


@contextlib.contextmanager
def _open_archive(path: str) -> Iterator[Archive]:
    try:
        with open_binary(path) as file:
            start = file.read(len(_NPY))
            file.seek(0)
            if start == _NPY:
                yield OneArray(file)
                return
            try:
                archive = zipfile.ZipFile(file)
            except zipfile.BadZipFile:
                archive = CutZipFile(file)
            with archive:
                yield archive
    # NotImplementedError, ValueError: raised for an invalid directory.
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _unreadable(
    layout: _Layout, prefix: str, source: str, *, numbers: range, rows: int, error: Exception
) -> Iterator[pa.RecordBatch]:
    """The remaining rows as rejects: the header states how many records there should be."""
    value = reject(Stage.READ, Reason.UNREADABLE, f"{source}: {error}")
    for first in numbers[::rows]:
        count = min(rows, numbers.stop - first)
        yield image_records(
            ids=numbered_ids(prefix, first, count),
            source=source,
            images=layout.none(count),
            rejects=[value] * count,
            image_metadata=layout.metadata,
        )
