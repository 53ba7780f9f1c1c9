"""Complete runs with `--map_format png`: which pictures they have, and what these show."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from ae_models.bundles.bundle import open_bundle
from ae_models.errors import ConfigError, OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from tests.support.command import run_command
from tests.support.made_once import made_once
from tests.support.map_pictures import Drawn, drawn, picture_bytes, rows_of
from transforms import ReadImages, ScoreImages, WriteScores
from transforms.images.decoding import decode_stored
from transforms.images.orientation import turned_back
from transforms.runs.ledger import read_ledger

Bundles = Callable[[str], Path]
Runs = Callable[..., Path]
PNG = {"maps": "all", "map_format": "png"}
IMAGES = 23
FPR = 0.05  # of the bundle
# Flags use a different score than regions, so that some records have only one of them.
OTHERWISE = {"fpr": 0.3, "primary": "typicality", "map_format": "png"}


# What a run contains.


def test_every_map_has_its_two_files_and_there_are_no_others(finished: Runs, images: Path) -> None:
    run = finished(**PNG)
    found = drawn(run)
    ids = [own.row["id"] for own in found]
    assert ids == [row["id"] for row in rows_of(run, "scores")]
    assert len(ids) == len(set(ids)) == IMAGES
    assert len(picture_bytes(run)) == 2 * IMAGES
    names = {"_SUCCESS", "run.json", "scores", "rejects", "regions", "maps", "map_pictures"}
    assert {path.name for path in run.iterdir()} in (names, names | {"passed_over"})
    ledger = read_ledger(str(run))
    assert (ledger["maps_of"], ledger["map_format"], ledger["maps"]) == ("all", "png", IMAGES)
    assert not [file for file in ledger["files"] if "map_pictures" in file["path"]]
    assert verify(str(run), [str(images)])["ok"]
    for own in found:
        with Image.open(images / own.row["id"]) as image:
            assert (own.row["image_width"], own.row["image_height"]) == image.size
        assert own.row["scale_x"] == own.row["image_width"] / own.row["map_width"]
        assert own.row["scale_y"] == own.row["image_height"] / own.row["map_height"]
        assert max(own.overlay.shape[:2]) >= 256


def test_rows_have_the_columns_of_maps_and_files_in_place_of_numbers(finished: Runs) -> None:
    schemas = [
        pq.read_schema(next((finished(**options) / "maps").iterdir()))
        for options in (PNG, {"maps": "all"})
    ]
    pictures, numbers = ([field.name for field in schema] for schema in schemas)
    files = ["map_file", "overlay_file", "map_sha256", "overlay_sha256"]
    own = ["value_at_black", "value_per_level", *files]
    assert sorted(pictures) == sorted([*(set(numbers) - {"map"}), *own])
    assert schemas[0].field("value_per_level").type == pa.float32()
    assert {schemas[0].field(name).type for name in files} == {pa.string()}


def test_levels_are_those_of_the_maps_that_are_kept_as_numbers(finished: Runs) -> None:
    numbers = {row["id"]: row for row in rows_of(finished(maps="all"), "maps")}
    for own in drawn(finished(**PNG)):
        row = numbers[own.row["id"]]
        for name in ("map_width", "map_height", "scale_x", "scale_y", "orientation", "label"):
            assert own.row[name] == row[name]
        values = np.array(row["map"], np.float64).reshape(own.levels.shape)
        exact = np.clip(values / own.row["value_per_level"], 0, 65535)
        # Half floats and levels are rounded.
        assert (np.abs(own.levels - exact) <= 0.51 + exact / 2000).all()
    for kind in ("scores", "regions"):
        assert rows_of(finished(**PNG), kind) == rows_of(finished(maps="all"), kind)


def test_mid_grey_is_the_threshold_of_the_regions(finished: Runs) -> None:
    run = finished(**PNG)
    threshold = read_ledger(str(run))["model"]["thresholds"]["map_peak"]
    peaks: dict[str, float] = {}
    for row in rows_of(run, "regions"):
        peaks[row["id"]] = max(row["peak"], peaks.get(row["id"], 0.0))
    found = drawn(run)
    for own in found:
        assert own.row["value_per_level"] == pytest.approx(threshold / 32768, rel=1e-6)
        # A wide image's map is drawn by straight lines between places, and may be lower.
        if own.row["map_width"] == own.row["map_height"]:
            assert (own.levels.max() >= 32768) == (own.row["id"] in peaks)
            if peak := peaks.get(own.row["id"]):
                level = min(65535, peak / threshold * 32768)
                assert own.levels.max() == pytest.approx(level, abs=0.6)
    assert 0 < len(peaks) < len(found)


def _grey(own: Drawn) -> np.ndarray:
    """(H, W) bool, true where neither heat nor a box is visible."""
    return (own.overlay == own.overlay[..., :1]).all(axis=-1)


def test_overlays_show_their_own_images_with_heat_and_boxes(
    finished: Runs, images: Path, bundle: Bundles
) -> None:
    """Whatever else was rejected."""
    run, config = finished(**PNG), open_bundle(bundle("ae")).config.image
    with_region = {row["id"] for row in rows_of(run, "regions")}
    for own in drawn(run):
        frame, stored = decode_stored((images / own.row["id"]).read_bytes(), config)
        assert own.has_box == (own.row["id"] in with_region)
        if stored.width != stored.height:
            continue
        image = np.kron(turned_back(frame[..., 0], stored.orientation), np.ones((32, 32)))
        seen = _grey(own)
        np.testing.assert_array_equal(own.overlay[seen][:, 0], image[seen])
        values = np.kron(own.levels, np.ones((32, 32)))
        assert seen[values < 1000].mean() > 0.5
        assert not seen[values == 65535].any()


def test_boxes_lie_around_what_was_painted(finished: Runs) -> None:
    """In the corner where the digits' squares are: upright, the one at the top left."""
    hits = []
    for own in drawn(finished(**PNG)):
        if own.row["label"] == "square" and own.has_box:
            overlay = Image.fromarray(own.overlay)
            exif = overlay.getexif()
            exif[0x0112] = own.row["orientation"]
            upright = np.asarray(ImageOps.exif_transpose(overlay))
            boxes = (upright == (0, 190, 255)).all(axis=-1)
            hits.append((own.row["orientation"], bool(boxes[:128, :128].any())))
    assert {orientation for orientation, _ in hits} == {1, 6}
    assert np.mean([hit for _, hit in hits]) > 0.5


