"""Masks in a folder, looked up by record."""

import posixpath

import numpy as np

from ae_models.errors import InputError
from transforms.images.decoding import decode_as_is
from transforms.images.orientation import Stored, turned_back
from transforms.records.rejects import RecordError
from transforms.records.text import printable
from transforms.sources.kinds import IMAGE_ENDINGS, kind_by_name
from transforms.storage.files import files_below, read_whole

_MOST_BYTES, _MOST_PIXELS = 256 << 20, 178_956_970
_SUFFIX = "_mask"  # in MVTec's names
_FOLDERS = ("test/",)  # in the paths of MVTec's images, but not of its masks
_HALF = {"uint8": 127, "uint16": 32767}


class Masks:
    """The masks of a folder: grey images of the same size as the records' images, in which defects
    are brighter than half of white.

    A record's mask has the record's path, with any ending: the mask of `bent/7.jpg` is
    `bent/7.png`, or `bent/7_mask.png` as in MVTec, also for `test/bent/7.jpg`.

    Args:
      folder: the folder, local or remote.

    Raises:
      InputError: the folder cannot be listed, or contains no image.
    """

    def __init__(self, folder: str):
        self._folder = folder.rstrip("/")
        try:
            found = sorted(files_below(self._folder))
        except OSError as error:
            raise InputError(f"cannot list {folder}: {error}") from error
        self._paths = {
            posixpath.splitext(printable(path.removeprefix(f"{self._folder}/")))[0]: path
            for path in found
            if kind_by_name(path) == "images"
        }
        if not self._paths:
            raise InputError(
                f"{folder} contains no masks; image endings: {', '.join(IMAGE_ENDINGS)}"
            )

    def path(self, record: str) -> str | None:
        """The path of a record's mask; None if it has none."""
        name = posixpath.splitext(record)[0]
        names = [name, *(name.removeprefix(folder) for folder in _FOLDERS)]
        found = (self._paths.get(own + suffix) for own in names for suffix in ("", _SUFFIX))
        return next((path for path in found if path is not None), None)

    def mask(self, record: str, stored: Stored) -> np.ndarray | None:
        """A record's mask, (H, W) bool, of the image as stored; None if it has none.

        Raises:
          InputError: the mask cannot be read, has another size than the image, or has no pixel
            brighter than half of white.
        """
        path = self.path(record)
        if path is None:
            return None
        try:
            levels = decode_as_is(read_whole(path, _MOST_BYTES), _MOST_PIXELS)
        except (OSError, RecordError) as error:
            raise InputError(f"cannot read the mask {path}: {error}") from error
        levels = levels[..., :3].max(axis=-1) if levels.shape[-1] > 2 else levels[..., 0]
        mask = levels > _HALF[levels.dtype.name]
        if not mask.any():
            raise InputError(
                f"the mask {path} of {record} has no pixel brighter than half of white: its "
                f"greatest level is {int(levels.max())}"
            )
        if mask.shape == (stored.height, stored.width):
            return mask
        turned = turned_back(mask, stored.orientation)
        if turned.shape != (stored.height, stored.width):
            raise InputError(
                f"the mask {path} is {mask.shape[0]} x {mask.shape[1]} (height x width), but the "
                f"image {record} is {stored.height} x {stored.width}"
            )
        return turned
