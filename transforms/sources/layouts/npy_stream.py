"""Arrays read sequentially, from the first or any other row: NumPy archive members, .npy files."""

import io
import math
import struct
import zipfile
import zlib
from typing import IO, Protocol, cast

import numpy as np

from ae_models.errors import InputError
from transforms.sources.recovery.cut_zip import CutZipFile

READ_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)
ENDING = ".npy"
ONLY_ARRAY = "the array"  # stands for the array of a .npy file, which has no name
_SKIPPED_BYTES = 1 << 20
_NAME_LENGTHS, _NAME_LENGTHS_AT, _LOCAL_HEADER_BYTES = struct.Struct("<HH"), 26, 30
_ENCRYPTED = 1
# zlib inflates a byte to at most 1,032 bytes; the other methods of zip have no such limit.
_METHODS, _MOST_INFLATED, _SLACK_BYTES = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1032, 1 << 10
_MOST_MISSING_ROWS = 1 << 20


class Reader(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes, fewer at the end."""

    def close(self) -> None:
        """Stops reading."""


class OneArray:
    """A .npy file as an archive of one array."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.size = file.seek(0, io.SEEK_END)

    def namelist(self) -> list[str]:
        """The member names, as an archive has them."""
        return [f"{ONLY_ARRAY}{ENDING}"]


Archive = zipfile.ZipFile | OneArray


class ArrayStream:
    """An array, read from its beginning; if `stored`, reading can start at any row.

    Raises:
      InputError: there is no such array, or it cannot be read.
    """

    def __init__(self, archive: Archive, name: str, path: str):
        told = path if isinstance(archive, OneArray) else f"{path}: {name}"
        self._member = (
            _File(archive) if isinstance(archive, OneArray) else _Member(archive, name, path)
        )
        try:
            self._file = self._member.open()
            self.shape, fortran_order, self._stored_dtype, self._offset = _header(self._file)
        # RuntimeError: encrypted. MemoryError, RecursionError: raised by Python's header parser.
        except (*READ_ERRORS, KeyError, RuntimeError, MemoryError) as error:
            raise InputError(f"{told} is not a NumPy array: {error}") from error
        if fortran_order or self._stored_dtype.hasobject or not self.shape:
            raise InputError(f"{told} must be an array of plain values in C order")
        self.dtype = self._stored_dtype.newbyteorder("=")
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        # Each missing row is a reject, so a header must not state an arbitrary number.
        missing = self.shape[0] - self._member.size // max(1, self.row_bytes)
        if min(self.shape) < 0 or missing > _MOST_MISSING_ROWS:
            raise InputError(f"{told}: shape {self.shape} does not fit {self._member.size} bytes")

    @property
    def stored(self) -> bool:
        """Whether the array's bytes are stored in the file uncompressed."""
        return self._member.stored

    def skip(self, rows: int) -> None:
        """Skips rows, which count for the member's CRC; EOFError if the array is truncated."""
        left = rows * self.row_bytes
        while left:
            data = self._file.read(min(left, _SKIPPED_BYTES))
            if not data:
                raise EOFError("the array is truncated")
            left -= len(data)

    def jump(self, rows: int) -> None:
        """Skips rows of a stored array without reading them; the CRC is then not checked."""
        self._file.close()
        self._file = self._member.section(self._offset + rows * self.row_bytes)

    def read(self, rows: int) -> np.ndarray:
        """The next rows; EOFError if the array is truncated."""
        data = self._file.read(rows * self.row_bytes)
        if len(data) < rows * self.row_bytes:
            raise EOFError("the array is truncated")
        shape = (rows, *self.shape[1:])
        return np.frombuffer(data, self._stored_dtype).astype(self.dtype, copy=False).reshape(shape)

    def restart(self) -> None:
        """Returns to the first row."""
        self._file.close()
        self._file = self._member.open()
        _header(self._file)

    def close(self) -> None:
        """Closes the array; its file stays open."""
        self._file.close()


def _header(file: Reader) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """The shape, whether in Fortran order, the type, and where the data begin."""
    counted = _Counted(file)
    version = np.lib.format.read_magic(counted)  # type: ignore[arg-type]
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    return (*read_header(counted), counted.place)  # type: ignore[arg-type]


class _Counted:
    def __init__(self, file: Reader):
        self._file, self.place = file, 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.place += len(data)
        return data


class _Member:
    """A member of an archive."""

    def __init__(self, archive: zipfile.ZipFile, name: str, path: str):
        self._archive = archive
        try:
            self._info = archive.getinfo(f"{name}{ENDING}")
        except KeyError as error:  # a damaged directory may name it differently
            raise InputError(f"{path}: no array {name!r}") from error
        _check_member(self._info, archive, f"{path}: {name}")
        self.size = self._info.file_size
        plain = not self._info.flag_bits & _ENCRYPTED
        self.stored = plain and self._info.compress_type == zipfile.ZIP_STORED

    def open(self) -> Reader:
        return self._archive.open(self._info)

    def section(self, offset: int) -> Reader:
        """The bytes from `offset`. To seek, zipfile before Python 3.13 reads everything that
        precedes the position."""
        file = cast(IO[bytes], self._archive.fp)
        file.seek(self._info.header_offset + _NAME_LENGTHS_AT)
        lengths = _NAME_LENGTHS.unpack(file.read(_NAME_LENGTHS.size))
        start = self._info.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
        return _Section(file, start + offset, start + self.size)


class _File:
    """The only array of a file."""

    stored = True

    def __init__(self, archive: OneArray):
        self._file, self.size = archive.file, archive.size

    def open(self) -> Reader:
        return self.section(0)

    def section(self, offset: int) -> Reader:
        return _Section(self._file, offset, self.size)


class _Section:
    """The bytes of a file between two positions, even if others read the file too."""

    def __init__(self, file: IO[bytes], place: int, end: int):
        self._file, self._place, self._end = file, place, end

    def read(self, size: int) -> bytes:
        self._file.seek(self._place)
        data = self._file.read(max(0, min(size, self._end - self._place)))
        self._place += len(data)
        return data

    def close(self) -> None:
        """Does nothing: whoever opened the file closes it."""


def _check_member(info: zipfile.ZipInfo, archive: zipfile.ZipFile, name: str) -> None:
    """Checks that the sizes that a member claims are possible, whatever its content.

    Raises:
      InputError: they are not.
    """
    file = cast(IO[bytes], archive.fp)
    there = file.seek(0, io.SEEK_END) - info.header_offset
    most = info.compress_size
    if info.compress_type == zipfile.ZIP_DEFLATED:
        most = most * _MOST_INFLATED + _SLACK_BYTES
    is_cut = isinstance(archive, CutZipFile)  # the rest of the member is missing
    more = info.file_size > most and not is_cut
    if info.compress_type not in _METHODS or info.compress_size > there or more:
        raise InputError(
            f"{name}: invalid sizes: {info.file_size} bytes from {info.compress_size} compressed "
            f"ones, of {there} in the file, with compression method {info.compress_type}"
        )
