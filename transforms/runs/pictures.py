"""Picture files of maps: written next to the rows that name them, and located through these."""

import hashlib
import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.batches import DIGEST_COLUMNS, ID, PICTURE_COLUMNS
from transforms.runs.ledger import MAPS, PICTURES
from transforms.runs.shards import Shard, open_shard, read_errors
from transforms.storage.changes import write_all
from transforms.storage.files import present
from transforms.storage.staging import output_errors

_ENDINGS = (".map.png", ".overlay.png")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_PATH = re.compile(rf"{PICTURES}/(?!\.)[^/\\\0]+")
_LONGEST = 100  # characters of the record's id in a file name
_ROWS = 65_536  # the rows for which an object store is listed once


class Picture(NamedTuple):
    """A file: its path in the run folder, and the hexadecimal digest of its content."""

    path: str
    sha256: str


def picture_names(record: str, contents: tuple[bytes, bytes]) -> list[str]:
    """The names of the two picture files of a record, map and overlay: the id, with `_` for
    everything except letters, digits, `_` and `-`, and a digest of the id and both files. Different
    records thus have different names, and files of the same name are identical."""
    digest = hashlib.sha256(record.encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    readable = _UNSAFE.sub("_", record)[-_LONGEST:].lstrip("-") or "record"
    return [f"{readable}-{digest.hexdigest()[:16]}{ending}" for ending in _ENDINGS]


def write_pictures(rows: pa.RecordBatch, folder: str) -> pa.RecordBatch:
    """Writes the pictures of maps to files below a folder, and returns the rows with the names and
    digests of the files instead of their contents.

    Each file is written atomically, and rewriting it yields the same content: rows that are
    retried, or processed by two workers at once, leave each file once.

    Raises:
      OutputError: a file cannot be written.
    """
    contents = list(zip(*(rows.column(name).to_pylist() for name in PICTURE_COLUMNS), strict=True))
    names = [
        picture_names(record, both)
        for record, both in zip(rows.column(ID).to_pylist(), contents, strict=True)
    ]
    pictures = posixpath.join(folder, PICTURES)
    files = {
        posixpath.join(pictures, name): content
        for own, both in zip(names, contents, strict=True)
        for name, content in zip(own, both, strict=True)
    }
    with output_errors(folder):
        write_all(files, pictures, "image/png")
    columns = {name: rows.column(name) for name in rows.schema.names}
    for place, (name, digest) in enumerate(zip(PICTURE_COLUMNS, DIGEST_COLUMNS, strict=True)):
        columns[name] = pa.array([f"{PICTURES}/{own[place]}" for own in names], pa.string())
        hashes = [hashlib.sha256(both[place]).hexdigest() for both in contents]
        columns[digest] = pa.array(hashes, pa.string())
    return pa.RecordBatch.from_pydict(columns)


def pictures_named(path: str) -> Iterator[list[Picture]]:
    """Yields the files that the rows of a shard of maps name, some thousands at a time; nothing if
    the shard contains the maps themselves.

    Raises:
      InputError: the shard cannot be read, or a row names a file outside the run's pictures.
    """
    with open_shard(path) as parquet:
        columns = [*PICTURE_COLUMNS, *DIGEST_COLUMNS]
        if not set(columns) <= set(parquet.schema_arrow.names):
            return
        for batch in parquet.iter_batches(_ROWS, columns=columns):
            with read_errors(path):
                values = [batch.column(name).to_pylist() for name in columns]
            pairs = zip((*values[0], *values[1]), (*values[2], *values[3]), strict=True)
            pictures = [Picture(*pair) for pair in pairs]
            for picture in pictures:
                if not isinstance(picture.path, str) or not _PATH.fullmatch(picture.path):
                    raise InputError(
                        f"{path} was changed: {picture.path!r} is not a picture's path"
                    )
            yield pictures


def picture_moves(shard: Shard, read_from: str) -> Iterator[list[tuple[str, str]]]:
    """Yields the paths of a staged shard's pictures and their places in the run folder, some
    thousands at a time; nothing for rows that are not maps.

    Args:
      shard: a shard of any kind of rows.
      read_from: the current path of the shard's file.

    Raises:
      InputError: the shard cannot be read.
    """
    if shard.kind == MAPS:
        staged = posixpath.dirname(shard.path)
        for named in pictures_named(read_from):
            yield [(posixpath.join(staged, found.path), found.path) for found in named]


def has_pictures(shard: Shard) -> bool:
    """Whether all pictures that a staged shard names exist.

    Raises:
      InputError: the shard cannot be read.
    """
    staged = posixpath.dirname(shard.path)
    return all(
        {old for old, _ in moves} <= present((old for old, _ in moves), staged)
        for moves in picture_moves(shard, shard.path)
    )
