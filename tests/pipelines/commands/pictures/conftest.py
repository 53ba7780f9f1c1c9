"""Images and runs shared by the tests of map pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.commands.score import score
from tests.support.made_once import made_once

Bundles = Callable[[str], Path]
_ORIENTATION_TAG = 0x0112
_GOOD, _DEFECTS = 12, 8


def _save(path: Path, upright: np.ndarray, orientation: int) -> None:
    """A PNG file with an upright image, stored unchanged (1) or rotated (6)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    pixels = np.rot90(upright) if orientation == 6 else upright
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of digits, some with a white square, of which every second one is rotated and three
    times as large; of wide images, whose frame has padding; and of two files that are no images."""

    def make(folder: Path) -> None:
        known = load_digits()
        digits = iter((known.images[known.target != 0] * 15).astype(np.uint8))
        for number in range(_GOOD):
            _save(folder / "good" / f"{number} ü.png", next(digits), 1)
        for number in range(_DEFECTS):
            pixels = next(digits).copy()
            pixels[:3, :3] = 255
            large = np.kron(pixels, np.ones((3, 3), np.uint8))
            turned = number % 2
            _save(folder / "square" / f"{number}.png", large if turned else pixels, 1 + 5 * turned)
        for number in range(3):
            _save(folder / "wide" / f"{number}.png", np.hstack([next(digits), next(digits)]), 1)
        (folder / "bad").mkdir()
        for name in ("0.png", "zz.png"):
            (folder / "bad" / name).write_text("no image")

    return made_once(tmp_path_factory, "images-to-draw", make)


@pytest.fixture(scope="session")
def finished(
    images: Path, bundle: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A function that returns the folder of a finished run over the images, made once per set of
    options. Tests that change it make a copy first."""

    def get(**options: Any) -> Path:
        def make(folder: Path) -> None:
            score([str(images)], str(bundle("ae")), str(folder), **options)

        name = "-".join(f"{key}={value}" for key, value in sorted(options.items()))
        return made_once(tmp_path_factory, f"run-of-pictures-{name}", make)

    return get
