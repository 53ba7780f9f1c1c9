"""Which kind of input a file is: told by its name, and where that says nothing, by its first bytes.

Kinds are called as in `options.FORMATS`.
"""

import os
import posixpath
import re
import struct
import zlib
from collections.abc import Callable, Iterator

from transforms.records.passed_over import Cause, PassedOver
from transforms.records.signatures import START_BYTES, Kind, kind_of
from transforms.sources.options import ReadOptions
from transforms.sources.recovery.record_file import record_heads
from transforms.sources.source import Source
from transforms.storage.files import open_binary
from transforms.storage.paths import is_glob, is_local

# Those of PNG, JPEG, WebP, TIFF, BMP and GIF.
IMAGE_ENDINGS = (
    *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "mpo", "webp"),
    *("tif", "tiff", "bmp", "dib", "gif"),
)
ENDINGS = {
    "images": IMAGE_ENDINGS,
    "parquet": ("parquet", "parq", "pq"),
    "tfrecord": ("tfrecord", "tfrecords", "tfrec", "record"),
    "webdataset": ("tar", "tgz"),
    "npz": ("npz", "npy"),
}
_KIND_OF_ENDING = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}
_COMPRESSED = ("tfrecord", "webdataset")  # kinds that are read from gzip too
_NAMED_SHARD = re.compile(r"\.(tfrecords?|tfrec)(-|.*-of-)")
_SHARD = re.compile(r"-[0-9]+-of-[0-9]+$")  # without an ending, as TensorFlow names them
# What follows the last dot of `a.b` but not of `v1.2`, `2021.03.04` or `a.jpg?size=large`.
_ENDING = re.compile(r"[^.]\.[a-z][a-z0-9]*~?$", re.IGNORECASE)
_KIND_OF_BYTES = {Kind.PARQUET: "parquet", Kind.NPY: "npz", Kind.TAR: "webdataset"}
_LOOKED_AT, _RECORD_HEAD_BYTES, _ANY_GZIP = 4 * START_BYTES, 12, 31
_ZIP_NAME = struct.Struct("<26xHH")  # in the header of an archive's first member


def kind_by_name(path: str) -> str | None:
    """The kind that the file's ending, in any case, is that of."""
    name = posixpath.basename(path).lower()
    stem, _, ending = name.rpartition(".")
    if ending in ("gz", "gzip"):
        kind = _KIND_OF_ENDING.get(stem.rpartition(".")[2])
        return kind if kind in _COMPRESSED else None
    if stem and (kind := _KIND_OF_ENDING.get(ending)):
        return kind
    return "tfrecord" if _NAMED_SHARD.search(name) else None


def has_ending(path: str) -> bool:
    """Whether the file's name says what it is, though not to us perhaps: `notes.txt`."""
    return bool(_ENDING.search(posixpath.basename(path)))


def kind_by_bytes(path: str) -> str | None:
    """The kind that the file's first bytes are those of; None where it cannot be read, too."""
    if is_local(path) and not os.path.isfile(path):  # a pipe would keep its reader waiting
        return None
    try:
        with open_binary(path) as file:
            return kind_of_bytes(file.read(_LOOKED_AT))
    except OSError:
        return None


def kind_of_bytes(start: bytes) -> str | None:
    """The kind of a file that begins so."""
    found = kind_of(start[:START_BYTES])
    if found is not None and found.is_image:
        return "images"
    if found is Kind.ZIP:
        return "npz" if _first_member(start).endswith(b".npy") else None
    if found is Kind.GZIP:
        kind = kind_of_bytes(_unpacked(start))
        return kind if kind in _COMPRESSED else None
    if len(record_heads(start[:_RECORD_HEAD_BYTES])):
        return "tfrecord"
    return _KIND_OF_BYTES.get(found) if found else None


def members(kind: str, uri: str, options: ReadOptions) -> Callable[[str], bool]:
    """Which of an input's files are of the kind that is read there.

    Names decide, and of local files without an ending the first bytes. These also do where an
    ending is not known, if `uri` is a pattern that names the ending, or `options` the format. One
    file that is given alone is always of the kind that was found, or said.
    """
    any_name = options.format is not None or (is_glob(uri) and has_ending(uri))
    return lambda path: path == uri or _is_of_kind(path, kind, any_name)


def files_of(kind: str, source: Source, passed_over: PassedOver | None = None) -> Iterator[str]:
    """The files of a source that are of its kind; `passed_over` is told of the others.

    Raises:
      InputError: nothing is there, or it cannot be listed.
    """
    is_member = members(kind, source.path, source.options)
    for path in source.files(passed_over):
        if is_member(path):
            yield path
        elif passed_over is not None:
            passed_over.add(Cause.OTHER_KIND, path)


def _is_of_kind(path: str, kind: str, any_name: bool) -> bool:
    named = kind_by_name(path)
    if named is not None:
        return named == kind
    if kind == "tfrecord" and _SHARD.search(path):
        return True  # one that is damaged at its beginning must not be taken for another kind
    if not is_local(path):  # a request for each
        return any_name
    return (any_name or not has_ending(path)) and kind_by_bytes(path) == kind


def _first_member(start: bytes) -> bytes:
    try:
        length, _ = _ZIP_NAME.unpack_from(start)
    except struct.error:
        return b""
    return start[_ZIP_NAME.size : _ZIP_NAME.size + length]


def _unpacked(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(_ANY_GZIP).decompress(start, START_BYTES)
    except zlib.error:
        return b""
