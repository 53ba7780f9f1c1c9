"""Which features of a tf.Example are images, ids and labels: by the usual names, or as named."""

import dataclasses
from collections.abc import Container, Iterable, Mapping

import numpy as np

from ae_models.config.validated import suggestion
from ae_models.errors import InputError
from transforms.records.batches import carried_name
from transforms.records.pixels import Shape
from transforms.records.rejects import Reason, RecordError
from transforms.records.signatures import START_BYTES, kind_of
from transforms.sources.options import ReadOptions

_ENCODED, _LABEL = "image/encoded", "label"
_USUAL_IMAGES = (_ENCODED, "image", "image_raw")
_USUAL_ID, _USUAL_LABEL = "image/filename", "image/class/label"
# Sides of raw pixels, by any of these names; without a depth, the number of bytes determines it.
HEIGHTS = ("height", "image/height")
WIDTHS = ("width", "image/width")
DEPTHS = ("depth", "channels", "image/channels", "image/depth")
_DEPTHS_LEFT = (1, 3, 4)
_MOST_TOLD = 20


@dataclasses.dataclass(frozen=True)
class Features:
    """The features of a file that are not carried under their original names.

    images: the first of these that a record has is its image.
    further: features with more images, which are not read.
    identifier: the feature with the record's id.
    needs_identifier: whether a record without an id is a reject; otherwise it is numbered.
    label: becomes the column `label`.
    label_apart: whether there is also a different feature named `label`.
    """

    images: tuple[str, ...] = _USUAL_IMAGES
    further: tuple[str, ...] = ()
    identifier: str = _USUAL_ID
    needs_identifier: bool = False
    label: str = _USUAL_LABEL
    label_apart: bool = False

    def column(self, name: str) -> str | None:
        """The output name of a feature; None if it is not carried."""
        if name in (self.identifier, *self.images, *self.further):
            return None
        if name == self.label:
            return _LABEL
        return f"input_{_LABEL}" if name == _LABEL and self.label_apart else carried_name(name)

    def of_images(self, known: Container[str]) -> list[str]:
        """The features that contain images, the record's image first."""
        return [name for name in (*self.images, *self.further) if name in known]

    def may_be_raw(self, name: str, known: Iterable[str]) -> bool:
        """Whether the image feature `name` may be raw pixels: the record has a height and width."""
        known = set(known)
        return name != _ENCODED and not known.isdisjoint(HEIGHTS) and not known.isdisjoint(WIDTHS)


def find_features(
    found: Mapping[str, str], starts: Mapping[str, bytes], options: ReadOptions
) -> Features:
    """The roles of a file's features.

    Args:
      found: the kind of each feature of the first records: `bytes`, `int64` or `float`.
      starts: the beginning of the first value of each bytes feature.

    Raises:
      InputError: there is no feature of images, or several, or a named feature does not exist.
    """
    for name in (options.image_column, options.id_column, options.label_column):
        if name is not None and name not in found:
            nearest = suggestion(name, found)
            told = nearest if "mean" in nearest else f" (available: {_told(found)})"
            raise InputError(f"no feature {name!r}{told}")
    of_images = [name for name, start in starts.items() if _is_image(start)]
    images = _image_features(found, of_images, options)
    label = options.label_column or _USUAL_LABEL
    return Features(
        images=images,
        further=tuple(name for name in (*_USUAL_IMAGES, *of_images) if name not in images),
        identifier=options.id_column or _USUAL_ID,
        needs_identifier=options.id_column is not None,
        label=label,
        label_apart=label in found and label != _LABEL,
    )


def raw_shape(name: str, data: bytes, sides: tuple[int, int, int | None]) -> tuple[Shape, str]:
    """The shape (H, W, C) and type of an image of raw pixels.

    Args:
      name: the name of the feature.
      data: the pixels.
      sides: height, width and, if the record has it, depth.

    Raises:
      RecordError: the number of bytes does not match these sides.
    """
    height, width, depth = sides
    area = height * width
    if min(height, width) > 0:
        for channels in (depth,) if depth is not None else _DEPTHS_LEFT:
            for dtype in ("uint8", "uint16") if depth is not None else ("uint8",):
                if channels > 0 and area * channels * np.dtype(dtype).itemsize == len(data):
                    return (height, width, channels), dtype
    shape = " × ".join(str(side) for side in sides if side is not None)
    message = f"{name!r} is not an image file, and its {len(data)} bytes are not {shape} pixels"
    raise RecordError(Reason.WRONG_SHAPE, message)


def is_encoded(data: bytes) -> bool:
    """Whether bytes begin like one of the image formats."""
    return _is_image(data[:START_BYTES])


def _image_features(
    found: Mapping[str, str], of_images: list[str], options: ReadOptions
) -> tuple[str, ...]:
    usual = (options.image_column,) if options.image_column else _USUAL_IMAGES
    there = [name for name in usual if name in found]
    if any(found[name] == "bytes" for name in there):
        return usual
    if there:
        told = " and ".join(f"{name!r} has type {found[name]}" for name in there)
        raise InputError(f"image features must be bytes, encoded or raw; {told}")
    if len(of_images) == 1:
        return tuple(of_images)
    if of_images:
        names = ", ".join(of_images)
        raise InputError(
            f"several features contain images: {names}; choose one with --image_column"
        )
    raise InputError(
        f"no feature {', '.join(map(repr, _USUAL_IMAGES))}, and none that begins like an image "
        f"(available: {_told(found)}); name the feature of images with --image_column"
    )


def _is_image(start: bytes) -> bool:
    kind = kind_of(start)
    return kind is not None and kind.is_image


def _told(found: Mapping[str, str]) -> str:
    told = [f"{name}: {kind}" for name, kind in list(found.items())[:_MOST_TOLD]]
    left = len(found) - len(told)
    return ", ".join([*told, f"{left} more"] if left else told) or "none"
