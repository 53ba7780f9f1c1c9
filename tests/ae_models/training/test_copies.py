"""Copies of training records among held-out records: found if they exist, and only then."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.training import copies
from ae_models.training.copies import Copies, Fingerprints, content_hashes, correlation, outlines
from ae_models.training.image_store import write_image_stores
from ae_models.training.splits import SPLITS, SplitOrder, id_hashes, split_sizes
from tests.support.digits import digit_pixels

HELD_OUT = ("calibration", "validation")


def _copies(
    folder: Path, images: np.ndarray, groups: np.ndarray | None = None
) -> dict[str, Copies]:
    ids = [f"r{number}" for number in range(len(images))]
    names = None if groups is None else list(map(str, groups))
    keys = None if names is None else id_hashes(names)
    order = SplitOrder(id_hashes(ids), split_sizes(len(ids), 0.1, 0.1, 0.01), keys)
    fingerprints = Fingerprints(order)
    columns = [ids, images] if names is None else [ids, images, names]
    batches = (
        tuple(column[start : start + 50] for column in columns) for start in range(0, len(ids), 50)
    )
    paths = {split: folder / f"{split}.npy" for split in SPLITS}
    stores = write_image_stores(paths, order, batches, [fingerprints])
    return fingerprints.copies(stores)


def _scenes(count: int, frames: int, noise: float) -> np.ndarray:
    """Frames of separate scenes, one scene after another, (count · frames, 40, 48, 3) uint8."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(40, 216, (count, 5, 6, 3)).repeat(8, axis=1).repeat(8, axis=2)
    images = coarse.repeat(frames, axis=0) + generator.normal(0, noise, (count * frames, 40, 48, 3))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def test_frames_on_both_sides_of_a_split_are_told(tmp_path: Path) -> None:
    found = _copies(tmp_path, _scenes(20, 20, noise=2))
    assert found == dict.fromkeys(HELD_OUT, Copies(records=40, exact=0, near=40))
    for split in HELD_OUT:
        advice = found[split].advice(split)
        assert advice is not None
        assert advice.startswith(f"40 of 40 {split} records are near-copies of training records, 0")
        assert "training.group" in advice
        assert "\n" not in advice


def test_frames_of_grouped_scenes_are_no_copies(tmp_path: Path) -> None:
    scenes = np.arange(20).repeat(20)
    found = _copies(tmp_path, _scenes(20, 20, noise=2), scenes)
    assert found == dict.fromkeys(HELD_OUT, Copies(records=40, exact=0, near=0))


def _waves(count: int) -> np.ndarray:
    """Wide images, equal except for the phase of a wave, (count, 8, 2048, 1) uint8."""
    phases = np.random.default_rng(0).random((count, 1, 1, 1)) * 2 * np.pi
    y, x = np.mgrid[:8, :2048]
    wave = 60 * np.sin(x[..., None] / 5 + phases) + 40 * np.cos(y[..., None] / 4)
    noise = np.random.default_rng(1).normal(0, 5, (count, 8, 2048, 1))
    return np.rint(128 + wave + noise).astype(np.uint8)


@pytest.mark.parametrize(
    "images", [_scenes(300, 1, noise=3), digit_pixels(), _waves(100)], ids=["scenes", "8", "waves"]
)
def test_images_of_one_kind_are_no_copies(tmp_path: Path, images: np.ndarray) -> None:
    for split, found in _copies(tmp_path, images).items():
        assert (found.exact, found.advice(split)) == (0, None)
        assert found.near <= 0.05 * found.records


def test_exact_copies_are_counted_even_of_flat_images(tmp_path: Path) -> None:
    found = _copies(tmp_path, np.zeros((200, 9, 9, 1), np.uint16))
    assert found == dict.fromkeys(HELD_OUT, Copies(records=20, exact=20, near=20))
    assert all(found[split].advice(split) is not None for split in HELD_OUT)


def test_few_copies_by_chance_are_not_worth_a_line() -> None:
    assert Copies(100, 0, 9).advice("calibration") is None
    assert Copies(100, 0, 10).advice("calibration") is not None
    assert Copies(100, 5, 5).advice("calibration") is not None
    assert Copies(100, 4, 4).advice("calibration") is None
    assert Copies(100, 24, 24).advice("validation") is None
    assert Copies(100, 0, 25).advice("validation") is not None


def test_an_outline_is_what_pillow_makes_of_it() -> None:
    images = (load_digits().images[:50].repeat(8, axis=1).repeat(9, axis=2) * 15).astype(np.uint8)
    for image, bits in zip(images, outlines(images[..., None]), strict=True):
        small = np.asarray(Image.fromarray(image).resize((9, 8), Image.Resampling.BOX), np.int64)
        expected = np.packbits(small[:, :-1] < small[:, 1:])
        # Pillow rounds the means, so that neighbours may be equal.
        apart = np.unpackbits(expected ^ np.frombuffer(bits.tobytes(), np.uint8))
        assert np.all(apart.reshape(8, 8)[np.abs(np.diff(small, axis=1)) > 2] == 0)


def test_correlation_is_that_of_numpy_and_of_flat_images_0(generator: np.random.Generator) -> None:
    one, other = generator.integers(0, 65536, (2, 1, 20, 30, 1), dtype=np.uint16)
    expected = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert correlation(one, other) == pytest.approx(expected, abs=1e-5)
    assert correlation(one, one // 2) == pytest.approx(1, abs=1e-6)
    assert correlation(one, np.full_like(one, 7)) == 0


def test_contents_are_told_apart_by_every_pixel() -> None:
    images = np.zeros((65, 8, 8, 1), np.uint8)
    images[np.arange(64), np.arange(64) // 8, np.arange(64) % 8] = 1
    assert len(np.unique(content_hashes(images))) == 65
    assert len(np.unique(content_hashes(images[[3, 3]]))) == 1


def test_of_large_images_fewer_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_SAMPLE_BYTES", 35 * 9 * 9 * 2)
    found = _copies(tmp_path, np.zeros((400, 9, 9, 1), np.uint16))
    assert {of.records for of in found.values()} == {35}
