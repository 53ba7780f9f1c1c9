"""Synthetic anomalies derived from normal records, for choosing settings and scores without seeing
any real anomaly."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Images = np.ndarray  # (N, H, W, C) uint8 or uint16


def moved_patch(images: Images, generator: np.random.Generator) -> Images:
    """Pastes a quarter of each image's area elsewhere in it (CutPaste, Li et al. 2021)."""
    result = images.copy()
    sides = np.maximum(1, np.array(images.shape[1:3]) // 2)
    height, width = sides
    for image, source in zip(result, images, strict=True):
        top, left = start = generator.integers(0, sides)
        patch = source[top : top + height, left : left + width]
        to_top, to_left = (start + generator.integers(1, np.maximum(2, sides))) % sides
        image[to_top : to_top + height, to_left : to_left + width] = patch
    return result


def swapped_halves(images: Images, generator: np.random.Generator) -> Images:
    """Joins the upper half of each image to the lower half of another."""
    half = images.shape[1] // 2
    others = np.roll(images, generator.integers(1, len(images)), axis=0)
    return np.concatenate([images[:, :half], others[:, half:]], axis=1)


def warped(images: Images, generator: np.random.Generator) -> Images:
    """Displaces pixels smoothly at random (elastic distortion, Simard et al. 2003)."""
    height, width = images.shape[1:3]
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    result = np.empty_like(images)
    for index, image in enumerate(images):
        field = ndimage.gaussian_filter(generator.normal(size=(2, height, width)), (0, 3, 3))
        places = grid + 3.0 * field / field.std()
        for channel in range(image.shape[-1]):
            result[index, ..., channel] = ndimage.map_coordinates(
                image[..., channel], places, order=1, mode="nearest"
            )
    return result


def thickened(images: Images, generator: np.random.Generator) -> Images:
    """Replaces each pixel with the brightest in its 3 × 3 neighbourhood."""
    del generator
    return ndimage.grey_dilation(images, (1, 3, 3, 1))


def thinned(images: Images, generator: np.random.Generator) -> Images:
    """Replaces each pixel with the darkest in its 3 × 3 neighbourhood."""
    del generator
    return ndimage.grey_erosion(images, (1, 3, 3, 1))


def blurred(images: Images, generator: np.random.Generator | None = None) -> Images:
    """Blurs with a Gaussian whose standard deviation is one pixel."""
    del generator
    return ndimage.gaussian_filter(images, (0.0, 1.0, 1.0, 0.0))


def turned(images: Images, generator: np.random.Generator) -> Images:
    """Rotates by 45°."""
    del generator
    return ndimage.rotate(images, 45.0, axes=(1, 2), reshape=False, order=1)


ANOMALIES: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    function.__name__.replace("_", " "): function
    for function in (moved_patch, swapped_halves, warped, thickened, thinned, blurred, turned)
}
