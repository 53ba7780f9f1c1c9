"""The picture of where records are anomalous, with images of different shapes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ae_models.errors import OutputError
from pipelines.drawing import located
from transforms.maps.regions import Region
from transforms.scoring.locate_records import LocatedRecord

REGIONS = [Region(1, 1, 2, 2, area=4, peak=3.0, mean=2.5)]
FRAME = 480


def _record(height: int, width: int, channels: int = 1, level: int = 90) -> LocatedRecord:
    """A record of one level: all that is not white is the image, and its map is 2 throughout."""
    image = np.full((height, width, channels), level, np.uint8)
    overlay = np.full((height, width, 3), (level, 0, 0), np.uint8)
    places = np.full((max(1, height // 2), max(1, width // 2)), 2, np.float32)
    return LocatedRecord("a.png", image, overlay, places, REGIONS, np.array([0.01]))


def _drawn(
    records: Sequence[LocatedRecord], path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[list[np.ndarray]]:
    """What matplotlib received: inputs, overlays and maps; the picture is at `path`."""
    figures: list[Figure] = []
    write = located.write_png

    def keep(figure: Figure, path: str) -> None:
        figures.append(figure)
        write(figure, path)

    monkeypatch.setattr(located, "write_png", keep)
    titles = [record.id for record in records]
    located.located_grid(str(path), records, titles=titles, heading="h")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 240 <= picture.width <= 2000
        assert picture.height <= 2200
        picture.load()
    (figure,) = figures
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    count = len(records)
    return [shown[start : start + count] for start in range(0, 3 * count, count)]


def test_images_of_one_shape_are_drawn_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: np.random.Generator
) -> None:
    records = [
        record._replace(
            image=generator.integers(0, 256, record.image.shape, np.uint8),
            overlay=generator.integers(0, 256, record.overlay.shape, np.uint8),
            map=generator.random(record.map.shape, np.float32),
        )
        for record in [_record(20, 30)] * 3
    ]
    inputs, overlays, maps = _drawn(records, tmp_path / "a.png", monkeypatch)
    for record, image, overlay, places in zip(records, inputs, overlays, maps, strict=True):
        grey = np.broadcast_to(record.image / 255, (20, 30, 3))
        np.testing.assert_allclose(image, grey, rtol=1e-6)
        np.testing.assert_allclose(overlay, record.overlay / 255, rtol=1e-6)
        np.testing.assert_array_equal(places, record.map)


@pytest.mark.parametrize(
    "shapes", [[(50, 100), (100, 50)], [(300, 400), (20, 20), (30, 90)], [(2000, 1), (1, 700)]]
)
def test_images_of_other_shapes_keep_their_own_within_a_white_frame(
    shapes: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [_record(height, width) for height, width in shapes]
    drawn = _drawn(records, tmp_path / "a.png", monkeypatch)
    for strip, around in zip(drawn, (1.0, 1.0, 0.0), strict=True):
        for (height, width), picture in zip(shapes, strip, strict=True):
            assert picture.shape[:2] == (FRAME, FRAME)
            same = picture == around
            inside = ~(same.all(axis=-1) if picture.ndim == 3 else same)
            rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
            assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            longest = FRAME / max(height, width)
            for found, side in ((rows, height), (columns, width)):
                if strip is not drawn[2]:  # of maps with an odd side not all is there
                    assert len(found) == max(1, round(side * longest))
                assert abs(found[0] - (FRAME - 1 - found[-1])) <= 1  # in the middle
            assert max(len(rows), len(columns)) == FRAME


def test_grey_and_colour_are_drawn_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with one size, if a grey image has only one channel."""
    grey, colour = _record(40, 40), _record(40, 40, channels=3)
    colour.image[..., 2] = 200
    inputs, _, _ = _drawn([grey, colour], tmp_path / "a.png", monkeypatch)
    np.testing.assert_allclose(inputs[0][20, 20], [90 / 255] * 3, rtol=1e-6)
    np.testing.assert_allclose(inputs[1][20, 20], [90 / 255, 90 / 255, 200 / 255], rtol=1e-6)


def test_what_the_model_was_not_shown_has_no_heat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _record(40, 60)
    record.map[:, :10] = np.nan
    for others in ([], [_record(60, 40)]):
        _, _, maps = _drawn([record, *others], tmp_path / "a.png", monkeypatch)
        assert all(np.isfinite(places).all() for places in maps)
        assert (maps[0][maps[0].shape[0] // 2, :3] == 0).all()
        assert maps[0].max() == 2


def test_as_many_as_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [_record(10 + 10 * number, 70, 1 + 2 * (number % 2)) for number in range(16)]
    inputs, overlays, maps = _drawn(records, tmp_path / "a.png", monkeypatch)
    assert len(inputs) == len(overlays) == len(maps) == 16


def test_the_picture_has_room_for_one_and_goes_where_it_can(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        located.located_grid(str(tmp_path / name), [_record(9, 9)], titles=["$\n"], heading="_h")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write to .*: Is a directory"):
        located.located_grid(
            str(tmp_path / "folder.png"), [_record(9, 9)], titles=[""], heading="h"
        )
