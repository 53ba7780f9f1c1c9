"""`builtin:parts`: which pictures there are, that each is always the same, and that masks are
exact."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tests.support.reading import read_rows
from transforms.records.batches import BatchLimits
from transforms.sources.drawn_parts.album import PICTURES, PartPicture
from transforms.sources.drawn_parts.defects import ON_METAL, Painted
from transforms.sources.drawn_parts.folder import write_parts
from transforms.sources.drawn_parts.part import DEFECTS, draw_part
from transforms.sources.drawn_parts.scene import random_scene
from transforms.sources.resolve import resolve_inputs

_FIRST_OF_KIND = {picture.kind: picture for picture in reversed(PICTURES)}
# SHA-256 of the first picture of each kind, and of all files with their names.
_PIXELS = "dfa66bd845460538c7045854fdd06af6bf8da2122f1e520571ae3b8ceb21b7e3"
_FILES = "84118380c44753a8e08c0f4c31d16e83f9ddf6c934cd0fe9cb1128944a3bfb21"


def _scale(picture: PartPicture) -> float:
    """Of the part, in the scene that is drawn at random before anything else."""
    return random_scene(np.random.default_rng([20_261_130, picture.number])).scale


def test_there_are_600_of_which_60_have_one_of_five_defects() -> None:
    counts = Counter((picture.split, picture.kind) for picture in PICTURES)
    defects = {("test", defect): 12 for defect in DEFECTS}
    assert counts == {("train", "good"): 360, ("test", "good"): 180, **defects}
    assert set(DEFECTS) == {"scratch", "dent", "stain", "missing_hole", "wrong_part"}
    assert [picture.number for picture in PICTURES] == list(range(600))
    assert len({picture.name for picture in PICTURES}) == 600


def test_a_picture_is_always_the_same() -> None:
    digest = hashlib.sha256()
    for kind in ("good", *DEFECTS):
        drawing = _FIRST_OF_KIND[kind].draw()
        digest.update(drawing.pixels.tobytes())
        digest.update(np.packbits(drawing.mask).tobytes())
    assert digest.hexdigest() == _PIXELS


def test_a_missing_hole_is_masked_to_the_pixel() -> None:
    for picture in [p for p in PICTURES if p.kind == "missing_hole"]:
        radius = 10.0 * _scale(picture)
        mask = picture.draw().mask
        assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.03)
        rows, columns = np.nonzero(mask)
        assert np.ptp(rows) + 1 == pytest.approx(2 * radius, abs=1.5)
        assert np.ptp(columns) + 1 == pytest.approx(2 * radius, abs=1.5)


def test_a_wrong_part_is_masked_as_a_whole() -> None:
    """A hexagon's area is 2√3 times its inradius squared."""
    for picture in [p for p in PICTURES if p.kind == "wrong_part"][:4]:
        area = (2 * np.sqrt(3) * 66.0**2 - np.pi * 34.0**2) * _scale(picture) ** 2
        assert picture.draw().mask.sum() == pytest.approx(area, rel=0.01)


@pytest.mark.parametrize("kind", ["scratch", "dent", "stain"])
@pytest.mark.parametrize("seed", range(3))
def test_a_defect_of_the_surface_is_where_its_mask_says(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same part without the paint is the same picture, but for the mask and its soft edge."""
    painted = draw_part(np.random.default_rng(seed), kind)
    paint = ON_METAL[kind]
    monkeypatch.setitem(
        ON_METAL, kind, lambda rng, surface: Painted(surface.colour, paint(rng, surface).covered)
    )
    clean = draw_part(np.random.default_rng(seed), kind)
    np.testing.assert_array_equal(painted.mask, clean.mask)
    changed = (painted.pixels != clean.pixels).any(axis=-1)
    assert changed[painted.mask].mean() > 0.75
    assert not (changed & ~ndimage.binary_dilation(painted.mask, iterations=7)).any()
    assert 40 < painted.mask.sum() < 1500


def test_good_parts_have_no_mask() -> None:
    assert not any(picture.draw().mask.any() for picture in PICTURES[:3])


def test_records_are_jpegs_with_label_and_split() -> None:
    (source,) = resolve_inputs(["builtin:parts"])
    *_, last = source.tasks()
    (batch,) = source.read(last, BatchLimits())
    pictures = PICTURES[-len(batch) :]
    assert batch["id"].to_pylist() == [f"parts/{picture.name}" for picture in pictures]
    assert batch["label"].to_pylist() == [picture.kind for picture in pictures]
    assert set(batch["split"].to_pylist()) == {"test"}
    with Image.open(io.BytesIO(batch["image"][0].as_py())) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (256, 256), "RGB")
        near = np.asarray(image).astype(float) - pictures[0].draw().pixels
    assert np.abs(near).mean() < 3.0


def test_ids_are_read_without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PartPicture, "draw", lambda picture: pytest.fail("drawn"))
    (source,) = resolve_inputs(["builtin:parts"])
    batches = [
        batch for task in source.tasks() for batch in source.read(task, BatchLimits(), images=False)
    ]
    assert sum(map(len, batches)) == 600
    assert all(batch["image"].null_count == len(batch) for batch in batches)
    assert sum(batch["split"].to_pylist().count("train") for batch in batches) == 360


def test_a_few_records_are_found_without_drawing_others() -> None:
    (source,) = resolve_inputs(["builtin:parts"])
    wanted = {"parts/train/good/003.jpg", "parts/test/stain/011.jpg", "parts/none.jpg"}
    tasks = [source.holding(task, wanted) for task in source.tasks()]
    assert [task for task in tasks if task is not None] == [(3,), (575,)]


def test_a_batch_has_at_most_the_rows_that_it_may_have() -> None:
    (source,) = resolve_inputs(["builtin:parts"])
    limits = BatchLimits(rows=7)
    sizes = [len(batch) for batch in source.read(range(20), limits, images=False)]
    assert sizes == [7, 7, 6]


@pytest.mark.slow
def test_the_folder_has_the_layout_of_mvtec_and_always_the_same_bytes(tmp_path: Path) -> None:
    assert list(write_parts(tmp_path)) == list(range(1, 601))
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert Counter(path.relative_to(tmp_path).parts[0] for path in files) == {
        "train": 360,
        "test": 240,
        "ground_truth": 60,
    }
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(tmp_path)).encode())
        digest.update(path.read_bytes())
    assert digest.hexdigest() == _FILES
    last = PICTURES[-1]
    with Image.open(tmp_path / last.mask_name) as mask:
        np.testing.assert_array_equal(np.asarray(mask), last.draw().mask)
    rows = read_rows(tmp_path / "test")
    assert Counter(row["label"] for row in rows) == {"good": 180, **dict.fromkeys(DEFECTS, 12)}
