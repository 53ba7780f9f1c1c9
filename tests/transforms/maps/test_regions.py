"""Regions of maps, compared with two other programs; and the rows of regions and maps."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label, regionprops

from ae_models.config.configuration import ImageConfig
from transforms.images.orientation import Stored
from transforms.maps.placement import Placement
from transforms.maps.regions import Region, find_regions
from transforms.maps.tables import map_column, map_rows, region_rows, regions_column
from transforms.records.batches import MAP, REGIONS, STORED, STORED_TYPE

Boxes = list[tuple[int, int, int, int]]


def _config(width: int, height: int, fit: Any = "pad") -> ImageConfig:
    return ImageConfig(width=width, height=height, channels=1, bits=8, fit=fit)


def _plain(places: np.ndarray, by: int = 1) -> Placement:
    """The placement of an image whose sides are `by` times those of its map and of its frame."""
    height, width = places.shape
    return Placement.of(Stored(width * by, height * by), _config(width, height), places.shape)


def _map(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """A map with spots of every shape, few or many."""
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.normal(size=shape), generator.uniform(0.3, 1.5))
    return (noise / noise.std()).astype(np.float32)


@pytest.mark.parametrize("by", [1, 4])
@pytest.mark.parametrize("seed", range(20))
def test_regions_are_those_that_scikit_image_finds(seed: int, by: int) -> None:
    places = _map(seed, (31, 44))
    found = find_regions(places, 0.8, _plain(places, by))
    expected = regionprops(label(places >= 0.8, connectivity=2), places)
    assert len(found) == len(expected) > 3
    by_peak = sorted(expected, key=lambda one: -one.intensity_max)
    for region, other in zip(found, by_peak, strict=True):
        top, left, bottom, right = (edge * by for edge in other.bbox)
        assert region[:4] == (left, top, right - left, bottom - top)
        assert region.area == other.area * by**2
        assert region.peak == other.intensity_max
        assert region.mean == pytest.approx(other.intensity_mean, rel=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_regions_are_those_that_scipy_labels(seed: int) -> None:
    """Many places share levels, so that several regions have the same peak."""
    places = np.round(_map(seed, (23, 17)))
    found = find_regions(places, 1.0, _plain(places))
    labels, count = ndimage.label(places >= 1.0, np.ones((3, 3)))
    numbers = range(1, count + 1)
    boxes = [
        (s[1].start, s[0].start, s[1].stop - s[1].start, s[0].stop - s[0].start)
        for s in ndimage.find_objects(labels)
    ]
    others = zip(
        boxes,
        ndimage.sum(places >= 1.0, labels, numbers),
        ndimage.maximum(places, labels, numbers),
        ndimage.mean(places, labels, numbers),
        strict=True,
    )
    ranked = sorted(others, key=lambda one: (-one[2], one[0][1], one[0][0]))
    assert len(found) == count > 1
    for region, (box, area, peak, mean) in zip(found, ranked, strict=True):
        assert (region[:4], region.area, region.peak) == (box, area, peak)
        assert region.mean == pytest.approx(mean)


def _boxes(text: str, threshold: float = 1.0) -> Boxes:
    """The boxes of a map drawn with # for 1."""
    places = np.array([[letter == "#" for letter in row] for row in text.split()], np.float32)
    return [region[:4] for region in find_regions(places, threshold, _plain(places))]


def test_places_that_touch_at_a_corner_are_one_region() -> None:
    assert _boxes("#... .#.. ..#. ....") == [(0, 0, 3, 3)]
    assert _boxes("..#. .#.. #... ....") == [(0, 0, 3, 3)]
    assert _boxes("#.#. .... #.#. ....") == [(0, 0, 1, 1), (2, 0, 1, 1), (0, 2, 1, 1), (2, 2, 1, 1)]


def test_a_value_at_the_threshold_is_in_a_region_and_none_is_at_infinity() -> None:
    above = float(np.nextafter(np.float32(1), np.float32(2)))
    assert _boxes("#. ..", 1.0) == [(0, 0, 1, 1)]
    assert _boxes("#. ..", above) == _boxes("#. ..", np.inf) == []
    assert _boxes("##. ##. ...", 0.0) == [(0, 0, 3, 3)]


