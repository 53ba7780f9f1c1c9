"""Image files: a folder (recursively), a glob, or a single file."""

import contextlib
import dataclasses
import zlib
from collections.abc import Generator, Iterator
from collections.abc import Set as AbstractSet
from typing import ClassVar

import pyarrow as pa

from ae_models.errors import InputError
from transforms.execution.background import Ahead
from transforms.records.batches import BatchLimits, image_records
from transforms.records.passed_over import PassedOver
from transforms.records.rejects import Reason, Stage, reject
from transforms.sources.kinds import IMAGE_ENDINGS, files_of
from transforms.sources.source import Listing, Source
from transforms.storage.files import TooLargeError, read_whole
from transforms.storage.paths import is_local, parent_name

_Content = tuple[bytes | None, dict[str, str] | None]  # the bytes, or the reject


@dataclasses.dataclass(frozen=True)
class ImageFiles(Source):
    """The record id is the path relative to the root; `label` is the parent folder's name.

    Args:
      task_paths: number of files per task.
      read_at_once: number of files of an object store that are read concurrently, because each
        request takes tens of milliseconds.
      bytes_ahead: maximum number of bytes to read ahead.
    """

    picks: ClassVar[bool] = True

    task_paths: int = 512
    read_at_once: int = 16
    bytes_ahead: int = 64 << 20

    def listings(self) -> Iterator[Listing]:
        paths: list[str] = []
        found, passed_over = False, PassedOver()
        for path in files_of("images", self, passed_over):
            paths.append(path)
            if len(paths) == self.task_paths:
                found = True
                yield Listing(_packed(paths), passed_over.taken(), len(paths))
                paths = []
        if not found and not paths:
            raise InputError(
                f"no image files in {self.uri}{passed_over.in_brackets()}; "
                f"recognised endings: {', '.join(IMAGE_ENDINGS)}"
            )
        yield Listing(_packed(paths) if paths else None, passed_over.taken(), len(paths))

    def paths(self, task: bytes) -> list[str]:
        return _unpacked(task)

    def read(
        self,
        task: bytes,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        del passed_over  # what is passed over within an image is counted elsewhere
        paths = _unpacked(task)
        first, data, rejects, size = 0, [], [], 0
        with contextlib.closing(self._contents(paths, images, limits.record_bytes)) as contents:
            for index, (content, failure) in enumerate(contents):
                data.append(content)
                rejects.append(failure)
                size += len(content or b"")
                del content  # free it while its batch, which has a copy, is processed
                if len(data) == limits.rows or size >= limits.image_bytes:
                    records = self._records(paths[first : index + 1], data, rejects)
                    first, data, rejects, size = index + 1, [], [], 0
                    yield records
                    del records
        if data:
            yield self._records(paths[first:], data, rejects)

    def holding(self, task: bytes, ids: AbstractSet[str]) -> bytes | None:
        paths = [path for path in _unpacked(task) if self.relative(path) in ids]
        return _packed(paths) if paths else None

    def _contents(self, paths: list[str], images: bool, most: int) -> Generator[_Content]:
        """The content of each file, in order; a file with more than `most` bytes is a reject."""
        if not images:
            yield from ((None, None) for _ in paths)
        elif is_local(paths[0]):
            within = self.real_root()
            yield from (_read_file(path, most, within) for path in paths)
        else:
            yield from self._read_ahead(paths, most)

    def _read_ahead(self, paths: list[str], most: int) -> Generator[_Content]:
        """Reads concurrently as many files as fit in `bytes_ahead`, assuming that the next files
        are no larger than those read so far."""
        expected = self.bytes_ahead // self.read_at_once
        with contextlib.closing(Ahead[_Content](self.bytes_ahead, self.read_at_once)) as ahead:
            for path in paths:
                for content in ahead.submit(expected, _read_file, path, most):
                    expected = max(expected, len(content[0] or b""))
                    yield content
            yield from ahead.drain()

    def _records(self, paths: list[str], data: list[bytes | None], rejects: list) -> pa.RecordBatch:
        labels = [parent_name(path) for path in paths]
        return image_records(
            ids=[self.relative(path) for path in paths],
            source=paths,
            images=data,
            carried={"label": pa.array(labels, pa.string())},
            rejects=rejects,
        )

    def carried(self) -> pa.Schema:
        return pa.schema([("label", pa.string())])


def _packed(paths: list[str]) -> bytes:
    """Paths as a task. They are compressed because local engines keep all tasks in memory, and
    consecutive names are similar."""
    return zlib.compress("\0".join(paths).encode("utf-8", "surrogateescape"))


def _unpacked(task: bytes) -> list[str]:
    return zlib.decompress(task).decode("utf-8", "surrogateescape").split("\0")


def _read_file(path: str, most: int, within: str | None = None) -> _Content:
    try:
        content = read_whole(path, most, within)
    except TooLargeError as error:
        return None, reject(Stage.READ, Reason.TOO_LARGE, str(error))
    except OSError as error:
        return None, reject(Stage.READ, Reason.UNREADABLE, str(error))
    if not content:
        return None, reject(Stage.READ, Reason.EMPTY, "the file has zero bytes")
    return content, None
