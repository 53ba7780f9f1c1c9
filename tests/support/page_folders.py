"""What the pages say is there before their examples: images, bundles and runs, small ones."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

from pipelines.commands.score import score
from tests.support.made_once import made_once
from tests.support.report_rows import clusters_of_run

GOOD, OTHERS = 160, 80


class Made(NamedTuple):
    """What is made once for all pages."""

    bundle: Callable[[str], Path]
    digits_run: Callable[..., Path]
    factory: pytest.TempPathFactory

    @property
    def images(self) -> Path:
        """Grey digits of 8 × 8 pixels, `good/1.png` and others in `bad`."""
        return made_once(self.factory, "page-images", _write_images)

    @property
    def table(self) -> Path:
        """The same images as Parquet, with a further column."""

        def make(folder: Path) -> None:
            rows = [
                {"id": path.relative_to(self.images).as_posix(), "label": path.parent.name,
                 "slanted": number % 2 == 0, "image": path.read_bytes()}
                for number, path in enumerate(sorted(self.images.glob("*/*.png")))
            ]  # fmt: skip
            folder.mkdir()
            pq.write_table(pa.Table.from_pylist(rows), folder / "images.parquet")

        return made_once(self.factory, "page-table", make)

    @property
    def run(self) -> Path:
        """These, scored by the bundle of a VAE."""

        def make(folder: Path) -> None:
            score([str(self.table)], str(self.bundle("vae")), str(folder))

        return made_once(self.factory, "page-run", make)


def images_alone(made: Made) -> None:
    """`images`, a folder of files."""
    shutil.copytree(made.images, "images")


def images_and_bundle(made: Made) -> None:
    images_alone(made)
    Path("bundle").symlink_to(made.bundle("vae"))


def finished_run(made: Made) -> None:
    """`run` by `bundle` over `images`, which `photos` are too, `new_run`, `clusters`, and
    `ae_bundle` of another kind."""
    there = {"images": made.table, "photos": made.table, "run": made.run, "new_run": made.run,
             "bundle": made.bundle("vae"), "ae_bundle": made.bundle("ae")}  # fmt: skip
    for name, path in there.items():
        Path(name).symlink_to(path)
    clusters_of_run(Path("clusters"), pq.read_table("run/scores")["id"].to_pylist(), 3)


def defects(made: Made) -> None:
    """A finished run, and `bottle` as MVTec has it."""
    finished_run(made)
    _write_bottle(Path("bottle"))


def good_and_new_images(made: Made) -> None:
    """What README's commands read, before any of them has run."""
    shutil.copytree(made.images / "good", "good_images")
    shutil.copytree(made.images, "new_images")


def training_tables(made: Made) -> None:
    """`images`, pairs of grey and coloured ones, and frames of videos."""
    images_alone(made)
    rows = [
        {"id": path.name, "image": path.read_bytes(), "video": f"video-{number % 12}",
         "colour": _encoded(path)}
        for number, path in enumerate(sorted(made.images.glob("good/*.png")))
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.drop_columns("video"), "pairs.parquet")
    pq.write_table(table.drop_columns("colour"), "frames.parquet")


def photographs(made: Made) -> None:
    """`photos` in colour, of which some are scratched, and a run of digits."""
    _write_photos(Path("photos"))
    Path("run").symlink_to(made.digits_run("ae"))


def nothing(made: Made) -> None:
    del made


def _write_images(folder: Path) -> None:
    pixels = (load_digits().images * 15).astype(np.uint8)
    for index in range(GOOD + OTHERS):
        kind, number = ("good", index) if index < GOOD else ("bad", index - GOOD)
        _save(Image.fromarray(pixels[index]), folder / kind / f"{number}.png")


def _write_photos(folder: Path) -> None:
    for index, digit in enumerate(load_digits().images[: 200 + 20]):
        kind = "good" if index < 200 else "scratched"
        image = Image.fromarray((digit * 15).astype(np.uint8)).resize((40, 36)).convert("RGB")
        if kind == "scratched":
            ImageDraw.Draw(image).line((0, 30, 39, 3), fill=(255, 0, 0), width=3)
        _save(image, folder / kind / f"{index:04d}.jpg")


def _write_bottle(folder: Path) -> None:
    pixels = (load_digits().images * 15).astype(np.uint8)
    for number in range(120):
        _save(Image.fromarray(pixels[number]), folder / f"train/good/{number:03d}.png")
    for number in range(20):
        image, mask = pixels[200 + number].copy(), np.zeros((8, 8), np.uint8)
        kind = ("good", "bent")[number % 2]
        if kind == "bent":
            image[2:5, 2:5] = mask[2:5, 2:5] = 255
            _save(Image.fromarray(mask), folder / f"ground_truth/bent/{number:03d}_mask.png")
        _save(Image.fromarray(image), folder / f"test/{kind}/{number:03d}.png")


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _encoded(path: Path) -> bytes:
    """The same image with its levels in one colour, as a PNG."""
    sink = pa.BufferOutputStream()
    with Image.open(path) as image:
        Image.merge("RGB", (image, image.point(lambda level: 255 - level), image)).save(sink, "PNG")
    return sink.getvalue().to_pybytes()