def test_a_box_holds_what_another_region_is_inside_of() -> None:
    """Each region's values are those of its own places only."""
    places = np.zeros((7, 7), np.float32)
    places[:] = 1.0
    places[1:6, 1:6] = 0.0
    places[3, 3] = 5.0
    inner, outer = find_regions(places, 0.5, _plain(places))
    assert (outer[:4], outer.area, outer.peak, outer.mean) == ((0, 0, 7, 7), 24, 1.0, 1.0)
    assert (inner[:4], inner.area, inner.peak, inner.mean) == ((3, 3, 1, 1), 1, 5.0, 5.0)


def test_what_lies_in_the_padding_is_no_region_and_boxes_end_at_the_image() -> None:
    """An image of 80 x 40 in a frame of 20 x 20: it covers rows 5 to 14, and a place is 4 x 4 of
    its pixels."""
    stored, config = Stored(80, 40), _config(20, 20)

    def found(rows: slice, columns: slice) -> list[tuple[int, ...]]:
        places = np.zeros((20, 20), np.float32)
        places[rows, columns] = 1.0
        placement = Placement.of(stored, config, places.shape)
        return [region[:5] for region in find_regions(places, 1.0, placement)]

    assert found(slice(0, 5), slice(0, 20)) == found(slice(15, 20), slice(3, 9)) == []
    assert found(slice(5, 6), slice(19, 20)) == [(76, 0, 4, 4, 16)]
    assert found(slice(3, 7), slice(2, 5))[0][:4] == (8, 0, 12, 8)
    assert found(slice(13, 20), slice(2, 5))[0][:4] == (8, 32, 12, 8)
    assert found(slice(0, 20), slice(0, 20)) == [(0, 0, 80, 40, 3200)]  # no more than its box


