"""The interface of every kind of input."""

import abc
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, NamedTuple, TypeVar

import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.batches import ID, BatchLimits
from transforms.records.passed_over import PassedOver
from transforms.sources.options import USUAL, ReadOptions
from transforms.storage.files import fixed_root, is_folder, list_files
from transforms.storage.paths import is_glob, is_local, relative_path

Item = TypeVar("Item")


class Listing(NamedTuple):
    """A part of a source for one worker to read, and what was passed over to find it.

    `task` is small and can be pickled; it is None if the listing only reports what was passed
    over. `passed_over` is None if nothing was. `records` is the number of records of the task, None
    if it is unknown until the task is read.
    """

    task: Any
    passed_over: PassedOver | None = None
    records: int | None = None


def first_schema(paths: Iterable[str], schema_of: Callable[[str], Item]) -> Item:
    """The schema of the first file that has one; files without one become rejects when read.

    Raises:
      InputError: no file has one.
    """
    failure: InputError | None = None
    for path in paths:
        try:
            return schema_of(path)
        except InputError as error:
            failure = failure or error
    raise failure or InputError("no files to read")


def bounded_batches(
    items: Iterable[Item], size_of: Callable[[Item], int], limits: BatchLimits
) -> Iterator[list[Item]]:
    """The items in lists of at most `limits.rows`, each ended by the item with which its size in
    bytes reaches `limits.image_bytes`. If `items` raises, the items before the error are yielded
    first."""
    batch: list[Item] = []
    size = 0
    try:
        for item in items:
            batch.append(item)
            size += size_of(item)
            if len(batch) >= limits.rows or size >= limits.image_bytes:
                yield batch
                batch, size = [], 0
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


@dataclasses.dataclass(frozen=True)
class Source(abc.ABC):
    """One `--input`: how to split it into tasks, and how to read a task as image records.

    Args:
      uri: the input as the user gave it.
      root: the folder that record ids are relative to.
      options: how to read the input.

    Attributes:
      picks: whether the task that `holding` returns reads only the requested records.
    """

    picks: ClassVar[bool] = False

    uri: str
    root: str
    options: ReadOptions = USUAL

    @property
    def path(self) -> str:
        """The file, folder or glob that `uri` names."""
        return self.uri

    @abc.abstractmethod
    def listings(self) -> Iterator[Listing]:
        """The tasks, in a fixed order.

        Raises:
          InputError: nothing is there, or it is not of this kind.
        """

    def tasks(self) -> Iterator[Any]:
        """Only the tasks, without what was passed over."""
        return (listing.task for listing in self.listings() if listing.task is not None)

    @abc.abstractmethod
    def paths(self, task: Any) -> list[str]:
        """The files that reading a task reads."""

    @abc.abstractmethod
    def read(
        self,
        task: Any,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The image records of a task, what cannot be read among them as rejects.

        Args:
          task: from `listings`.
          limits: limits of one batch.
          images: False to read only ids and carried columns; `image` is then null.
          passed_over: counts what is in the files but not read; it is complete after the last
            batch. None: nothing is counted.
        """

    def holding(self, task: Any, ids: AbstractSet[str]) -> Any:
        """The task to read for the records with these ids: by default the entire task. None if it
        contains none of them."""
        batches = self.read(task, BatchLimits(), images=False)
        found = any(not ids.isdisjoint(batch.column(ID).to_pylist()) for batch in batches)
        return task if found else None

    @abc.abstractmethod
    def carried(self) -> pa.Schema:
        """The carried columns, by output name, of the first readable file.

        Raises:
          InputError: no file is of this kind.
        """

    def files(self, passed_over: PassedOver | None = None) -> Iterator[str]:
        """The files of `path` that the options do not exclude; others are added to `passed_over`.

        Raises:
          InputError: nothing is there, or it cannot be listed.
        """
        return list_files(
            self.path,
            passed_over,
            exclude=self.options.exclude,
            follow_links=self.options.follow_links,
        )

    def real_root(self) -> str | None:
        """The real path of the local folder that all files of this source must be in when they are
        opened, with links resolved. None if they may be anywhere: with `follow_links`, or for a
        single file given by its own path."""
        if self.options.follow_links or not is_local(self.path):
            return None
        if not (is_glob(self.path) or is_folder(self.path)):
            return None
        return os.path.realpath(fixed_root(self.path) or ".")

    def relative(self, path: str) -> str:
        """The file's part of a record id."""
        return relative_path(path, self.root)
