"""The records of an unfinished run's finished parts: small files in its staging folder."""

import dataclasses
import json
import posixpath
from typing import Any

from ae_models.errors import InputError
from transforms.parts.partition import Part, first_change
from transforms.records.tallies import Tallies
from transforms.runs.pictures import has_pictures
from transforms.runs.shards import Shard, open_shard
from transforms.storage.changes import remove, write_whole
from transforms.storage.files import exists, open_binary
from transforms.storage.staging import output_errors, staging_folder


@dataclasses.dataclass(frozen=True)
class PartResult:
    """The result of a finished part.

    Attributes:
      digest: `Part.digest` of the part.
      shards: its files in the staging folder.
      tallies: counts of what was read and passed over.
      seconds: its duration, in seconds.
    """

    digest: str
    shards: list[Shard]
    tallies: Tallies
    seconds: float


def commit(output: str, run_id: str, number: int, result: PartResult) -> None:
    """Marks a part as done, atomically. A part that is already done, by a job that outlived its
    driver, is left unchanged.

    Raises:
      OutputError: the mark cannot be written.
    """
    path = _commit_path(output, run_id, number)
    with output_errors(output):
        if exists(path):
            return
    shards = [{**vars(shard), "path": posixpath.basename(shard.path)} for shard in result.shards]
    text = json.dumps({**vars(result), "shards": shards, "tallies": result.tallies.rows()})
    with output_errors(output):
        write_whole(path, text.encode(), staging_folder(output, run_id))


def committed(output: str, run_id: str, number: int) -> PartResult | None:
    """The result of a part; None if it is not done, or its commit is damaged.

    Raises:
      OutputError: the folder cannot be accessed.
    """
    path = _commit_path(output, run_id, number)
    with output_errors(output):
        if not exists(path):
            return None
    try:
        with open_binary(path) as file:
            found = json.load(file)
        shards = [_shard(part_folder(output, run_id, number), s) for s in found.pop("shards")]
        tallies = Tallies().add(found.pop("tallies"))
        return PartResult(shards=shards, tallies=tallies, **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # perhaps a power failure
        return None


def forget(output: str, run_id: str, number: int) -> None:
    """Removes everything a part left, whether it was done or not.

    Raises:
      OutputError: something cannot be removed.
    """
    with output_errors(output):
        remove(_commit_path(output, run_id, number))
        remove(part_folder(output, run_id, number))


def is_whole(shard: Shard) -> bool:
    """Whether a file contains the rows that it was committed with, and the pictures that they name
    exist: in a power failure, the commit may reach the disk before the files do."""
    try:
        with open_shard(shard.path) as parquet:
            if parquet.metadata.num_rows != shard.rows:
                return False
        return has_pictures(shard)
    except (InputError, OSError):
        return False


def remember_files(output: str, run_id: str, part: Part) -> None:
    """Stores a part's list of input files, with their states, before it starts.

    Raises:
      OutputError: the list cannot be written.
    """
    path = _files_path(output, run_id, part.number, part.digest)
    with output_errors(output):
        write_whole(path, part.packed_files(), staging_folder(output, run_id))


def check_files(
    output: str, run_id: str, number: int, result: PartResult, part: Part | None
) -> None:
    """Raises InputError, naming a file, if the input files of a finished part have changed. `part`
    is the current part, or None if it no longer exists."""
    if part is not None and part.digest == result.digest:
        return
    try:
        with open_binary(_files_path(output, run_id, number, result.digest)) as file:
            change = first_change(file.read(), () if part is None else part.files)
    except OSError as error:
        change = f"it is not known which file: {error}"
    raise InputError(
        f"the inputs have changed since the run in {output} started: {change}; "
        "give --overwrite to start over"
    )


def part_folder(output: str, run_id: str, number: int) -> str:
    """The folder to which a part's files are written."""
    return posixpath.join(staging_folder(output, run_id), f"part-{number:06d}")


def _shard(folder: str, fields: dict[str, Any]) -> Shard:
    return Shard(path=posixpath.join(folder, fields.pop("path")), **fields)


def _commit_path(output: str, run_id: str, number: int) -> str:
    return posixpath.join(staging_folder(output, run_id), f"done-{number:06d}.json")


def _files_path(output: str, run_id: str, number: int, digest: str) -> str:
    return posixpath.join(staging_folder(output, run_id), f"files-{number:06d}-{digest[:16]}")
