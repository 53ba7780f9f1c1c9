"""Masks found by their records' paths, and read in the orientation of the stored image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_models.errors import InputError
from transforms.images.orientation import Stored, turned_back
from transforms.masks.mask_files import Masks
from transforms.records.text import printable

SIZE = Stored(7, 5)


def _levels() -> np.ndarray:
    """0 and 255, in a shape without symmetries."""
    levels = np.zeros((5, 7), np.uint8)
    levels[0, 1:4] = levels[1:3, 3] = levels[4, 6] = 255
    return levels


DEFECT = _levels() > 0


def _save(folder: Path, name: str, image: Image.Image | np.ndarray | None = None) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_levels() if image is None else image)
    image.save(path)
    return path


def _mask(folder: Path, image: Image.Image | np.ndarray, ending: str = "png") -> np.ndarray:
    """The mask as read for a record."""
    _save(folder, f"bent/7.{ending}", image)
    found = Masks(str(folder)).mask("bent/7.png", SIZE)
    assert found is not None
    assert found.dtype == bool
    return found


# Which file belongs to which record.


def test_a_mask_lies_under_the_path_of_its_record_with_any_ending(tmp_path: Path) -> None:
    png = _save(tmp_path, "bent/7.png")
    bmp, dotted = _save(tmp_path, "bent/deep/8.BMP"), _save(tmp_path, "bent/a.b.png")
    masks = Masks(str(tmp_path))
    for record in ("bent/7.png", "bent/7.jpg", "bent/7.JPEG", "bent/7"):
        assert masks.path(record) == str(png)
    assert masks.path("bent/deep/8.tif") == str(bmp)
    assert masks.path("bent/a.b.jpg") == str(dotted)
    others = ("7.png", "good/7.png", "bent/70.png", "x/bent/7.png", "bent/8.tif", "bent/a.jpg")
    for record in others:
        assert masks.path(record) is None
        assert masks.mask(record, SIZE) is None


def test_masks_as_mvtec_has_them(tmp_path: Path) -> None:
    suffixed = _save(tmp_path, "bent/007_mask.png")
    masks = Masks(f"{tmp_path}/")
    for record in ("bent/007.png", "test/bent/007.png"):
        assert masks.path(record) == str(suffixed)
    for record in ("train/bent/007.png", "bent/test/007.png", "test/test/bent/007.png"):
        assert masks.path(record) is None
    plain = _save(tmp_path, "bent/007.png")
    assert Masks(str(tmp_path)).path("test/bent/007.png") == str(plain)
    whole = _save(tmp_path, "test/bent/007.png")
    masks = Masks(str(tmp_path))
    assert masks.path("test/bent/007.png") == str(whole)
    assert masks.path("bent/007.png") == str(plain)


def test_a_folder_may_hold_other_files_and_be_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(tmp_path, "bent/7.png")
    (tmp_path / "bent" / "7.txt").write_text("not a mask")
    (tmp_path / "licence").write_text("free")
    assert Masks(str(tmp_path)).path("bent/7") == f"{tmp_path}/bent/7.png"
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(Masks(".").mask("bent/7.jpg", SIZE), DEFECT)
    np.testing.assert_array_equal(Masks("bent").mask("7.jpg", SIZE), DEFECT)


# Which pixels are a defect.


@pytest.mark.parametrize(("least", "beneath"), [(128, 127), (255, 0)])
def test_above_half_of_white_of_8_bits(tmp_path: Path, least: int, beneath: int) -> None:
    image = np.where(DEFECT, least, beneath).astype(np.uint8)
    np.testing.assert_array_equal(_mask(tmp_path, image), DEFECT)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("least", "beneath"), [(32768, 32767), (65535, 0)])
def test_above_half_of_white_of_16_bits(
    tmp_path: Path, ending: str, least: int, beneath: int
) -> None:
    image = np.where(DEFECT, least, beneath).astype(np.uint16)
    np.testing.assert_array_equal(_mask(tmp_path, image, ending), DEFECT)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "gif"])
def test_one_bit_is_black_or_white(tmp_path: Path, ending: str) -> None:
    image = Image.fromarray(_levels()).convert("1")
    np.testing.assert_array_equal(_mask(tmp_path, image, ending), DEFECT)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_any_bright_colour_is_a_defect_whatever_its_alpha(tmp_path: Path, channel: int) -> None:
    colours = np.full((5, 7, 3), 127, np.uint8)
    colours[DEFECT, channel] = 128
    np.testing.assert_array_equal(_mask(tmp_path / "a", colours), DEFECT)
    opaque = np.full((5, 7, 1), 255, np.uint8)
    for name, alpha in (("b", opaque), ("c", opaque * 0)):
        with_alpha = np.concatenate([colours, alpha], axis=-1)
        np.testing.assert_array_equal(_mask(tmp_path / name, with_alpha), DEFECT)


def test_grey_with_alpha_and_a_palette(tmp_path: Path) -> None:
    grey = Image.merge("LA", [Image.fromarray(_levels()), Image.new("L", (7, 5), 255)])
    np.testing.assert_array_equal(_mask(tmp_path / "a", grey), DEFECT)
    indexed = Image.fromarray(_levels() // 255).convert("P")  # 0 and 1, where 1 is red
    indexed.putpalette([0, 0, 0, 200, 0, 0])
    np.testing.assert_array_equal(_mask(tmp_path / "b", indexed), DEFECT)


# Masks of rotated images.


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_mask_of_the_upright_size_is_turned_back(tmp_path: Path, orientation: int) -> None:
    """A mask with the stored size matches the rows of the file; if rotation does not change the
    size, the two cases are indistinguishable."""
    stored = Stored(*SIZE[:2], orientation)
    _save(tmp_path, "stored.png")
    upright = _upright(_levels(), orientation)
    _save(tmp_path, "upright.png", upright)
    masks = Masks(str(tmp_path))
    np.testing.assert_array_equal(masks.mask("stored.jpg", stored), DEFECT)
    found = masks.mask("upright.jpg", stored)
    is_told = upright.shape != DEFECT.shape
    assert is_told == (orientation > 4)
    np.testing.assert_array_equal(found, DEFECT if is_told else upright > 0)


def _upright(levels: np.ndarray, orientation: int) -> np.ndarray:
    """What viewers show for rows stored with this orientation."""
    ways: dict[int, Image.Transpose] = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = np.asarray(Image.fromarray(levels).transpose(ways[orientation]))
    np.testing.assert_array_equal(turned_back(upright, orientation), levels)
    return upright


# Masks that cannot be used, each refused in one line.


def _refused(folder: Path, message: str, stored: Stored = SIZE) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Masks(str(folder)).mask("bent/7.png", stored)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "empty", "texts", "a-file"])
def test_a_folder_without_masks_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "7.txt").write_text("no image")
    (tmp_path / "a-file").write_text("no folder")
    with pytest.raises(InputError, match=rf"{name} contains no masks; image endings: png, "):
        Masks(str(tmp_path / name))


def test_a_folder_that_cannot_be_looked_into_is_refused() -> None:
    with pytest.raises(InputError, match="cannot list zz://a/b: "):
        Masks("zz://a/b")


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, "bent/7.png")
    told = rf"the mask {path} is 5 x 7 \(height x width\), but the image bent/7.png is "
    _refused(tmp_path, f"{told}10 x 14$", Stored(14, 10))
    _refused(tmp_path, f"{told}7 x 5$", Stored(5, 7))  # nothing states that it is rotated
    _refused(tmp_path, f"{told}7 x 5$", Stored(5, 7, 3))


@pytest.mark.parametrize("level", [0, 1, 127])
def test_a_mask_without_a_bright_pixel_is_refused(tmp_path: Path, level: int) -> None:
    """Masks with levels 0 and 1, as written by some programs, would hide all defects."""
    path = _save(tmp_path, "bent/7.png", np.where(DEFECT, level, 0).astype(np.uint8))
    told = f"the mask {path} of bent/7.png has no pixel brighter than half of white: its greatest "
    _refused(tmp_path, f"{told}level is {level}$")


def test_16_bits_of_few_levels_are_refused(tmp_path: Path) -> None:
    _save(tmp_path, "bent/7.png", np.where(DEFECT, 255, 0).astype(np.uint16))
    _refused(tmp_path, "its greatest level is 255$")


def test_a_damaged_mask_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, "bent/7.png")
    whole = path.read_bytes()
    for content in (b"", b"no image", whole[:-30], whole[:30]):
        path.write_bytes(content)
        _refused(tmp_path, f"cannot read the mask {path}: ")
    path.unlink()
    path.symlink_to(tmp_path / "nothing.png")
    _refused(tmp_path, f"cannot read the mask {path}: ")


@pytest.mark.parametrize("record", ["", ".", "/"])
def test_a_record_of_no_name_has_no_mask(tmp_path: Path, record: str) -> None:
    Image.new("L", (2, 2), 255).save(tmp_path / "a.png")
    assert Masks(str(tmp_path)).path(record) is None


def test_what_only_ends_like_an_image_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "7.motif").touch()
    with pytest.raises(InputError, match="contains no masks"):
        Masks(str(tmp_path))


def test_a_name_that_is_no_text_is_found_as_records_have_it(tmp_path: Path) -> None:
    path = tmp_path / "bad" / "\udce9.png"
    path.parent.mkdir()
    path.touch()
    assert Masks(str(tmp_path)).path(printable("bad/\udce9.png")) is not None
