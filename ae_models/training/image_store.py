"""Decoded images of one split in one file, in an order independent of who wrote them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_models.training.splits import SplitOrder, id_hashes

# Ids and images of the same records: (N,) of str, (N, H, W, C).
Batch = tuple[list[str], np.ndarray]
GroupedBatch = tuple[list[str], np.ndarray, list[str]]  # and groups, (N,) of str


class Part(NamedTuple):
    """Records of one split to be written to disk: their places in it, (n,), ids, and images,
    (n, H, W, C)."""

    split: str
    places: np.ndarray
    ids: list[str]
    images: np.ndarray


Look = Callable[[Part], None]
# The size of a group of batches, for which TensorFlow calls into Python once.
_GROUP_BYTES = 1 << 20


class ImageStore:
    """A `.npy` file of images (N, H, W, C), read in parts and never entirely in memory.

    Args:
      path: the file.
      targets: the target of each image, for the same records in the same order; None: the images.

    Raises:
      ValueError: images and targets differ in number, shape or type.
    """

    def __init__(self, path: str | Path, targets: "ImageStore | None" = None):
        self.path, self.targets = Path(path), targets
        header = np.load(self.path, mmap_mode="r")
        self.shape, self.dtype, self._offset = header.shape, header.dtype, header.offset
        if targets and (targets.shape, targets.dtype) != (self.shape, self.dtype):
            raise ValueError(
                f"targets must be {self.shape} {self.dtype}, like the images. "
                f"Received: {targets.shape} {targets.dtype}"
            )

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def image_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> np.ndarray:
        """Images start to stop, (stop − start, H, W, C), as a copy in memory."""
        stop = min(stop, len(self))
        # No memory map here or below: mapped pages would count as this process's memory.
        values = np.fromfile(
            self.path,
            dtype=self.dtype,
            count=(stop - start) * int(np.prod(self.shape[1:])),
            offset=self._offset + start * self.image_bytes,
        )
        return values.reshape((stop - start, *self.shape[1:]))

    def write(self, positions: np.ndarray, images: np.ndarray) -> None:
        """Writes images, (N, H, W, C), at their positions, (N,)."""
        with self.path.open("r+b") as file:
            for position, image in zip(positions, np.ascontiguousarray(images), strict=True):
                offset = self._offset + int(position) * self.image_bytes
                file.seek(offset)
                file.write(image.data)

    def batches(self, rows: int) -> Iterator[np.ndarray]:
        """All images in stored order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield self.read(start, start + rows)

    def batch_groups(self, rows: int) -> Iterator[np.ndarray]:
        """`batches`, several at a time if they are small: (k, rows, H, W, C), followed, if `rows`
        does not divide the number of images, by a last (1, less than rows, H, W, C)."""
        step = self._group_rows(rows)
        for start in range(0, len(self), step):
            yield from _grouped(self.read(start, start + step), rows)

    def shuffled_batch_groups(
        self, rows: int, buffer_bytes: int, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """All images once, `rows` at a time, shuffled within buffers of bounded size, in groups as
        from `batch_groups`.

        The stored order is that of a hash, so each buffer is a random part of all images.
        """
        buffer_rows = max(1, buffer_bytes // (self.image_bytes * rows)) * rows
        incomplete = None  # from the one buffer that is not a multiple of `rows`
        for start in generator.permutation(np.arange(0, len(self), buffer_rows)):
            for batches in self._shuffled(start, start + buffer_rows, rows, generator):
                if batches.shape[1] == rows:
                    yield batches
                else:
                    incomplete = batches
        if incomplete is not None:
            yield incomplete

    def _shuffled(
        self, start: int, stop: int, rows: int, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """One buffer's batches, in groups; the buffer is freed before the next one is read."""
        images = self.read(start, stop)
        order, step = generator.permutation(len(images)), self._group_rows(rows)
        for first in range(0, len(images), step):
            yield from _grouped(images.take(order[first : first + step], axis=0), rows)

    def _group_rows(self, rows: int) -> int:
        return max(1, _GROUP_BYTES // (self.image_bytes * rows)) * rows


def _grouped(images: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """The full batches of `rows` as one array, then the remainder as a separate batch."""
    whole = len(images) // rows * rows
    if whole:
        yield images[:whole].reshape(-1, rows, *images.shape[1:])
    if whole < len(images):
        yield images[whole:][None]


def write_image_stores(
    paths: Mapping[str, Path],
    order: SplitOrder,
    batches: Iterable[Batch | GroupedBatch],
    looks: Iterable[Look] = (),
) -> dict[str, ImageStore]:
    """Writes the images of each split to a file, in the order of their ids' hashes.

    Args:
      paths: the `.npy` files to write, by split; a split without one is skipped.
      order: the order of all records.
      batches: ids and images of all records, in any order; and their groups, if `order` depends on
        them.
      looks: functions that receive every image once, including those of splits without a file.

    Raises:
      ValueError: there is no image.
    """
    stores: dict[str, ImageStore] = {}
    ranker, looks = order.ranker(), list(looks)
    for ids, images, *groups in batches:
        if not stores:
            stores = {
                split: empty_store(
                    path, (len(order.ranges[split]), *images.shape[1:]), images.dtype
                )
                for split, path in paths.items()
            }
        ranks = ranker(id_hashes(ids), *map(id_hashes, groups))
        for split, within in order.ranges.items():
            rows = np.flatnonzero((ranks >= within.start) & (ranks < within.stop))
            if not len(rows):
                continue
            part = Part(split, ranks[rows] - within.start, [ids[row] for row in rows], images[rows])
            for look in looks:
                look(part)
            if split in stores:
                stores[split].write(part.places, part.images)
    if not stores:
        raise ValueError(f"no images to write to {', '.join(map(str, paths.values()))}")
    return stores


def empty_store(path: Path, shape: tuple[int, ...], dtype: Any) -> ImageStore:
    """Creates a file: the header, and space for (N, H, W, C) of that type."""
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    return ImageStore(path)
