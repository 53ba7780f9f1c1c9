"""Checking the pictures of a finished run's maps against the rows that name them."""

import posixpath
from collections.abc import Callable, Iterator

from ae_models.errors import InputError
from transforms.records.text import printable
from transforms.results.reconcile import reconcile
from transforms.runs.ledger import MAPS, PICTURES, result_files
from transforms.runs.pictures import Picture, pictures_named
from transforms.runs.shards import read_errors
from transforms.storage.files import files_below
from transforms.storage.sealed_file import sha256_of


def damaged_pictures(scores: str, show: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """Yields a sentence for each picture that differs from what was written, and for files among
    the pictures that no row names.

    Args:
      scores: the run folder.
      show: called with the number of pictures checked so far.

    Raises:
      InputError: there is no finished run, or its pictures cannot be listed.
    """
    done = 0
    try:
        for pictures in _named(scores):
            for picture in pictures:
                if (damage := _damage(posixpath.join(scores, picture.path), picture)) is not None:
                    yield damage
                done += 1
                show(done)
    except InputError as error:  # the rows name something that is not a picture
        yield str(error)
        return
    yield from _strangers(scores)


def _named(scores: str) -> Iterator[list[Picture]]:
    for shard in result_files(scores, MAPS):
        yield from pictures_named(shard)


def _damage(path: str, picture: Picture) -> str | None:
    try:
        with read_errors(path):
            changed = sha256_of(path) != picture.sha256
    except InputError as error:
        return str(error)
    return f"{path} was changed since the run was written" if changed else None


def _strangers(scores: str) -> Iterator[str]:
    """Files among the pictures that no row names. Memory is bounded, except for the list of
    files."""
    folder = posixpath.join(scores, PICTURES)
    try:
        found = [printable(path) for path in files_below(folder)]
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error}") from error
    if not found:
        return

    def named() -> Iterator[list[str]]:
        for pictures in _named(scores):
            yield [printable(posixpath.join(scores, picture.path)) for picture in pictures]

    differences = reconcile(named, lambda: [found])
    examples = differences.examples.get("unexpected", [])
    yield from (f"{path} belongs to no map of the run" for path in examples)
    if more := differences.unexpected - len(examples):
        yield f"{more:,} more files in {folder} belong to no map of the run"
