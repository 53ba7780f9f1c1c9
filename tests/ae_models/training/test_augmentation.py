"""Augmentations against NumPy, what images share, and which ones are found to help."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ae_models.config.augmentation import AMOUNTS, parse_augmentation
from ae_models.config.steps import Step
from ae_models.training import augmentation_choice
from ae_models.training.augmentation import CHANGES, augmented
from ae_models.training.augmentation_choice import helpful_augmentation
from ae_models.training.image_store import ImageStore

SHAPES = [(6, 6, 1), (5, 7, 3)]


def _images(shape: tuple[int, ...], count: int = 200) -> np.ndarray:
    return np.random.default_rng(5).uniform(size=(count, *shape)).astype(np.float32)


def _changed(text: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    (changed,) = augmented(
        [tf.constant(images)], parse_augmentation(text), tf.constant([seed, 0], tf.int64)
    )
    return np.asarray(changed)


def _shifts(image: np.ndarray, share: float) -> list[np.ndarray]:
    rows, columns = (int(np.ceil(share * side)) for side in image.shape[:2])
    padded = np.pad(image, ((rows, rows), (columns, columns), (0, 0)), "edge")
    height, width = image.shape[:2]
    return [
        padded[top : top + height, left : left + width]
        for top in range(2 * rows + 1)
        for left in range(2 * columns + 1)
    ]


def _turns(image: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(image, k, (0, 1)) for k in range(4)]
    return [other for other in turned if other.shape == image.shape]


EXPECTED = {
    "flip": lambda image: [image, image[:, ::-1]],
    "flip_vertical": lambda image: [image, image[::-1]],
    "rotation": _turns,
    "shift:0.2": lambda image: _shifts(image, 0.2),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", EXPECTED)
def test_an_image_becomes_one_of_those_that_numpy_makes(text: str, shape: tuple[int, ...]) -> None:
    images = _images(shape)
    seen = set()
    for image, changed in zip(images, _changed(text, images), strict=True):
        expected = EXPECTED[text](image)
        places = [n for n, other in enumerate(expected) if np.array_equal(other, changed)]
        assert places
        seen.add(places[0])
    assert len(seen) == len(EXPECTED[text](images[0])), "every one occurs"


def test_brightness_adds_one_number_an_image() -> None:
    images = _images((6, 6, 3))
    added = (_changed("brightness:0.3", images) - images).reshape(len(images), -1)
    np.testing.assert_allclose(np.ptp(added, axis=1), 0, atol=1e-6)
    assert np.abs(added).max() <= 0.3 + 1e-6
    assert added[:, 0].std() == pytest.approx(0.3 / np.sqrt(3), rel=0.15)


@pytest.mark.parametrize("text", ["flip+shift", "+".join(AMOUNTS)])
def test_input_and_target_undergo_the_same(text: str) -> None:
    images = _images((6, 6, 1))
    steps, seed = parse_augmentation(text), tf.constant([4, 2], tf.int64)
    one, other = augmented([tf.constant(images), tf.constant(images + 1)], steps, seed)
    np.testing.assert_allclose(np.asarray(other), np.asarray(one) + 1, atol=1e-6)


def test_a_seed_decides_the_draws() -> None:
    images = _images((6, 6, 1))
    text = "+".join(AMOUNTS)
    assert np.array_equal(_changed(text, images, 1), _changed(text, images, 1))
    assert not np.array_equal(_changed(text, images, 1), _changed(text, images, 2))


def test_every_name_has_a_function() -> None:
    assert list(CHANGES) == list(AMOUNTS)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("none", ()),
        ("flip", (Step("flip", 0.0),)),
        ("shift : 0.1 + flip", (Step("shift", 0.1), Step("flip", 0.0))),
        ("brightness", (Step("brightness", 0.1),)),
    ],
)
def test_expressions(text: str, steps: tuple[Step, ...]) -> None:
    assert parse_augmentation(text) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mirror", "'mirror' is not one of flip"),
        ("flip:0.5", "flip takes no amount"),
        ("shift:0", "greater than 0 and at most 0.5"),
        ("shift:x", "must be a number"),
        ("flip+flip", "is repeated"),
        ("", "'' is not one of"),
    ],
)
def test_wrong_expressions_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_augmentation(text)


def _scaled(pixels: Any) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


def _stores(folder: Path, images: np.ndarray, train: int) -> tuple[ImageStore, ImageStore]:
    for name, part in (("train", images[:train]), ("validation", images[train:])):
        np.save(folder / f"{name}.npy", part)
    return ImageStore(folder / "train.npy"), ImageStore(folder / "validation.npy")


def _strokes(count: int, mirrored: bool) -> np.ndarray:
    """Smooth spots in the left half, or, if `mirrored`, in either half."""
    generator = np.random.default_rng(11)
    rows, columns = np.mgrid[:12, :12]
    images = []
    for _ in range(count):
        top, left = generator.uniform(2, 10), generator.uniform(1, 5)
        image = 250 * np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / 6)
        images.append(image[:, ::-1] if mirrored and generator.integers(2) else image)
    return np.array(images).astype(np.uint8)[..., None]


def test_a_mirror_helps_where_images_lie_on_either_side(tmp_path: Path) -> None:
    stores = _stores(tmp_path, _strokes(160, mirrored=True), 30)
    found = helpful_augmentation(_scaled, *stores, components=8, seed=0)  # type: ignore[arg-type]
    assert "flip" in found.split("+")


def test_a_mirror_does_not_help_where_they_lie_on_one(tmp_path: Path) -> None:
    stores = _stores(tmp_path, _strokes(160, mirrored=False), 60)
    found = helpful_augmentation(_scaled, *stores, components=12, seed=0)  # type: ignore[arg-type]
    assert "flip" not in found.split("+")


def test_few_validation_records_tell_nothing(tmp_path: Path) -> None:
    stores = _stores(tmp_path, _strokes(72, mirrored=True), 60)
    assert helpful_augmentation(_scaled, *stores, components=4, seed=0) == "none"  # type: ignore[arg-type]


def test_no_more_than_three_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each doubles the memory that choosing takes."""
    monkeypatch.setattr(augmentation_choice, "_is_better", lambda *_: True)
    train, validation = _stores(tmp_path, _strokes(60, mirrored=True), 40)
    chosen = helpful_augmentation(
        _scaled,  # type: ignore[arg-type]
        train,
        validation,
        components=4,
        seed=0,
    )
    assert chosen.count("+") == 2