def test_flagged_draws_what_is_flagged_or_has_a_region(finished: Runs) -> None:
    run, whole = finished(maps="flagged", **OTHERWISE), finished(maps="all", **OTHERWISE)
    flagged = {row["id"] for row in rows_of(run, "scores") if row["is_anomaly"]}
    with_region = {row["id"] for row in rows_of(run, "regions")}
    assert flagged - with_region
    assert with_region - flagged
    found = drawn(run)
    assert {own.row["id"] for own in found} == flagged | with_region
    assert 0 < len(found) < IMAGES
    assert picture_bytes(run).items() < picture_bytes(whole).items()
    assert read_ledger(str(run))["maps"] == len(found)


def test_with_too_few_calibration_records_mid_grey_is_the_greatest_of_them(
    finished: Runs, bundle: Bundles
) -> None:
    run = finished(fpr=0.001, **PNG)
    assert rows_of(run, "regions") == []
    held_out = pq.read_table(bundle("ae") / "calibration.parquet")["score_map_peak"].to_numpy()
    for own in drawn(run):
        assert own.row["value_per_level"] == np.float32(held_out.max() / 32768)
        assert not own.has_box


def test_where_nothing_is_kept_there_are_no_pictures(finished: Runs, images: Path) -> None:
    run = finished(maps="flagged", map_format="png", fpr=0.001)
    assert drawn(run) == []
    assert verify(str(run), [str(images)])["ok"]


def test_portable_schema_has_the_same_pictures(finished: Runs, images: Path) -> None:
    run, own = finished(portable_schema=True, **PNG), finished(**PNG)
    assert picture_bytes(run) == picture_bytes(own)
    assert [one.row for one in drawn(run)] == [one.row for one in drawn(own)]
    schema = pq.read_schema(next((run / "maps").iterdir()))
    assert schema.field("value_per_level").type == pa.float64()
    assert schema.field("map_file").type == pa.string()
    assert verify(str(run), [str(images)])["ok"]


def test_a_pipeline_of_ones_own_writes_them_too(
    finished: Runs, images: Path, bundle: Bundles, tmp_path: Path
) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        scored = pipeline | ReadImages(str(images)) | ScoreImages(str(bundle("ae")), **PNG)
        scored | WriteScores(str(tmp_path / "run"))
    assert len(drawn(tmp_path / "run")) == IMAGES
    assert picture_bytes(tmp_path / "run") == picture_bytes(finished(**PNG))


# Ids.


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _rows(folder: Path, ids: list[str], **carried: list[Any]) -> Path:
    generator = np.random.default_rng(2)
    images = [_png(generator.integers(0, 240, (8, 8), np.uint8)) for _ in ids]
    folder.mkdir()
    table = pa.table({"id": ids, "image": images, **carried})
    pq.write_table(table, folder / "rows.parquet")
    return folder


