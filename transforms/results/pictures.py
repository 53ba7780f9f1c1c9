"""The pictures of a finished run's maps: held against the rows that name them, and copied."""

import posixpath
from collections.abc import Iterator

from ae_models.errors import InputError
from transforms.runs.ledger import MAPS, PICTURES, result_files
from transforms.runs.pictures import pictures_named
from transforms.runs.shards import read_errors
from transforms.storage.files import files_below
from transforms.storage.sealed_file import sha256_of


def damaged_pictures(scores: str) -> Iterator[str]:
    """Sentences on those pictures that are not as they were written, and on files among them that
    no row names.

    Raises:
      InputError: no finished run, or the rows of its maps cannot be read.
    """
    folder = posixpath.join(scores, PICTURES)
    named = set()
    for shard in result_files(scores, MAPS):
        for pictures in pictures_named(shard):
            for picture in pictures:
                path = posixpath.join(scores, picture.path)
                named.add(posixpath.basename(path))
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
        if posixpath.basename(path) not in named:
            yield f"{path} is named by no map of the run"
