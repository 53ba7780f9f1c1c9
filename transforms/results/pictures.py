"""The pictures of a finished run's maps: held against the rows that name them, and copied."""

import posixpath
from collections.abc import Iterator

from ae_models.errors import InputError
from transforms.runs.ledger import MAPS, PICTURES, result_files
from transforms.runs.pictures import Picture, pictures_named
from transforms.runs.shards import read_errors
from transforms.storage.files import files_below
from transforms.storage.sealed_file import sha256_of


def damaged_pictures(scores: str) -> Iterator[str]:
    """Sentences on those pictures that are not as they were written, and on files among them that
    no row names.

    Raises:
      InputError: no finished run, or its pictures cannot be listed.
    """
    folder = posixpath.join(scores, PICTURES)
    named = set()
    for picture, broken in _named(scores):
        if picture is None:
            yield broken
            continue
        named.add(picture.path)
        path = posixpath.join(scores, picture.path)
        try:
            with read_errors(path):
                changed = sha256_of(path) != picture.sha256
        except InputError as error:
            yield str(error)
            continue
        if changed:
            yield f"{path} was changed since the run was written"
    try:
        found = sorted(files_below(folder))
    except OSError as error:
        raise InputError(f"cannot look into {folder}: {error}") from error
    for path in found:
        if path.removeprefix(f"{scores.rstrip('/')}/") not in named:
            yield f"{path} is named by no map of the run"


def _named(scores: str) -> Iterator[tuple[Picture | None, str]]:
    """Each picture that the rows of maps name; None, and why, where a shard names what is none."""
    for shard in result_files(scores, MAPS):
        try:
            for pictures in pictures_named(shard):
                yield from ((picture, "") for picture in pictures)
        except InputError as error:
            yield None, str(error)