def test_ids_that_two_inputs_share_lose_nothing(bundle: Bundles, tmp_path: Path) -> None:
    """`same` is one image in both, `other` is another in each."""
    noise = np.random.default_rng(5).integers(0, 240, (3, 8, 8), np.uint8)
    images = {("a", "same"): 0, ("b", "same"): 0, ("a", "other"): 1, ("b", "other"): 2}
    for name in ("a", "b"):
        own = {id_: _png(noise[place]) for (file, id_), place in images.items() if file == name}
        table = pa.table({"id": list(own), "image": list(own.values()), "file": [name] * 2})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    inputs = [str(tmp_path / f"{name}.parquet") for name in ("a", "b")]
    ledger = score(inputs, str(bundle("ae")), str(tmp_path / "run"), **PNG)
    assert ledger["maps"] == 4
    found = {(own.row["file"], own.row["id"]): own for own in drawn(tmp_path / "run")}
    assert set(found) == set(images)
    assert len(picture_bytes(tmp_path / "run")) == 6
    for key, own in found.items():
        expected, seen = np.kron(noise[images[key]], np.ones((32, 32))), _grey(own)
        assert seen.any()
        np.testing.assert_array_equal(own.overlay[seen][:, 0], expected[seen])


def test_ids_of_every_kind_are_drawn(bundle: Bundles, tmp_path: Path) -> None:
    ids = ["", "..", "/etc/x", "a/b", "a_b", "a b", "A/B", "ü" * 3000, "x" * 10_000, ".a", "C:\\n"]
    rows = _rows(tmp_path / "rows", ids)
    score([str(rows)], str(bundle("ae")), str(tmp_path / "run"), **PNG)
    found = drawn(tmp_path / "run")
    assert sorted(own.row["id"] for own in found) == sorted(ids)
    assert len({name.lower() for name in picture_bytes(tmp_path / "run")}) == 2 * len(ids)
    assert verify(str(tmp_path / "run"), [str(rows)])["ok"]


@pytest.mark.parametrize(
    "name", ["overlay_file", "value_per_level", "map", "map_width", "image_width"]
)
def test_carried_columns_of_the_same_names_keep_their_values(
    bundle: Bundles, tmp_path: Path, name: str
) -> None:
    rows = _rows(tmp_path / "rows", ["a", "b"], **{name: ["mine", "too"]})
    score([str(rows)], str(bundle("ae")), str(tmp_path / "run"), **PNG)
    values = [own.row for own in drawn(tmp_path / "run")]
    carried = name if name == "map" else f"input_{name}"  # a picture's row has no `map`
    assert [row[carried] for row in values] == ["mine", "too"]


@pytest.mark.parametrize("name", ["map_sha256", "overlay_sha256"])
def test_carried_columns_of_the_digests_names_keep_their_values(
    bundle: Bundles, tmp_path: Path, name: str
) -> None:
    rows = _rows(tmp_path / "rows", ["a", "b"], **{name: ["mine", "too"]})
    score([str(rows)], str(bundle("ae")), str(tmp_path / "run"), **PNG)
    (first, second) = (list(own.row.values()) for own in drawn(tmp_path / "run"))
    assert "mine" in first
    assert "too" in second


def test_maps_as_numbers_name_no_files_either(bundle: Bundles, tmp_path: Path) -> None:
    rows = _rows(tmp_path / "rows", ["a", "b"], map_file=["mine", "too"])
    score([str(rows)], str(bundle("ae")), str(tmp_path / "run"), maps="all")
    assert [row["input_map_file"] for row in rows_of(tmp_path / "run", "maps")] == ["mine", "too"]


# Earlier results.


def test_overwriting_takes_earlier_pictures_away(
    finished: Runs, images: Path, bundle: Bundles, tmp_path: Path
) -> None:
    run, few = shutil.copytree(finished(**PNG), tmp_path / "run"), tmp_path / "few"
    shutil.copytree(images / "square", few / "square")
    model = str(bundle("ae"))
    with pytest.raises(OutputError, match=r"already contains results .*pictures"):
        score([str(few)], model, str(run), **PNG)
    assert picture_bytes(run) == picture_bytes(finished(**PNG))
    score([str(few)], model, str(run), overwrite=True, **PNG)
    assert len(drawn(run)) == 8
    assert len(picture_bytes(run)) == 16
    assert verify(str(run), [str(few)])["ok"]
    score([str(few)], model, str(run), overwrite=True)
    assert not (run / "map_pictures").exists()
    assert verify(str(run), [str(few)])["ok"]


# What is refused.


