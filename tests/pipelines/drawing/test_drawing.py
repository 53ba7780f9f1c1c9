"""Sheets of images and lines: the shades of values, the texts allowed, the same bytes."""

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ae_models.errors import OutputError
from pipelines.drawing.class_lines import draw_class_lines
from pipelines.drawing.png import check_picture, write_png
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from pipelines.drawing.text import shortened, width_of, wrapped
from tests.support.object_store import ROOT, get

HOSTILE = ["$\\frac{", "\x1b[2J\nline", "漢字 🙂", "_hidden", "x" * 100_000, ""]


def _shown(sheet: Sheet) -> list[np.ndarray]:
    """The values that matplotlib received for each image, in the order of the sheet."""
    return [axes.images[0].get_array() for axes in sheet.figure.axes if axes.images]


def test_grey_levels_are_shares_of_the_shades() -> None:
    images = np.array([0.0, 50.0, 100.0, 300.0], np.float32).reshape(1, 2, 2, 1)
    (shown,) = _shown(
        Sheet([Strip("a", images)], [], heading="h", unit="level", shades=(50.0, 150.0))
    )
    np.testing.assert_allclose(shown, [[0.0, 0.0], [0.5, 1.0]])


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_are_those_of_the_image(channels: int, generator: np.random.Generator) -> None:
    images = generator.integers(0, 256, (1, 4, 5, channels)).astype(np.float32)
    (shown,) = _shown(
        Sheet([Strip("a", images)], [], heading="h", unit="level", shades=(0.0, 255.0))
    )
    np.testing.assert_allclose(shown, images[0, ..., :3] / 255.0, rtol=1e-6)


def test_of_other_numbers_of_channels_the_first_is_shown(generator: np.random.Generator) -> None:
    images = generator.random((1, 4, 5, 2), np.float32)
    (shown,) = _shown(Sheet([Strip("a", images)], [], heading="h", unit="level", shades=(0.0, 1.0)))
    np.testing.assert_allclose(shown, images[0, ..., 0], rtol=1e-6)


