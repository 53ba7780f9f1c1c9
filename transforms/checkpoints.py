"""What the finished parts of an unfinished run are known by: small files in its staging folder."""

import dataclasses
import json
import os
import posixpath
from typing import Any

from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError
from transforms.files import client_errors, is_local, open_binary
from transforms.parts import Part, first_change
from transforms.plan import write_whole
from transforms.shards import Shard, open_shard
from transforms.staging import output_errors, staging_folder


@dataclasses.dataclass(frozen=True)
class PartResult:
    """What a part that is done has left.

    digest: of the part's files, as `Part` has it.
    shards: in the staging folder.
    tallies: counts, by their names in `tallies`.
    seconds: that it took.
    """

    digest: str
    shards: list[Shard]
    tallies: dict[str, int]
    seconds: float


def commit(output: str, run_id: str, number: int, result: PartResult) -> None:
    """Makes a part done, at once. One that is done already, by a job that outlived its driver,
    stays as it is.

    Raises:
      OutputError: it cannot be written.
    """
    path = _commit_path(output, run_id, number)
    with output_errors(output):
        if FileSystems.exists(path):
            return
    shards = [{**vars(shard), "path": posixpath.basename(shard.path)} for shard in result.shards]
    text = json.dumps({**vars(result), "shards": shards})
    write_whole(path, text.encode(), staging_folder(output, run_id))


def committed(output: str, run_id: str, number: int) -> PartResult | None:
    """The result of a part; None if it is not done, or what it left is not whole.

    Raises:
      OutputError: the folder cannot be looked into.
    """
    path = _commit_path(output, run_id, number)
    with output_errors(output):
        if not FileSystems.exists(path):
            return None
    try:
        with open_binary(path) as file:
            found = json.load(file)
        shards = [_shard(output, run_id, fields) for fields in found.pop("shards")]
        return PartResult(shards=shards, **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # power failed, perhaps
        return None


def forget(output: str, run_id: str, number: int) -> None:
    """Makes a part undone.

    Raises:
      OutputError: it cannot be removed.
    """
    path = _commit_path(output, run_id, number)
    with output_errors(output):
        if FileSystems.exists(path):
            FileSystems.delete([path])


def is_whole(shard: Shard) -> bool:
    """Whether a file holds the rows that it was committed with: when the power fails, the commit
    may reach the disk before the file does."""
    try:
        with open_shard(shard.path) as parquet:
            return bool(parquet.metadata.num_rows == shard.rows)
    except InputError:
        return False


def remember_files(output: str, run_id: str, part: Part) -> None:
    """Writes which files a part has, and their states, before it is begun.

    Raises:
      OutputError: it cannot be written.
    """
    path = _files_path(output, run_id, part.number, part.digest)
    write_whole(path, part.packed_files(), staging_folder(output, run_id))


def check_files(output: str, run_id: str, number: int, result: PartResult, part: Part | None) -> None:
    """Raises InputError, naming a file, if a part that is done is not as it is now, None for one
    that there is no more."""
    if part is not None and part.digest == result.digest:
        return
    try:
        with open_binary(_files_path(output, run_id, number, result.digest)) as file:
            change = first_change(file.read(), () if part is None else part.files)
    except OSError as error:
        change = f"which file is not known: {error}"
    raise InputError(
        f"the inputs are not those that the run in {output} began with: {change}; "
        "--overwrite starts anew"
    )


def _shard(output: str, run_id: str, fields: dict[str, Any]) -> Shard:
    path = posixpath.join(staging_folder(output, run_id), fields.pop("path"))
    return Shard(path=path, **fields)


def _commit_path(output: str, run_id: str, number: int) -> str:
    return posixpath.join(staging_folder(output, run_id), f"done-{number:06d}.json")


def _files_path(output: str, run_id: str, number: int, digest: str) -> str:
    return posixpath.join(staging_folder(output, run_id), f"files-{number:06d}-{digest[:16]}")
