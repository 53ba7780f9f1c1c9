"""Truncated zip archives, which have lost the directory at their end."""

import io
import struct
import zipfile
from typing import IO, cast

# Signature, version, flags, method, time and date, CRC, both sizes, lengths of name and extra.
_LOCAL_HEADER = struct.Struct("<4sHHHIIIIHH")
_SIGNATURE = b"PK\x03\x04"
_EXTRA, _SIZES = struct.Struct("<HH"), struct.Struct("<QQ")
_ZIP64, _IN_EXTRA = 1, 0xFFFFFFFF
_DEFLATED_AT_MOST = 1032  # bytes from one
_MOST_MEMBERS = 10_000


class CutZipFile(zipfile.ZipFile):
    """The members of an archive, found by the header before each; the last may be truncated.

    Its reader raises EOFError if a member ends early.

    Raises:
      zipfile.BadZipFile: there is no member at the beginning.
    """

    def _RealGetContents(self) -> None:  # noqa: N802 - what `ZipFile` calls to read the directory
        file = cast(IO[bytes], self.fp)
        self.start_dir = file.seek(0, io.SEEK_END)
        place = 0
        while len(self.filelist) < _MOST_MEMBERS:
            file.seek(place)
            head = file.read(_LOCAL_HEADER.size)
            if len(head) < _LOCAL_HEADER.size or not head.startswith(_SIGNATURE):
                break
            info, place = _member(file, head, place, self.start_dir)
            self.filelist.append(info)
            self.NameToInfo[info.filename] = info
        if not self.filelist:
            raise zipfile.BadZipFile("File is not a zip file")


def _member(file: IO[bytes], head: bytes, place: int, size: int) -> tuple[zipfile.ZipInfo, int]:
    """The member whose header begins at `place`, and where the next header would begin."""
    _, _, flags, method, _, crc, stored, length, name_size, extra_size = _LOCAL_HEADER.unpack(head)
    name, extra = file.read(name_size), file.read(extra_size)
    if _IN_EXTRA in (stored, length):
        length, stored = _zip64_sizes(extra) or (length, stored)
    info = zipfile.ZipInfo(name.decode("utf-8" if flags & 0x800 else "cp437", "replace"))
    info.header_offset, info.flag_bits, info.compress_type, info.CRC = place, flags, method, crc
    start = place + _LOCAL_HEADER.size + name_size + extra_size
    left = max(0, size - start)
    if not stored and not length:  # the writer was interrupted before it filled them in
        stored, length = left, left if method == zipfile.ZIP_STORED else left * _DEFLATED_AT_MOST
    info.compress_size, info.file_size = min(stored, left), length
    return info, start + stored


def _zip64_sizes(extra: bytes) -> tuple[int, int] | None:
    """The true uncompressed and stored sizes of a member that is or might be large."""
    place = 0
    while place + _EXTRA.size <= len(extra):
        kind, size = _EXTRA.unpack_from(extra, place)
        place += _EXTRA.size
        if kind == _ZIP64 and size >= _SIZES.size and place + _SIZES.size <= len(extra):
            return _SIZES.unpack_from(extra, place)
        place += size
    return None
