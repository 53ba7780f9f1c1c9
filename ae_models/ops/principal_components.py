"""The directions of the greatest variance of images."""

import dataclasses
from typing import Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class PrincipalComponents:
    """The directions of the greatest variance.

    Attributes:
      mean: the images' mean, (D,) float32.
      components: orthonormal rows, (k, D) float32.
    """

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, count: int, seed: int) -> Self:
        """Fits `count` components to images (N, H, W, C), or as many as N and D allow.

        Raises:
          ValueError: there are fewer than two images.
        """
        from sklearn.decomposition import PCA  # noqa: PLC0415 - scoring never fits

        flat = images.reshape(len(images), -1)
        most = min(count, len(flat) - 1, flat.shape[1])
        if most < 1:
            raise ValueError(f"principal components need two images. Received: {len(flat)}")
        with np.errstate(invalid="ignore"):  # shares of the variance, if that is 0
            found = PCA(most, random_state=seed).fit(flat)
        return cls(found.mean_.astype(np.float32), found.components_.astype(np.float32))

    def codes(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) → (N, k)."""
        centred = images.reshape(len(images), -1) - self.mean
        return np.asarray(centred @ self.components.T)

    def squared_errors(self, images: np.ndarray) -> np.ndarray:
        """The mean squared error of each image reconstructed from its code, (N,), by Pythagoras."""
        centred = images.reshape(len(images), -1) - self.mean
        squares = np.square(centred, dtype=np.float64).sum(axis=1)
        kept = np.square(centred @ self.components.T, dtype=np.float64).sum(axis=1)
        return np.maximum(squares - kept, 0.0) / images[0].size
