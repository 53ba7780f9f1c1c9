"""One denoising auto-encoder for all noise levels: PSNR on MNIST's test images."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from ae_models.models.registry import build_model
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.recipes import DENOISING
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import split, train

TASK = "MNIST denoising"
NOTES = {
    TASK: """\
PSNR in decibels, from the mean squared error over all test images, with Gaussian noise of standard
deviation σ, clipped to [0, 1]. One model serves all noise levels.
"""
}
_SIGMAS = (0.25, 0.5, 0.75)
_ROWS = 500


def rows(data: Data) -> Iterator[Row]:
    """The noisy images, then the model's restorations."""
    yield Row(TASK, "noisy images", "test set", 0, "clipped to [0, 1]", _Noisy(data))
    yield Row(TASK, DENOISING.name, "test set", 0, DENOISING.settings, _Restored(data))


def psnr(clean: np.ndarray, restored: np.ndarray) -> float:
    """10·log10(1 / mse) over all images together, in decibels, for values between 0 and 1."""
    return float(10.0 * np.log10(1.0 / np.mean((clean - restored) ** 2)))


def _noisy(data: Data, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    clean = data.mnist["x_test"].astype(np.float32) / 255.0
    noise = np.random.default_rng(0).normal(scale=sigma, size=clean.shape)
    return clean, np.clip(clean + noise, 0.0, 1.0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Noisy:
    data: Data

    def __call__(self) -> Mapping[str, float]:
        return {f"PSNR at {sigma:g}": psnr(*_noisy(self.data, sigma)) for sigma in _SIGMAS}


@dataclasses.dataclass(frozen=True)
class _Restored:
    data: Data

    def __call__(self) -> Mapping[str, float]:
        images = self.data.mnist["x_train"]
        config = DENOISING.config
        model = build_model(config.model, images.shape[1:], config.training.seed)
        train(model, split(images, 0, held_out=0.05), config.training)
        restore = tf.function(lambda x: model.infer(x)["reconstruction"])
        figures = {}
        for sigma in _SIGMAS:
            clean, noisy = _noisy(self.data, sigma)
            parts = [restore(noisy[i : i + _ROWS]) for i in range(0, len(noisy), _ROWS)]
            restored = np.clip(np.concatenate([part.numpy() for part in parts]), 0.0, 1.0)
            figures[f"PSNR at {sigma:g}"] = psnr(clean, restored)
        return figures
