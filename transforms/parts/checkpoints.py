"""What the finished parts of an unfinished run are known by: small files in its staging folder."""

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
    """What a part that is done has left.

    digest: of the part's files, as `Part` has it.
    shards: in the staging folder.
    tallies: counts of what was read and passed over.
    seconds: that it took.
    """

    digest: str
    shards: list[Shard]
    tallies: Tallies
    seconds: float


def commit(output: str, run_id: str, number: int, result: PartResult) -> None:
    """Makes a part done, at once. One that is done already, by a job that outlived its driver,
    stays as it is.

    Raises:
      OutputError: it cannot be written.
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
    """The result of a part; None if it is not done, or what it left is not whole.

    Raises:
      OutputError: the folder cannot be looked into.
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # power failed, perhaps
        return None


def forget(output: str, run_id: str, number: int) -> None:
    """Takes away all that a part has left, whether it was done or not.

    Raises:
      OutputError: it cannot be removed.
    """
    with output_errors(output):
        remove(_commit_path(output, run_id, number))
        remove(part_folder(output, run_id, number))


def is_whole(shard: Shard) -> bool:
    """Whether a file holds the rows that it was committed with, and the pictures that they name are
    there: when the power fails, the commit may reach the disk before the files do."""
    try:
        with open_shard(shard.path) as parquet:
            if parquet.metadata.num_rows != shard.rows:
                return False
        return has_pictures(shard)
    except (InputError, OSError):
        return False


def remember_files(output: str, run_id: str, part: Part) -> None:
    """Writes which files a part has, and their states, before it is begun.

    Raises:
      OutputError: it cannot be written.
    """
    path = _files_path(output, run_id, part.number, part.digest)
    with output_errors(output):
        write_whole(path, part.packed_files(), staging_folder(output, run_id))


def check_files(
    output: str, run_id: str, number: int, result: PartResult, part: Part | None
) -> None:
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


def part_folder(output: str, run_id: str, number: int) -> str:
    """Where a part's files are written."""
    return posixpath.join(staging_folder(output, run_id), f"part-{number:06d}")


def _shard(folder: str, fields: dict[str, Any]) -> Shard:
    return Shard(path=posixpath.join(folder, fields.pop("path")), **fields)


def _commit_path(output: str, run_id: str, number: int) -> str:
    return posixpath.join(staging_folder(output, run_id), f"done-{number:06d}.json")


def _files_path(output: str, run_id: str, number: int, digest: str) -> str:
    return posixpath.join(staging_folder(output, run_id), f"files-{number:06d}-{digest[:16]}")