def test_the_picture_itself_has_the_shades(tmp_path: Path) -> None:
    levels = [0.0, 64.0, 128.0, 255.0]
    images = np.array(levels, np.float32)[:, None, None, None] * np.ones((4, 6, 6, 1), np.float32)
    sheet = Sheet([Strip("a", images)], [], heading="h", unit="level", shades=(0.0, 255.0))
    write_png(sheet.figure, str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as picture:
        grey = np.asarray(picture.convert("L"))
    for axes, level in zip(sheet.figure.axes, levels, strict=False):
        box = axes.get_position()
        row = round((1.0 - (box.y0 + box.y1) / 2) * grey.shape[0])
        column = round((box.x0 + box.x1) / 2 * grey.shape[1])
        assert abs(int(grey[row, column]) - level) <= 1


@pytest.mark.parametrize(
    ("values", "within", "expected"),
    [
        ([5.0, 9.0], (-np.inf, np.inf), (5.0, 9.0)),
        ([-20.0, 300.0], (0, 255), (0.0, 255.0)),
        ([40.0, 90.0], (0, 255), (40.0, 90.0)),
        ([0.5, 254.0], (0, 255), (0.0, 255.0)),
        ([7.0, 7.0], (0, 255), (7.0, 8.0)),
        ([300.0, 300.0], (0, 255), (255.0, 256.0)),
    ],
)
def test_shades(values: list[float], within: tuple[float, float], expected: tuple) -> None:
    assert shades_of(np.array(values), within=within) == expected


@pytest.mark.parametrize("columns", [1, 3, 16])
@pytest.mark.parametrize("shape", [(2, 200), (200, 2), (9, 9)])
def test_sheets_are_of_a_size_to_be_looked_at(columns: int, shape: tuple[int, int]) -> None:
    images = np.zeros((columns, *shape, 1), np.float32)
    strips = [Strip("x" * 500, images, ["y" * 500] * columns)] * 3
    sheet = Sheet(
        [*strips, Strip("e", images[..., 0], unit="u")],
        ["z"] * columns,
        heading="h" * 5000,
        unit="level",
    )
    width, height = sheet.figure.get_size_inches()
    assert 240 <= 120 * width <= 2000
    assert 120 * height <= 2200
    renderer = FigureCanvasAgg(sheet.figure).get_renderer()
    for text in sheet.figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= sheet.figure.bbox.x1


def test_text_of_records_is_neither_formula_nor_order(tmp_path: Path) -> None:
    images = np.ones((len(HOSTILE), 4, 4, 1), np.float32)
    for label in HOSTILE:
        strip = Strip(label, images, HOSTILE)
        sheet = Sheet([strip], HOSTILE, heading=label, unit="level", below=2.0)
        probabilities = np.full((5, len(HOSTILE)), 1 / len(HOSTILE))
        axes = sheet.axes_below(0, 3)
        draw_class_lines(
            axes,
            positions=np.arange(5.0),
            classes=HOSTILE,
            probabilities=probabilities,
            p_values=np.ones(5),
            between=1,
        )
        write_png(sheet.figure, str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width <= 2000
        picture.verify()


def test_every_class_of_weight_is_in_the_legend() -> None:
    figure = Figure()
    axes = figure.subplots()
    names = ["_a", "$b$", "c", "d"]
    probabilities = np.array([[0.5, 0.47, 0.02, 0.01], [0.4, 0.56, 0.03, 0.01]])
    draw_class_lines(
        axes,
        positions=np.array([1.0, 2.0]),
        classes=names,
        probabilities=probabilities,
        p_values=np.array([0.3, 0.9]),
        between=1,
    )
    legend = axes.get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["_a", "$b$", "all others", "any class: p-value"]
    lines = [line.get_ydata() for line in axes.lines]
    np.testing.assert_allclose(lines, [[0.5, 0.4], [0.47, 0.56], [0.03, 0.04], [0.3, 0.9]])


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    images = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    for name in ("a.png", "b.png"):
        write_png(
            Sheet([Strip("a", images)], ["t"], heading="h", unit="level").figure,
            str(tmp_path / name),
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as picture:
        assert picture.format == "PNG"
        assert not picture.text


def test_pictures_go_where_they_can(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    for name, message in (
        ("a.jpg", "must end in .png"),
        ("folder.png", "is a folder"),
        ("nowhere/a.png", "no folder .*nowhere"),
        ("file/a.png", "no folder .*file"),
    ):
        with pytest.raises(OutputError, match=message):
            check_picture(str(tmp_path / name))
    check_picture(str(tmp_path / "a.PNG"))
    check_picture("a.png")


def test_pictures_are_written_to_object_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    sheet = Sheet([Strip("a", np.ones((1, 4, 4, 1), np.float32))], ["t"], heading="h", unit="level")
    check_picture("bucket://b/new/a.png")
    for _ in range(2):  # an earlier one is replaced
        write_png(sheet.figure, "bucket://b/new/a.png")
    with Image.open(io.BytesIO(get("bucket://b/new/a.png"))) as picture:
        assert picture.format == "PNG"


def test_lines_are_as_long_as_their_place() -> None:
    first, second = shortened("folder/of/image.png\nsecond\nthird", 0.8, 10).splitlines()
    assert (first[0], second) == ("…", "second")
    assert "folder/of/image.png".endswith(first[1:])
    for points in (8, 11):
        for room in (0.5, 3.0):
            for line in ("W" * 90, "i" * 900, "folder/of/image.png"):
                width = width_of(shortened(line, room, points), points)
                assert room - width_of("W", points) < width <= room or line == "folder/of/image.png"
    assert wrapped("one two three four", 0.7, 10, 2) == "one two\nthree…"
    assert all(width_of(line, 11) <= 2 for line in wrapped("W " * 90, 2, 11, 3).splitlines())
