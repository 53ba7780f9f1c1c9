"""The picture of findings: what stands where, by its pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_models.errors import OutputError
from pipelines.drawing.findings import Finding, write_findings

_LEFT, _TOP, _STEP, _SIDE = 136, 48, 216, 208


def _finding(level: int, hottest: float, flagged: bool = False) -> Finding:
    places = np.zeros((8, 8), np.float32)
    places[0, 0] = np.nan  # where the model was not shown the image
    places[4, 4] = hottest
    image = np.full((64, 64, 3), level, np.uint8)
    return Finding("scratch", "flagged, p = 0.01", flagged, image, places, image // 2)


def _drawn(path: Path, *findings: Finding) -> np.ndarray:
    write_findings(str(path), findings)
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB")).astype(int)


def _cell(pixels: np.ndarray, column: int, row: int) -> np.ndarray:
    left, top = _LEFT + column * _STEP, _TOP + row * _STEP
    return pixels[top : top + _SIDE, left : left + _SIDE]


def test_each_column_has_its_image_map_and_overlay(tmp_path: Path) -> None:
    pixels = _drawn(tmp_path / "a.jpg", _finding(80, 1.0), _finding(200, 1.0))
    assert pixels.shape == (_TOP + 3 * _STEP, _LEFT + 2 * _STEP, 3)
    for column, level in enumerate((80, 200)):
        assert np.abs(_cell(pixels, column, 0) - level).max() <= 3
        assert np.abs(_cell(pixels, column, 2) - level // 2).max() <= 3
        heat = _cell(pixels, column, 1).sum(axis=-1)
        rows, columns = np.nonzero(heat > 0.9 * heat.max())
        assert (rows.mean(), columns.mean()) == pytest.approx((117, 117), abs=4)


def test_maps_share_a_scale_on_which_one_hot_map_leaves_others_visible(tmp_path: Path) -> None:
    findings = [_finding(80, hottest) for hottest in (1.0, 2.0, 100.0)]
    pixels = _drawn(tmp_path / "a.jpg", *findings)
    faint, plain, hot = (_cell(pixels, column, 1).max() for column in range(3))
    assert faint < plain
    assert plain == pytest.approx(hot, abs=3)


def test_a_verdict_is_red_where_the_record_is_flagged(tmp_path: Path) -> None:
    for flagged in (False, True):
        text = _drawn(tmp_path / "a.jpg", _finding(80, 1.0, flagged))[:_TOP, _LEFT:]
        redness = (text[..., 0] - text[..., 2]).max()
        assert (redness > 80) == flagged


def test_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_findings(str(tmp_path / name), [_finding(80, 1.0)])
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_grey_images_of_any_shape_are_framed(tmp_path: Path) -> None:
    wide = _finding(0, 1.0)._replace(image=np.full((20, 80, 1), 60, np.uint8))
    cell = _cell(_drawn(tmp_path / "a.jpg", wide), 0, 0)
    assert np.abs(cell[104] - 60).max() <= 3
    assert cell[:60].min() > 240


def test_a_picture_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_findings(str(tmp_path / "a.jpg"), [_finding(80, 1.0)])
