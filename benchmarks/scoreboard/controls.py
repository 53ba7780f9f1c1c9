"""Scores that use no network: the baselines for any claim about a model."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

_COMPONENTS, _NEIGHBOURS = 32, 5
# Fitted to normal images, (N, H, W, C) uint8; then images → (N,), greater is more anomalous.
Control = Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]


def pca_residual(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The squared error of an image's projection onto 32 principal components."""
    pca = PCA(_COMPONENTS, random_state=0).fit(_flat(train))

    def score(images: np.ndarray) -> np.ndarray:
        flat = _flat(images)
        return np.mean((flat - pca.inverse_transform(pca.transform(flat))) ** 2, axis=1)

    return score


def pixel_neighbours(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The mean Euclidean distance, in pixels, to the 5 nearest normal images."""
    search = NearestNeighbors(n_neighbors=_NEIGHBOURS, algorithm="brute").fit(_flat(train))
    return lambda images: search.kneighbors(_flat(images))[0].mean(axis=1)


def file_size(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The difference between the length of an image's PNG and the normal median, in bytes."""
    middle = np.median(png_lengths(train))
    return lambda images: np.abs(png_lengths(images) - middle)


def png_lengths(images: np.ndarray) -> np.ndarray:
    """The length of each image's PNG, in bytes, (N,)."""
    return np.array([_png_length(image) for image in images])


CONTROLS: dict[str, Control] = {
    "PCA-32 residual": pca_residual,
    "pixel 5-NN": pixel_neighbours,
    "file size": file_size,
}


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255.0


def _png_length(image: np.ndarray) -> int:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer, "png")
    return len(buffer.getvalue())
