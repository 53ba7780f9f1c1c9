"""Image files in a folder (all levels down), of a glob, or one alone."""

import dataclasses
import zlib
from collections.abc import Iterator

import pyarrow as pa

from ae_models.errors import InputError
from transforms.batches import BatchLimits, image_records
from transforms.files import list_files, matches, open_binary, parent_name
from transforms.rejects import Reason, Stage, reject
from transforms.sources.source import Listing, Source

IMAGE_ENDINGS = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif")
_PATTERNS = tuple(f"*.{ending}" for ending in IMAGE_ENDINGS)
_PATHS_A_TASK = 512


@dataclasses.dataclass(frozen=True)
class ImageFiles(Source):
    """The record id is the path relative to the root; `label` is the parent folder's name."""

    def listings(self) -> Iterator[Listing]:
        paths: list[str] = []
        found, passed_over = False, 0
        for path in list_files(self.uri):
            if not matches(path, _PATTERNS):
                passed_over += 1
                continue
            paths.append(path)
            if len(paths) == _PATHS_A_TASK:
                found = True
                yield Listing(_packed(paths), passed_over)
                paths, passed_over = [], 0
        if not found and not paths:
            raise InputError(
                f"no image file in {self.uri} ({passed_over} other files passed over; "
                f"image endings: {', '.join(IMAGE_ENDINGS)})"
            )
        yield Listing(_packed(paths) if paths else None, passed_over)

    def read(
        self, task: bytes, limits: BatchLimits, images: bool = True
    ) -> Iterator[pa.RecordBatch]:
        paths = _unpacked(task)
        first, data, rejects, size = 0, [], [], 0
        for index, path in enumerate(paths):
            content, failure = _read_file(path) if images else (None, None)
            data.append(content)
            rejects.append(failure)
            size += len(content or b"")
            if len(data) == limits.rows or size >= limits.image_bytes:
                yield self._records(paths[first : index + 1], data, rejects)
                first, data, rejects, size = index + 1, [], [], 0
        if data:
            yield self._records(paths[first:], data, rejects)

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
    """Paths as a task: local engines hold all tasks in memory, and names in a row look alike."""
    return zlib.compress("\0".join(paths).encode("utf-8", "surrogateescape"))


def _unpacked(task: bytes) -> list[str]:
    return zlib.decompress(task).decode("utf-8", "surrogateescape").split("\0")


def _read_file(path: str) -> tuple[bytes | None, dict[str, str] | None]:
    try:
        with open_binary(path) as file:
            content = file.read()
    except OSError as error:
        return None, reject(Stage.READ, Reason.UNREADABLE, str(error))
    if not content:
        return None, reject(Stage.READ, Reason.EMPTY, "zero bytes")
    return content, None
