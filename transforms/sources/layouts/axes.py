"""Which axis of an array of images is which."""

from ae_models.errors import InputError
from transforms.records.pixels import Shape, three_dimensional

_MOST_CHANNELS = 4  # of common images: grey or colour, with or without alpha
_OF_COLOUR = (3, 4)


def height_width_channels(shape: tuple[int, ...]) -> tuple[Shape, bool]:
    """The shape (H, W, C) of an image that is stored as `shape`, and whether it is stored with
    channels first: the first side is 1 to 4 and both others are greater.

    Raises:
      InputError: it is not the shape of an image, or the order is ambiguous: `(12, 64, 64)` may
        have 64 channels or 12.
    """
    height, width, channels = three_dimensional(shape)
    if channels <= _MOST_CHANNELS or width <= _MOST_CHANNELS:
        return (height, width, channels), False
    if height <= _MOST_CHANNELS:
        return (width, channels, height), True
    if height < width == channels:
        raise InputError(
            f"images of {height} × {width} × {channels}: the number of channels is ambiguous, "
            f"{height} or {channels}; store them in the order (N, H, W, C)"
        )
    return (height, width, channels), False


def of_many(shape: tuple[int, ...]) -> tuple[Shape, bool]:
    """The same for the shape of an array of many images.

    Raises:
      InputError: as above, or the shape is clearly that of a single image.
    """
    if len(shape) == 3 and shape[2] in _OF_COLOUR and min(shape[:2]) > _MOST_CHANNELS:
        raise InputError(
            f"an array of {' × '.join(map(str, shape))} looks like a single image; arrays of "
            "images must be (N, H, W) or (N, H, W, C)"
        )
    return height_width_channels(shape[1:])
