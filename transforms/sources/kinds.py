"""Which kind of input a file is, by its name or, if that does not tell, by its first bytes.

The names of kinds are those of `options.FORMATS`.
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

# Endings of PNG, JPEG, WebP, TIFF, BMP and GIF.
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
_COMPRESSED = ("tfrecord", "webdataset")  # kinds that may be compressed with gzip
_NAMED_SHARD = re.compile(r"\.(tfrecords?|tfrec)(-|.*-of-)")
_SHARD = re.compile(r"-[0-9]+-of-[0-9]+$")  # without an ending, as TensorFlow names shards
# Matches the ending of `a.b`, but nothing in `v1.2`, `2021.03.04` or `a.jpg?size=large`.
_ENDING = re.compile(r"[^.]\.[a-z][a-z0-9]*~?$", re.IGNORECASE)
_KIND_OF_BYTES = {Kind.PARQUET: "parquet", Kind.NPY: "npz", Kind.TAR: "webdataset"}
_LOOKED_AT, _RECORD_HEAD_BYTES, _ANY_GZIP = 4 * START_BYTES, 12, 31
_ZIP_NAME = struct.Struct("<26xHH")  # in the header of an archive's first member


def kind_by_name(path: str) -> str | None:
    """The kind that the file's ending, in upper or lower case, stands for."""
    name = posixpath.basename(path).lower()
    stem, _, ending = name.rpartition(".")
    if ending in ("gz", "gzip"):
        kind = _KIND_OF_ENDING.get(stem.rpartition(".")[2])
        return kind if kind in _COMPRESSED else None
    if stem and (kind := _KIND_OF_ENDING.get(ending)):
        return kind
    return "tfrecord" if _NAMED_SHARD.search(name) else None


def has_ending(path: str) -> bool:
    """Whether the file's name has an ending, recognised here or not (`notes.txt`)."""
    return bool(_ENDING.search(posixpath.basename(path)))


def kind_by_bytes(path: str) -> str | None:
    """The kind that the file's first bytes indicate; also None if it cannot be read."""
    if is_local(path) and not os.path.isfile(path):  # reading a pipe would block
        return None
    try:
        with open_binary(path) as file:
            return kind_of_bytes(file.read(_LOOKED_AT))
    except OSError:
        return None


def kind_of_bytes(start: bytes) -> str | None:
    """The kind of a file that begins with these bytes."""
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
    """A predicate for the files of an input that are of `kind`.

    Names decide; for local files without an ending, the first bytes do. The first bytes also
    decide for an unrecognised ending if `uri` is a pattern with that ending or `options` names the
    format. A single file given by its own path always matches.
    """
    any_name = options.format is not None or (is_glob(uri) and has_ending(uri))
    return lambda path: path == uri or _is_of_kind(path, kind, any_name)


def files_of(kind: str, source: Source, passed_over: PassedOver | None = None) -> Iterator[str]:
    """The files of a source that are of its kind; the others are added to `passed_over`.

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
        return True  # a shard with a damaged beginning must not be mistaken for another kind
    if not is_local(path):  # avoids a request per file
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
