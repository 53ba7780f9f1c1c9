"""The public data sets, read from a folder and checked against their checksums."""

import functools
import hashlib
import io
import itertools
import os
from pathlib import Path

import numpy as np
from PIL import Image

# Measurements, and weights that took long to train.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "latentbeam"
MNIST, FASHION, CIFAR10 = "mnist.npz", "fashion_mnist.npz", "cifar10_jpeg.npz"
# Checksums of the files when the page was written: figures on other data are not comparable.
_SUMS = {
    MNIST: "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64",
    FASHION: "a4349ee55a6249be7a5831a7f7680e62b5c70036eaed7f3fa99ac8d1f91aa338",
    CIFAR10: "2ac3dcfc196e7b656bfd949aad362b938f5a2b4c1ce7c27baa443e8fb057ce41",
}


class Data:
    """Reads each data set on first use, as pixels (N, H, W, C) uint8 and labels."""

    def __init__(self, folder: Path):
        self._folder = folder

    @functools.cached_property
    def mnist(self) -> dict[str, np.ndarray]:
        return _with_channels(self._arrays(MNIST))

    @functools.cached_property
    def fashion(self) -> dict[str, np.ndarray]:
        return _with_channels(self._arrays(FASHION))

    @functools.cached_property
    def cifar10(self) -> dict[str, np.ndarray]:
        """From a lossy copy in which each image is a JPEG."""
        stored = self._arrays(CIFAR10)
        return {
            f"{letter}_{part}": values
            for part in ("train", "test")
            for letter, values in (
                ("x", _decoded(stored[f"{part}_jpeg"], stored[f"{part}_offsets"])),
                ("y", stored[f"{part}_labels"]),
            )
        }

    def cifar10_files(self, part: str) -> tuple[list[bytes], list[int]]:
        """The same data for `train` or `test`: encoded images, and labels."""
        stored = self._arrays(CIFAR10)
        data, ends = stored[f"{part}_jpeg"].tobytes(), stored[f"{part}_offsets"].tolist()
        files = [data[start:end] for start, end in itertools.pairwise(ends)]
        return files, stored[f"{part}_labels"].ravel().tolist()

    @property
    def photographs(self) -> Path:
        """The folder of the sets of photographs, each with `train` and `test` in the layout of
        `ImageFolder`."""
        return self._folder / "photos"

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        path = self._folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != _SUMS[name]:
            raise ValueError(f"{path} differs from the scoreboard's file: sha256 {found}")
        with np.load(path) as arrays:
            return dict(arrays)


def _with_channels(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: v[..., None] if name.startswith("x") else v for name, v in arrays.items()}


def _decoded(jpeg: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    data = jpeg.tobytes()
    ends = itertools.pairwise(offsets)
    return np.stack([np.asarray(Image.open(io.BytesIO(data[a:b])).convert("RGB")) for a, b in ends])