def test_boxes_are_of_the_image_as_it_is_stored() -> None:
    """The top left place of an upright map may be in any corner of the stored image."""
    corners = [(0, 0), (8, 0), (8, 6), (0, 6), (0, 0), (0, 6), (8, 6), (8, 0)]
    for orientation, corner in enumerate(corners, 1):
        size = (10, 8) if orientation < 5 else (8, 10)  # width and height, upright
        stored = Stored(10, 8, orientation)
        places = np.zeros((size[1] // 2, size[0] // 2), np.float32)
        places[0, 0] = 1.0
        placement = Placement.of(stored, _config(*size), places.shape)
        (region,) = find_regions(places, 1.0, placement)
        assert region[:5] == (*corner, 2, 2, 4), orientation


# Sizes of images, frames and maps for which the edges of places are whole numbers of pixels.
_WHOLE = st.sampled_from(
    [
        (Stored(64, 32), (32, 32), (8, 8)),
        (Stored(32, 64, 6), (32, 32), (16, 16)),
        (Stored(32, 128, 3), (32, 32), (32, 32)),
        (Stored(16, 16, 7), (32, 16), (4, 8)),
        (Stored(8, 32), (16, 16), (4, 4)),
    ]
)


@settings(max_examples=200, deadline=None)
@given(case=_WHOLE, seed=st.integers(0, 10**6), few=st.booleans(), data=st.data())
def test_a_region_is_there_if_a_place_of_the_image_is_above(
    case: tuple[Stored, tuple[int, int], tuple[int, int]], seed: int, few: bool, data: Any
) -> None:
    """Also in maps where all but one or two places, inside the image or outside, are low."""
    stored, frame, size = case
    generator = np.random.default_rng(seed)
    places = generator.normal(size=size).astype(np.float32)
    threshold = float(np.float32(data.draw(st.floats(-1, 3))))
    if few:
        places[:] = threshold - 1
        places.reshape(-1)[generator.integers(0, places.size, 2)] = threshold
    inside = _inside(stored, frame, size)
    regions = find_regions(places, threshold, Placement.of(stored, _config(*frame), size))
    assert bool(regions) == bool((places[inside] >= threshold).any())
    assert all(region.peak >= region.mean >= threshold for region in regions)
    for x, y, width, height, area, *_ in regions:
        assert 0 <= x < x + width <= stored.width
        assert 0 <= y < y + height <= stored.height
        assert 1 <= area <= width * height


def _inside(stored: Stored, frame: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool: the places that show any part of a padded image."""
    sides = (stored.width, stored.height)
    width, height = sides[::-1] if stored.orientation > 4 else sides
    scale = min(frame[0] / width, frame[1] / height)
    result = np.ones(size, bool)
    for axis, side, whole, count in ((1, width, frame[0], size[1]), (0, height, frame[1], size[0])):
        shown = round(side * scale)
        start, place = (whole - shown) // 2, whole / count
        lows = np.arange(count) * place
        shows = (lows < start + shown) & (lows + place > start)
        result &= shows[None] if axis else shows[:, None]
    return result


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    orientation=st.integers(1, 8),
    fit=st.sampled_from(["pad", "crop", "stretch"]),
    seed=st.integers(0, 10**6),
)
@example(size=(1, 400), orientation=6, fit="crop", seed=0)
def test_regions_of_any_size_lie_in_their_image(
    size: tuple[int, int], orientation: int, fit: str, seed: int
) -> None:
    places = np.random.default_rng(seed).random((6, 8), np.float32)
    stored = Stored(*size, orientation)
    regions = find_regions(places, 0.6, Placement.of(stored, _config(32, 24, fit), places.shape))
    assert list(map(_rank, regions)) == sorted(map(_rank, regions))
    for x, y, width, height, area, *_ in regions:
        assert 0 <= x < x + width <= size[0]
        assert 0 <= y < y + height <= size[1]
        assert 1 <= area <= width * height


def _rank(region: Region) -> tuple[float, int, int]:
    return -region.peak, region.y, region.x


# The rows.

_REGIONS = [
    [Region(1, 2, 3, 4, 5, 6.5, 6.25), Region(0, 0, 1, 1, 1, 2.5, 2.5)],
    [],
    [Region(7, 8, 2, 1, 2, 9.0, 8.5)],
    [],
]
_P_VALUES = [np.array([0.01, 0.05]), np.array([]), np.array([0.02]), np.array([])]
_STORED = [Stored(12, 8), Stored(9, 6, 3), Stored(6, 9, 6), Stored(4, 4)]
_MAPS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    None,
    np.array([[np.nan, -0.5], [1e9, -1e9]], np.float32),
    np.zeros((1, 1), np.float32),
]


def _scored(**carried: Sequence[Any]) -> pa.RecordBatch:
    """Four scored records: two have regions, three have a map."""
    config = _config(8, 8)
    placements = [Placement.of(stored, config, (8, 8)) for stored in _STORED]
    flat = pa.array([number for stored in _STORED for number in stored], pa.int32())
    models = pa.array(["f0"] * 4).dictionary_encode()
    return pa.RecordBatch.from_pydict(
        {
            "id": ["a", "b", "c", "d"],
            "source": ["s"] * 4,
            **carried,
            STORED: pa.FixedSizeListArray.from_arrays(flat, type=STORED_TYPE),
            "latent_mean": [[1.0]] * 4,
            "score": [0.5] * 4,
            "score_map_peak": [6.5, 0.1, 9.0, 0.0],
            "p_value": [1.0] * 4,
            "is_anomaly": [True] * 4,
            "model": models,
            REGIONS: regions_column(_REGIONS, _P_VALUES),
            MAP: map_column(_MAPS, placements),
            "reject": pa.nulls(4),
        }
    )


def test_each_region_is_a_row_with_its_records_columns() -> None:
    rows = region_rows(_scored(label=["good", "bad", "bent", "good"]))
    assert rows.to_pylist() == [
        {"id": id_, "source": "s", "label": label_, "x": x, "y": y, "width": w, "height": h,
         "area": area, "peak": peak, "mean": mean, "p_value": p, "image_width": size[0],
         "image_height": size[1], "orientation": size[2], "model": "f0"}
        for id_, label_, x, y, w, h, area, peak, mean, p, size in (
            ("a", "good", 1, 2, 3, 4, 5, 6.5, 6.25, 0.01, (12, 8, 1)),
            ("a", "good", 0, 0, 1, 1, 1, 2.5, 2.5, 0.05, (12, 8, 1)),
            ("c", "bent", 7, 8, 2, 1, 2, 9.0, 8.5, 0.02, (6, 9, 6)),
        )
    ]  # fmt: skip
    assert rows.schema.field("area").type == pa.int64()
    assert rows.schema.field("peak").type == pa.float32()
    assert rows.schema.field("p_value").type == pa.float64()
    assert pa.types.is_dictionary(rows.schema.field("model").type)


def test_each_map_is_a_row_with_its_records_columns() -> None:
    rows = map_rows(_scored(label=["good", "bad", "bent", "good"]))
    assert rows.schema.names == [
        *("id", "source", "label", "map_width", "map_height", "scale_x", "scale_y", "map"),
        *("image_width", "image_height", "orientation", "model"),
    ]
    assert rows.schema.field("map").type == pa.list_(pa.float16())
    first, second, third = rows.to_pylist()
    assert [row["id"] for row in (first, second, third)] == ["a", "c", "d"]
    told = [first[name] for name in ("map_width", "map_height", "scale_x", "scale_y")]
    assert told == [3, 2, 4.0, 4.0]
    assert first["map"] == [0, 1, 2, 3, 4, 5]
    assert (second["label"], second["scale_x"], second["scale_y"]) == ("bent", 3.0, 4.5)
    assert (second["image_width"], second["image_height"], second["orientation"]) == (6, 9, 6)
    assert np.isnan(second["map"][0])
    assert second["map"][1:] == [-0.5, 65504.0, -65504.0]  # the greatest half floats
    assert third["map"] == [0.0]


def test_slices_of_batches_give_the_rows_of_their_records() -> None:
    batch = _scored(label=["good", "bad", "bent", "good"])
    for rows_of, counts in ((region_rows, [2, 0, 1, 0]), (map_rows, [1, 0, 1, 1])):
        whole = _texts(rows_of(batch))
        ends = np.cumsum([0, *counts])
        for start, end in itertools.combinations(range(5), 2):
            part = rows_of(batch.slice(start, end - start))
            assert _texts(part) == whole[ends[start] : ends[end]], (start, end)


def _texts(rows: pa.RecordBatch) -> list[str]:
    """Rows as text, for comparison: NaN is not equal to itself."""
    return list(map(repr, rows.to_pylist()))


def test_columns_that_clash_get_input() -> None:
    batch = _scored(x=[1, 2, 3, 4], map=["m"] * 4, orientation=["up"] * 4, input_score=[7] * 4)
    regions, maps = region_rows(batch), map_rows(batch)
    assert regions.column("input_x").to_pylist() == [1, 1, 3]
    assert regions.column("x").to_pylist() == [1, 0, 7]
    assert regions.column("map").to_pylist() == ["m"] * 3  # regions have no column `map`
    assert maps.column("x").to_pylist() == [1, 3, 4]
    assert maps.column("input_map").to_pylist() == ["m"] * 3
    for rows in (regions, maps):
        assert rows.column("input_orientation").to_pylist() == ["up"] * 3
        assert rows.column("orientation").to_pylist()[0] == 1
        assert rows.column("input_score").to_pylist() == [7] * 3
        assert len(set(rows.schema.names)) == len(rows.schema.names)


def test_records_without_give_no_rows_and_the_same_columns() -> None:
    batch = _scored(label=["good", "bad", "bent", "good"])
    for rows_of in (region_rows, map_rows):
        none = rows_of(batch.slice(1, 1))
        assert len(none) == 0
        assert none.schema.equals(rows_of(batch).schema)
        assert len(rows_of(batch.slice(0, 0))) == 0


def _frame(fit: str = "pad", side: int = 8) -> ImageConfig:
    return ImageConfig(height=side, width=side, channels=1, bits=8, fit=fit)


def _one(stored: Stored, side: int, row: int, column: int) -> list[Region]:
    places = np.zeros((side, side), np.float32)
    places[row, column] = 1
    config = _frame(side=side)
    return find_regions(places, 1.0, Placement.of(stored, config, places.shape))


def test_a_place_that_but_touches_the_image_is_no_region() -> None:
    assert _one(Stored(244, 300), 8, 0, 7) == []


def test_an_end_on_a_whole_pixel_is_one() -> None:
    (region,) = _one(Stored(200, 200), 24, 0, 14)
    assert (region.x, region.x + region.width) == (116, 125)


def test_padding_counts_in_nothing_that_is_said_of_a_region() -> None:
    places = np.zeros((20, 20), np.float32)
    places[4, 3], places[5, 3] = 9.0, 1.0  # row 4 is padding
    placement = Placement.of(Stored(80, 40), _frame(side=20), places.shape)
    (region,) = find_regions(places, 1.0, placement)
    assert region.peak == region.mean == placement.map_of_image(places).max() == 1.0
    assert region.area == 16


def test_the_map_of_a_thin_image_is_bounded() -> None:
    placement = Placement.of(Stored(1, 60_000), _frame("crop", 64), (64, 64))
    assert placement.map_of_image(np.zeros((64, 64), np.float32)).size <= 16 * 64 * 64


def test_a_carried_column_keeps_its_values_whatever_others_are_called() -> None:
    rows = region_rows(_scored(x=[1, 2, 3, 4], input_x=[5, 6, 7, 8]))
    assert {"x", "input_x", "input_input_x"} <= set(rows.schema.names)
