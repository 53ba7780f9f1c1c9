"""Images with what is anomalous in them, for bundles of whole images and of tiles."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.commands.train import train, train_configuration

ORIENTATION_TAG = 0x0112
TURNED = ("turned/3.png", "turned/6.png", "turned/8.png")  # by the EXIF orientation of their names
BROKEN = ("broken/cut.png", "broken/text.png")
TWINS = ("1.png", "twin of 1.png")  # of one image, so that neither is more anomalous
_OVERRIDES = [
    *("features.backbone=none", "image.tile=32", "image.overlap=8", "model.latent_dim=6"),
    *("scoring.fpr=0.1", "training.calibration_share=0.3", "scoring.batch_rows=48"),
    "model.network=dense",
]


class Anomalous(NamedTuple):
    """Images, those of `TURNED`, `BROKEN` and `TWINS` among them, the bundle that looks at them,
    and the finished run over them. What a test changes, it copies first."""

    images: Path
    model: Path
    run: Path


def save_stored(path: Path, pixels: np.ndarray, orientation: int = 1) -> None:
    """A file of these rows, and of what EXIF says of how they are turned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation != 1:
        exif[ORIENTATION_TAG] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def make_whole(images: Path) -> None:
    """Images for a bundle of 8 × 8 grey digits: digits, every second one with a white square or
    line; those that are turned are three times as high, and wider than high."""
    digits = load_digits()
    normal = iter((digits.images[digits.target != 0][:60] * 15).astype(np.uint8))
    for number in range(40):
        pixels = next(normal).copy()
        if number % 2:
            place = (slice(0, 3), slice(0, 3)) if number % 4 == 1 else (slice(7, 8), slice(1, 8))
            pixels[place] = 255
        save_stored(images / "digits" / f"{number}.png", pixels)
    for name in TURNED:
        pixels = np.pad(np.kron(next(normal), np.ones((3, 3), np.uint8)), ((0, 0), (0, 8)))
        pixels[2:10, 1:8] = 255
        save_stored(images / name, pixels, int(Path(name).stem))
    _finish(images)


def make_tiled(folder: Path) -> None:
    """`images` and `model`, a bundle of tiles: colour textures of many shapes, every second one
    with a white square."""
    for seed in range(40):
        save_stored(folder / "train" / f"{seed}.png", _textured(seed))
    images = folder / "images"
    for number in range(18):
        pixels = _textured(100 + number)
        if number % 2:
            pixels[20:34, 30:44] = 250
        save_stored(images / "textures" / f"{number}.png", pixels)
    for name in TURNED:
        pixels = _textured(int(Path(name).stem) + 200)
        pixels[5:19, 40:54] = 250
        save_stored(images / name, pixels, int(Path(name).stem))
    _finish(images)
    config = train_configuration("ae", overrides=_OVERRIDES, flags={"epochs": 1})
    train([str(folder / "train")], config, str(folder / "model"))


def make_without_map(path: Path) -> None:
    """A bundle without regions, trained on digits."""
    overrides = ["model.network=dense", "model.latent_dim=6", "scoring.map=none"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    train(["builtin:digits"], config, str(path), where=["label=1"])


def regions_of(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of a run's regions by record, the highest peak first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(run / "regions").to_pylist():
        found.setdefault(row["id"], []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (-row["peak"], row["y"], row["x"]))
    return found


def _textured(seed: int) -> np.ndarray:
    """Waves and noise, (H, W, 3) uint8, wider than high."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers((50, 80), (70, 110))
    rows, columns = np.indices((height, width))[..., None]
    phases = generator.uniform(0, 6, 2)
    waves = np.sin(columns / 3 + phases[0]) * np.sin(rows / 4 + phases[1])
    pixels = 100 + 40 * waves * [1.0, 0.7, 0.4] + generator.normal(0, 4, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def _finish(images: Path) -> None:
    (first,) = images.glob(f"*/{TWINS[0]}")
    whole = first.read_bytes()
    (first.parent / TWINS[1]).write_bytes(whole)
    cut, text = (images / name for name in BROKEN)
    cut.parent.mkdir()
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text("no image")