def _one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that is refused."""
    status, out, err = run_command(arguments, capsys)
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("latentbeam: ")]
    assert err.splitlines()[-1:] == lines
    return lines[0]


def test_pictures_without_maps_are_refused(
    images: Path, bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--input",
        str(images),
        "--model",
        str(bundle("ae")),
        "--output",
        str(tmp_path / "run"),
    ]
    line = _one_line(["score", *flags, "--map_format", "png"], capsys)
    assert "map_format must be parquet without --maps all or --maps flagged" in line
    line = _one_line(["score", *flags, "--maps", "all", "--map_format", "jpeg"], capsys)
    assert "jpeg" in line
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="map_format"):
        score([str(images)], str(bundle("ae")), str(tmp_path / "run"), map_format="png")
    with pytest.raises(ConfigError, match="map_format"):
        ScoreImages(str(bundle("ae")), map_format="png")
    with pytest.raises(ConfigError, match="map_format"):
        ScoreImages(str(bundle("ae")), maps="all", map_format="tiff")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("maps", ["all", "flagged"])
def test_masks_are_held_against_numbers_alone(
    finished: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], maps: str
) -> None:
    run = finished(**PNG) if maps == "all" else finished(maps="flagged", **OTHERWISE)
    (tmp_path / "masks").mkdir()
    Image.new("L", (8, 8), 255).save(tmp_path / "masks" / "0_mask.png")
    flags = ["--scores", str(run), "--anomalous", "label=square"]
    line = _one_line(["evaluate", *flags, "--masks", str(tmp_path / "masks")], capsys)
    told = {
        "all": "has only pictures of its maps: score without --map_format png",
        "flagged": "lacks the maps of some records: score with --maps all",
    }
    assert line == f"latentbeam: {run} {told[maps]}"
    assert evaluate(str(run), "label=square")["scores"]


# Images in tiles.

_PAINTED = (slice(30, 44), slice(60, 74))  # rows and columns


def _textured(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    height, width = generator.integers((70, 100), (90, 120))
    (rows, columns), phases = np.indices((height, width)), generator.uniform(0, 6, 2)
    waves = np.sin(columns / 3 + phases[0]) * np.sin(rows / 3 + phases[1])  # alike when turned
    return (100 + 40 * waves + generator.normal(0, 4, waves.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that scores images in tiles (`model`), images with something bright
    in them, in every orientation (`test`), and the run over these (`run`)."""

    def make(path: Path) -> None:
        for seed in range(40):
            (path / "train").mkdir(parents=True, exist_ok=True)
            Image.fromarray(_textured(seed)).save(path / "train" / f"{seed}.png")
        overrides = [
            *("features.backbone=none", "model.network=dense", "image.tile=32", "image.overlap=8"),
            *("model.latent_dim=6", "scoring.fpr=0.1", "training.calibration_share=0.3"),
        ]
        config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
        train([str(path / "train")], config, str(path / "model"))
        (path / "test").mkdir()
        for orientation in range(1, 9):
            pixels, exif = _textured(100 + orientation), Image.Exif()
            pixels[_PAINTED] = 250
            exif[0x0112] = orientation
            Image.fromarray(pixels).save(path / "test" / f"{orientation}.png", exif=exif)
        score([str(path / "test")], str(path / "model"), str(path / "run"), **PNG)

    return made_once(tmp_path_factory, "tiles-to-draw", make)


def test_images_in_tiles_are_drawn_at_the_size_of_their_maps(tiled: Path) -> None:
    found = drawn(tiled / "run")
    assert [own.row["id"] for own in found] == [f"{number}.png" for number in range(1, 9)]
    for own in found:
        with Image.open(tiled / "test" / own.row["id"]) as image:
            pixels = np.asarray(image)
        assert own.levels.shape == pixels.shape
        times = -(-256 // max(pixels.shape))
        large = np.kron(pixels, np.ones((times, times)))
        assert own.overlay.shape == (*large.shape, 3)
        seen = _grey(own)
        assert seen.mean() > 0.3
        np.testing.assert_array_equal(own.overlay[seen][:, 0], large[seen])
        # The painted square is hot, as stored in the file, and has a box around it.
        assert own.levels[_PAINTED].max() == own.levels.max() > 32768
        assert own.has_box
        top, left = (axis.start * times for axis in _PAINTED)
        rows, columns = np.nonzero((own.overlay == (0, 190, 255)).all(axis=-1))
        near = (abs(rows - top) < 12 * times) & (abs(columns - left) < 12 * times)
        assert near.any()
    assert verify(str(tiled / "run"), [str(tiled / "test")])["ok"]


def test_levels_of_tiles_are_those_of_their_maps_as_numbers(tiled: Path, tmp_path: Path) -> None:
    score([str(tiled / "test")], str(tiled / "model"), str(tmp_path / "run"), maps="all")
    numbers = {row["id"]: row for row in rows_of(tmp_path / "run", "maps")}
    for own in drawn(tiled / "run"):
        values = np.array(numbers[own.row["id"]]["map"], np.float64).reshape(own.levels.shape)
        exact = np.clip(values / own.row["value_per_level"], 0, 65535)
        assert (np.abs(own.levels - exact) <= 0.51 + exact / 2000).all()
