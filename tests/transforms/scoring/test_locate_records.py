"""Where records are anomalous, recomputed: regions as `score` wrote them, and upright pictures."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from ae_models.bundles.bundle import open_bundle
from ae_models.errors import ConfigError, InputError
from pipelines.commands.score import score
from tests.support.anomalous import BROKEN, TURNED, Anomalous, regions_of, save_stored
from transforms.images.orientation import upright, upright_box
from transforms.reading.looked_at import LookedAt
from transforms.scoring.locate_records import LocatedRecord, locate_records

Get = Callable[[str], Anomalous]
KINDS = pytest.mark.parametrize("kind", ["whole", "tiles"])
SIDEWAYS = "turned/6.png"
BOX = (0, 190, 255)
COLUMNS = ("x", "y", "width", "height", "area", "peak", "p_value")


def _ids(images: Path) -> list[str]:
    """The ids of all records, including broken ones."""
    return sorted(str(path.relative_to(images)) for path in images.rglob("*.png"))


def _located(
    found: Anomalous,
    ids: Collection[str] | None = None,
    fpr: float | None = None,
    images: Path | None = None,
    looked_at: LookedAt | None = None,
) -> list[LocatedRecord]:
    bundle, folder = open_bundle(found.model), images or found.images
    rate = bundle.config.scoring.fpr if fpr is None else fpr
    wanted = _ids(folder) if ids is None else ids
    return list(locate_records([str(folder)], wanted, bundle, rate, looked_at=looked_at))


def _told(record: LocatedRecord) -> list[tuple[Any, ...]]:
    pairs = zip(record.regions, record.p_values.tolist(), strict=True)
    return [(r.x, r.y, r.width, r.height, r.area, r.peak, p) for r, p in pairs]


def _written(run: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {
        record: [tuple(row[name] for name in COLUMNS) for row in rows]
        for record, rows in regions_of(run).items()
    }


@KINDS
def test_regions_are_those_that_score_has_written(kind: str, anomalous: Get) -> None:
    """There are more records than are processed at a time."""
    found = anomalous(kind)
    records = _located(found)
    names = [record.id for record in records]
    assert sorted(names) == [name for name in _ids(found.images) if name not in BROKEN]
    assert len(names) > 16
    written = _written(found.run)
    assert {record.id: _told(record) for record in records if record.regions} == written
    assert {*TURNED} < set(written) < set(names)


def test_another_rate_has_other_regions_and_the_same_maps(anomalous: Get, tmp_path: Path) -> None:
    found = anomalous("whole")
    score([str(found.images)], str(found.model), str(tmp_path / "run"), fpr=0.3)
    records = _located(found, fpr=0.3)
    written = _written(tmp_path / "run")
    assert {record.id: _told(record) for record in records if record.regions} == written
    assert written != _written(found.run)
    for record, usual in zip(records, _located(found), strict=True):
        np.testing.assert_array_equal(record.map, usual.map)


@KINDS
def test_a_record_is_the_same_whatever_it_is_looked_at_with(kind: str, anomalous: Get) -> None:
    found = anomalous(kind)
    whole = {record.id: record for record in _located(found)}
    for name in (SIDEWAYS, min(set(whole) - set(TURNED)), max(regions_of(found.run))):
        (record,) = _located(found, [name])
        assert _told(record) == _told(whole[name])
        for field in ("image", "overlay", "map"):
            one, other = (np.asarray(getattr(own, field)) for own in (record, whole[name]))
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@KINDS
def test_pictures_stand_upright(kind: str, anomalous: Get) -> None:
    """All files of `TURNED` are stored with more columns than rows."""
    found = anomalous(kind)
    for record in _located(found, TURNED):
        with Image.open(found.images / record.id) as file:
            assert file.width > file.height
            shown = ImageOps.exif_transpose(file)
        sideways = record.id in (SIDEWAYS, "turned/8.png")
        channels = 3 if kind == "tiles" else 1
        assert (shown.height > shown.width) == sideways
        for picture in (record.image, record.overlay, record.map):
            assert (picture.shape[0] > picture.shape[1]) == sideways
        assert record.image.shape[2] == channels
        assert record.overlay.shape == (*record.image.shape[:2], 3)
        assert record.image.dtype == record.overlay.dtype == np.uint8
        assert record.map.dtype == np.float32
        small = shown.resize(record.map.shape[::-1], Image.Resampling.BOX)
        expected = np.asarray(small.resize(record.image.shape[1::-1], Image.Resampling.NEAREST))
        both = np.stack([record.image, expected.reshape(record.image.shape)]).reshape(2, -1)
        assert np.corrcoef(both.astype(np.float64))[0, 1] > 0.95


@KINDS
def test_the_highest_value_of_a_map_that_is_upright_lies_in_the_highest_region(
    kind: str, anomalous: Get
) -> None:
    for record in _located(anomalous(kind), TURNED):
        orientation, first = int(Path(record.id).stem), record.regions[0]
        with Image.open(anomalous(kind).images / record.id) as file:
            stored = first.x, first.y, first.x + first.width, first.y + first.height
            left, top, right, bottom = upright_box(stored, file.size[::-1], orientation)
            height, width = ImageOps.exif_transpose(file).size[::-1]
        rows, columns = (
            (np.arange(count) + 0.5) * side / count
            for count, side in zip(record.map.shape, (height, width), strict=True)
        )
        row, column = np.unravel_index(int(record.map.argmax()), record.map.shape)
        assert record.map.max() == np.float32(first.peak)
        assert top < rows[row] < bottom
        assert left < columns[column] < right


def test_of_tiles_an_image_is_put_together_as_it_is_stored_and_shown_upright(
    anomalous: Get, tmp_path: Path
) -> None:
    found = anomalous("tiles")
    with Image.open(found.images / SIDEWAYS) as file:
        pixels = np.asarray(file)
    for orientation in range(1, 9):
        save_stored(tmp_path / f"{orientation}.png", pixels, orientation)
    plain, *others = _located(found, images=tmp_path)
    assert len(others) == 7
    for orientation, turned in enumerate(others, 2):
        np.testing.assert_array_equal(turned.image, upright(plain.image, orientation))
        assert turned.map.shape == upright(plain.map, orientation).shape


def test_of_whole_images_what_stands_upright_is_looked_at(anomalous: Get, tmp_path: Path) -> None:
    found = anomalous("whole")
    with Image.open(found.images / SIDEWAYS) as file:
        pixels = np.asarray(file)
    for orientation in range(1, 9):
        save_stored(tmp_path / "plain" / f"{orientation}.png", upright(pixels, orientation))
        save_stored(tmp_path / "turned" / f"{orientation}.png", pixels, orientation)
    records = {record.id: record for record in _located(found, images=tmp_path)}
    for orientation in range(1, 9):
        plain, turned = (records[f"{name}/{orientation}.png"] for name in ("plain", "turned"))
        np.testing.assert_array_equal(turned.image, plain.image)
        np.testing.assert_array_equal(turned.map, plain.map)
        assert plain.regions
        for one, other in zip(turned.regions, plain.regions, strict=True):
            stored = (one.x, one.y, one.x + one.width, one.y + one.height)
            box = upright_box(stored, pixels.shape[:2], orientation)
            assert box == (other.x, other.y, other.x + other.width, other.y + other.height)
            assert (one.area, one.peak) == (other.area, other.peak)


@KINDS
def test_boxes_are_drawn_where_there_are_regions(kind: str, anomalous: Get) -> None:
    """The boxes have a colour that neither grey nor heat contains."""
    for record in _located(anomalous(kind)):
        assert (record.overlay == BOX).all(axis=-1).any() == bool(record.regions)


@KINDS
def test_what_cannot_be_decoded_is_left_out_and_counted(kind: str, anomalous: Get) -> None:
    looked_at = LookedAt()
    (record,) = _located(anomalous(kind), [*BROKEN, SIDEWAYS], looked_at=looked_at)
    assert record.id == SIDEWAYS
    assert looked_at.reasons == {"corrupt": 1, "not_an_image": 1}
    assert looked_at.told().startswith("1 corrupt, 1 not_an_image; the first is broken/cut.png: ")


@KINDS
def test_where_nothing_can_be_decoded_there_is_nothing(kind: str, anomalous: Get) -> None:
    looked_at = LookedAt()
    assert _located(anomalous(kind), BROKEN, looked_at=looked_at) == []
    assert looked_at.reasons.total() == 2


@KINDS
def test_records_that_are_not_there_are_left_out(kind: str, anomalous: Get) -> None:
    found, looked_at = anomalous(kind), LookedAt()
    records = _located(found, ["gone.png", *TURNED, "turned/5.png"], looked_at=looked_at)
    assert sorted(record.id for record in records) == sorted(TURNED)
    assert looked_at.reasons.total() == 0
    assert _located(found, ["gone.png"]) == _located(found, []) == []
    with pytest.raises(InputError, match="no such file or folder: /nowhere"):
        _located(found, TURNED, images=Path("/nowhere"))


def test_a_bundle_without_a_map_tells_no_regions(anomalous: Get, without_map: Path) -> None:
    found = anomalous("whole")._replace(model=without_map)
    with pytest.raises(ConfigError) as refused:
        _located(found, TURNED)
    assert "does not support regions: it has no map" in str(refused.value)
    assert "\n" not in str(refused.value)
