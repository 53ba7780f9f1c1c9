"""Images of any size in tiles, from training to the rows of a run."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ae_models.bundles.bundle import open_bundle
from ae_models.calibration.p_values import conformal_p_values
from ae_models.config.configuration import (
    Configuration,
    ImageConfig,
    TrainingConfig,
    configuration_from_mapping,
)
from ae_models.config.model import AutoencoderConfig
from ae_models.errors import ConfigError
from pipelines.beam.run import pipeline_options
from pipelines.commands import score_in_parts
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from pipelines.training.records import Records, read_records
from tests.support.command import run_command
from tests.support.made_once import made_once
from transforms import ReadOptions
from transforms.images.orientation import Stored
from transforms.runs.ledger import read_ledger, result_files
from transforms.tiles.cut import Grid

Bundles = Callable[[str], Path]
FPR = 0.1
TRAINED, TESTED = 60, 12
SQUARE = (slice(30, 44), slice(60, 74))  # rows and columns of what is painted into every second one
NEAR = (24, 54, 50, 80)  # of it: top, left, bottom and right, with what smoothing adds
OVERRIDES = [
    *("features.backbone=none", "image.tile=32", "image.overlap=8", "model.latent_dim=6"),
    *(f"scoring.fpr={FPR}", "training.calibration_share=0.3", "scoring.batch_rows=48"),
]


def _textured(seed: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    phases = generator.uniform(0, 6, 2)
    waves = np.sin(columns / 3 + phases[0]) * np.sin(rows / 4 + phases[1])
    return (100 + 40 * waves + generator.normal(0, 4, waves.shape)).clip(0, 255).astype(np.uint8)


def _write(folder: Path, seeds: range, painted: bool = False) -> None:
    folder.mkdir(parents=True)
    for number, seed in enumerate(seeds):
        height, width = np.random.default_rng(seed).integers((70, 100), (97, 131))
        pixels = _textured(seed, height, width)
        if painted and number % 2:
            pixels[SQUARE] = 250
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images (`train` and `test`) and a bundle (`model`)."""

    def make(path: Path) -> None:
        _write(path / "train", range(TRAINED))
        _write(path / "test", range(100, 100 + TESTED), painted=True)
        overrides = [*OVERRIDES, "model.network=dense"]
        config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
        train([str(path / "train")], config, str(path / "model"))

    return made_once(tmp_path_factory, "tiles", make)


@pytest.fixture(scope="module")
def run(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run over the test images, with rows of tiles."""
    return made_once(
        tmp_path_factory,
        "run-tiles",
        lambda path: score([str(made / "test")], str(made / "model"), str(path), tiles=True),
    )


def _rows(run: Path, kind: str, *by: str) -> pa.Table:
    """Rows in the order of ids, and of further columns if named."""
    paths = result_files(str(run), kind)
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    return table.sort_by([(name, "ascending") for name in ("id", *by)]).combine_chunks()


def _tiles(run: Path) -> pa.Table:
    return _rows(run, "tiles", "y", "x")


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _score_names(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith("score_")]


def _p_values(path: Path, scores: np.ndarray) -> np.ndarray:
    calibration = np.sort(pq.read_table(path)["score"].to_numpy())
    return conformal_p_values(scores, calibration)


def test_whole_images_calibrate_and_so_do_their_tiles(made: Path) -> None:
    bundle = open_bundle(made / "model")
    images = pq.read_table(made / "model" / "calibration.parquet")
    tiles = pq.read_table(made / "model" / "calibration_tiles.parquet")
    ids = images["id"].to_pylist()
    assert len(ids) == len(set(ids)) == round(0.3 * TRAINED)
    assert set(ids) <= {path.name for path in (made / "train").iterdir()}
    expected = []
    for name in ids:
        grid = Grid.of(Stored(*_size(made / "train" / name)), bundle.config.image)
        expected += [f"{name}#{x},{y}" for y in grid.ys for x in grid.xs]
    assert sorted(tiles["id"].to_pylist()) == sorted(expected)
    facts = bundle.manifest["calibration"]
    assert (facts["records"], facts["tiles"]) == (len(ids), len(expected))
    assert _score_names(images) == _score_names(tiles)
    owners = np.array([tile.rpartition("#")[0] for tile in tiles["id"].to_pylist()])
    for name in _score_names(images):
        values = tiles[name].to_numpy()
        greatest = np.array([values[owners == own].max() for own in ids])
        if name == "score_map_peak":  # where tiles overlap, a mean is no more than the greater
            assert (images[name].to_numpy() <= greatest * 1.0001).all()
            assert images["score"].equals(images[name])
        else:
            np.testing.assert_array_equal(images[name].to_numpy(), greatest)


def test_a_row_for_each_image_and_for_each_of_its_tiles(made: Path, run: Path) -> None:
    names = sorted(path.name for path in (made / "test").iterdir())
    scores, tiles = _rows(run, "scores"), _tiles(run)
    assert scores["id"].to_pylist() == names
    config = open_bundle(made / "model").config.image
    for name in names:
        width, height = _size(made / "test" / name)
        own = tiles.filter(pc.equal(tiles["id"], name)).to_pydict()
        grid = Grid.of(Stored(width, height), config)
        places = [(x, y) for y in grid.ys for x in grid.xs]
        assert list(zip(own["x"], own["y"], strict=True)) == places
        covered = np.zeros((height, width), int)
        for x, y, w, h in zip(own["x"], own["y"], own["width"], own["height"], strict=True):
            assert 0 < w <= 32
            assert 0 < h <= 32
            assert x + w <= width
            assert y + h <= height
            covered[y : y + h, x : x + w] += 1
        assert covered.min() == 1
        assert set(own["image_width"]) == {width}
        assert set(own["image_height"]) == {height}
        assert set(own["orientation"]) == {1}
        assert set(own["source"]) == {str(made / "test" / name)}
    ledger = read_ledger(str(run))
    assert ledger["tiles_kept"] is True
    assert ledger["tiles"] == len(tiles)
    assert ledger["records"]["scored"] == len(names)


def test_scores_of_an_image_are_the_greatest_of_its_tiles(run: Path) -> None:
    scores, tiles = _rows(run, "scores"), _tiles(run)
    assert _score_names(scores) == _score_names(tiles)
    owners = np.array(tiles["id"].to_pylist())
    ids = scores["id"].to_pylist()
    for name in _score_names(scores):
        values = tiles[name].to_numpy()
        greatest = np.array([values[owners == own].max() for own in ids])
        if name == "score_map_peak":
            assert (scores[name].to_numpy() <= greatest * 1.0001).all()
        else:
            np.testing.assert_array_equal(scores[name].to_numpy(), greatest)
    assert scores["score"].equals(scores["score_map_peak"])
    means = np.stack(tiles["latent_mean"].to_numpy())
    for own, row in zip(ids, scores["latent_mean"].to_pylist(), strict=True):
        np.testing.assert_allclose(row, means[owners == own].mean(0), rtol=1e-4, atol=1e-5)


def test_p_values_of_images_and_of_tiles_are_each_by_their_own_calibration(
    made: Path, run: Path
) -> None:
    for kind, file in (("scores", "calibration"), ("tiles", "calibration_tiles")):
        table = _rows(run, kind)
        path = made / "model" / f"{file}.parquet"
        expected = _p_values(path, table["score"].to_numpy())
        np.testing.assert_array_equal(table["p_value"].to_numpy(), expected)
        flags = table["is_anomaly"].to_numpy()
        np.testing.assert_array_equal(flags, expected <= FPR)
        assert flags.any()
        assert not flags.all()


def test_regions_are_where_the_image_was_painted(run: Path) -> None:
    regions = _rows(run, "regions")
    painted = [f"{number:02d}.png" for number in range(1, TESTED, 2)]
    top, left, bottom, right = NEAR
    for name in painted:
        own = regions.filter(pc.equal(regions["id"], name)).to_pylist()
        greatest = max(own, key=lambda region: region["peak"])
        rows = range(greatest["y"], greatest["y"] + greatest["height"])
        columns = range(greatest["x"], greatest["x"] + greatest["width"])
        assert {30, 43} <= set(rows) <= set(range(top, bottom + 6))
        assert {60, 73} <= set(columns) <= set(range(left - 6, right + 6))
        assert greatest["area"] > 14 * 14 / 2


def test_an_image_has_a_region_where_the_p_value_of_its_peak_is_small(run: Path) -> None:
    scores, regions = _rows(run, "scores"), _rows(run, "regions")
    small = pc.less_equal(scores["p_value"], FPR)
    expected = scores.filter(small)["id"].to_pylist()
    assert set(regions["id"].to_pylist()) == set(expected)
    assert {f"{number:02d}.png" for number in range(1, TESTED, 2)} <= set(expected)
    assert len(expected) < TESTED
    peaks = regions.group_by("id").aggregate([("peak", "max"), ("p_value", "min")])
    by_id = {row["id"]: row for row in peaks.to_pylist()}
    for row in scores.filter(small).to_pylist():
        assert by_id[row["id"]]["peak_max"] == row["score_map_peak"]
        assert by_id[row["id"]]["p_value_min"] == row["p_value"]


def test_maps_are_of_the_size_of_the_image_and_hold_its_peak(made: Path, tmp_path: Path) -> None:
    score([str(made / "test")], str(made / "model"), str(tmp_path / "run"), maps="all")
    maps, scores = _rows(tmp_path / "run", "maps"), _rows(tmp_path / "run", "scores")
    assert maps["id"].equals(scores["id"])
    for one, row in zip(maps.to_pylist(), scores.to_pylist(), strict=True):
        assert (one["map_width"], one["map_height"]) == _size(made / "test" / one["id"])
        assert (one["scale_x"], one["scale_y"]) == (1.0, 1.0)
        assert max(one["map"]) == pytest.approx(row["score_map_peak"], rel=1e-3)
    assert not (tmp_path / "run" / "tiles").exists()


def _same_rows(one: pa.Table, other: pa.Table) -> bool:
    return bool(one.drop_columns("source").equals(other.drop_columns("source")))


def test_whatever_is_scored_with_an_image_it_has_the_same_bits(
    made: Path, run: Path, tmp_path: Path
) -> None:
    test, model = made / "test", str(made / "model")
    files = sorted(test.iterdir())
    few = tmp_path / "few"
    few.mkdir()
    for path in files[1::5]:
        shutil.copy(path, few / path.name)
    inputs = {"few": [str(few)], "reversed": [str(path) for path in reversed(files)]}
    for name, given in inputs.items():
        score(given, model, str(tmp_path / name / "run"), tiles=True)
        own = _rows(tmp_path / name / "run", "scores")
        for kind, by in (("scores", ()), ("tiles", ("y", "x")), ("regions", ("y", "x"))):
            found, expected = (_rows(p, kind, *by) for p in (tmp_path / name / "run", run))
            expected = expected.filter(pc.is_in(expected["id"], own["id"].combine_chunks()))
            assert len(found)
            assert _same_rows(found.drop_columns("label"), expected.drop_columns("label"))


def test_turned_images_are_told_as_they_are_stored(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "turned"
    folder.mkdir()
    pixels = _textured(100, 80, 110)
    pixels[SQUARE] = 250
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(folder / f"{orientation}.png", exif=exif)
    score([str(folder)], str(made / "model"), str(tmp_path / "run"), tiles=True)
    regions, tiles = _rows(tmp_path / "run", "regions"), _tiles(tmp_path / "run")
    for orientation in range(1, 9):
        own = regions.filter(pc.equal(regions["orientation"], orientation)).to_pylist()
        greatest = max(own, key=lambda region: region["peak"])
        assert (greatest["image_width"], greatest["image_height"]) == (110, 80)
        assert abs(greatest["x"] + greatest["width"] / 2 - 67) < 4
        assert abs(greatest["y"] + greatest["height"] / 2 - 37) < 4
        highest = max(
            tiles.filter(pc.equal(tiles["orientation"], orientation)).to_pylist(),
            key=lambda tile: tile["score"],
        )
        assert highest["x"] < 74
        assert highest["x"] + highest["width"] > 60
        assert highest["y"] < 44
        assert highest["y"] + highest["height"] > 30


def test_damaged_files_are_rejects_and_all_is_verified(
    made: Path, run: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "images", tmp_path / "run"
    shutil.copytree(made / "test", folder)
    whole = (folder / "00.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no image")
    (folder / "zero.png").touch()
    Image.new("RGB", (90, 90)).save(folder / "colour.png")
    Image.new("I;16", (90, 90)).save(folder / "deep.png")
    ledger = score([str(folder)], str(made / "model"), str(out), tiles=True)
    reasons = {"corrupt": 1, "empty": 1, "not_an_image": 1, "wrong_bits": 1, "wrong_channels": 1}
    assert ledger["records"]["rejected_by_reason"] == reasons
    assert ledger["records"]["scored"] == TESTED
    found = {row["id"]: (row["stage"], row["reason"]) for row in _rows(out, "rejects").to_pylist()}
    assert found["cut.png"] == ("decode", "corrupt")
    assert found["zero.png"] == ("read", "empty")
    assert found["colour.png"] == ("decode", "wrong_channels")
    for kind in ("scores", "tiles"):
        by = ("y", "x") if kind == "tiles" else ()
        one, other = (_rows(path, kind, *by).drop_columns("label") for path in (out, run))
        assert _same_rows(one, other)
    assert verify(str(out), [str(folder)])["ok"]
    (folder / "00.png").rename(folder / "new.png")
    assert not verify(str(out), [str(folder)])["ok"]


def test_a_run_of_nothing_but_rejects(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "text.png").write_text("no image")
    ledger = score(
        [str(folder)], str(made / "model"), str(tmp_path / "run"), tiles=True, max_rejects="100%"
    )
    assert ledger["records"]["rejected"] == 1
    assert ledger["tiles"] == 0


def test_raw_pixels_are_scored_as_their_files_are(made: Path, run: Path, tmp_path: Path) -> None:
    pixels = np.stack([_textured(seed, 75, 110) for seed in range(4)])
    files, archive = tmp_path / "files", tmp_path / "images.npz"
    files.mkdir()
    for number, own in enumerate(pixels):
        Image.fromarray(own).save(files / f"{number}.png")
    np.savez(archive, images=pixels)
    for name, given in (("one", files), ("other", archive)):
        score([str(given)], str(made / "model"), str(tmp_path / name), tiles=True)
    for kind in ("scores", "tiles"):
        one, other = (_rows(tmp_path / name, kind) for name in ("one", "other"))
        kept = [n for n in one.column_names if n not in ("id", "source", "label", "model")]
        assert one.select(kept).equals(other.select(kept))


def _parquet(folder: Path, test: Path) -> None:
    folder.mkdir()
    files = sorted(test.iterdir())
    for number in range(3):
        own = files[4 * number : 4 * number + 4]
        images = [path.read_bytes() for path in own]
        if number == 1:
            images[2] = b"no image"
        table = pa.table({"id": [path.name for path in own], "image": images})
        pq.write_table(table, folder / f"{number}.parquet")


def test_a_run_in_parts_that_died_gives_the_same_rows(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _parquet(tmp_path / "data", made / "test")
    inputs, model = [f"{tmp_path}/data/*.parquet"], str(made / "model")
    score(inputs, model, str(tmp_path / "one"), tiles=True)
    original, calls = score_in_parts.run, list[int]()

    def dies(*arguments: Any, **options: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return original(*arguments, **options)

    out = tmp_path / "parts"
    monkeypatch.setattr(score_in_parts, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        score(inputs, model, str(out), tiles=True, checkpoint_every=4)
    monkeypatch.setattr(score_in_parts, "run", original)
    ledger = score(inputs, model, str(out), tiles=True, checkpoint_every=4, resume=True)
    assert ledger["checkpoints"] == {"every": 4, "parts": 3}
    assert ledger["records"]["rejected"] == 1
    for kind, by in {"scores": (), "rejects": (), "tiles": ("y", "x"), "regions": ("y",)}.items():
        assert _rows(out, kind, *by).equals(_rows(tmp_path / "one", kind, *by))
    assert ledger["tiles"] == len(_tiles(out))
    assert verify(str(out), inputs)["ok"]


def test_tiles_of_a_bundle_without_are_refused_in_one_line(
    bundle: Bundles, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["score", "--input", str(made / "test"), "--output", str(tmp_path / "run"), "--tiles"]
    status, out, err = run_command([*line, "--model", str(bundle("ae"))], capsys)
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        f"latentbeam: {bundle('ae')} does not split images into tiles: train with image.tile"
    ]
    assert not (tmp_path / "run").exists()
    line[-1:] = ["--error_maps"]
    status, _, err = run_command([*line, "--model", str(made / "model")], capsys)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "error maps are not available for images in tiles" in err


# The splits.


def _read(inputs: Path, work: Path, **training: Any) -> Records:
    config = Configuration(
        AutoencoderConfig(),
        image=ImageConfig(tile=32, overlap=8, channels=1, bits=8).of_frame(),
        training=TrainingConfig(**training),
    )
    work.mkdir()
    return read_records([str(inputs)], [], ReadOptions(), config, pipeline_options([]), work)


def _levels(records: Records) -> dict[str, list[int]]:
    """For each split, the level of each tile's pixels, which are all equal."""
    found = {}
    for split, store in records.stores.items():
        tiles = np.concatenate(list(store.batches(64)))
        levels = tiles.reshape(len(tiles), -1)
        assert (levels.min(axis=1) == levels.max(axis=1)).all()
        found[split] = levels[:, 0].tolist()
    return found


@pytest.fixture(scope="module")
def plain_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 images, each of the level of its number, four per folder, with 1 to 12 tiles."""
    folder = tmp_path_factory.mktemp("plain")
    for number in range(64):
        path = folder / f"group{number // 4}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        size = (30 + 24 * (number % 4), 30 + 24 * (number % 3))
        Image.new("L", size, number).save(path)
    return folder


def _tile_count(number: int) -> int:
    return (1 + number % 4) * (1 + number % 3)


@pytest.mark.parametrize("tiles", [1, 4, 100])
def test_all_tiles_of_an_image_are_in_one_split(
    plain_images: Path, tmp_path: Path, tiles: int
) -> None:
    records = _read(plain_images, tmp_path / "work", tiles=tiles, calibration_share=0.25)
    levels = _levels(records)
    images = {split: set(found) for split, found in levels.items()}
    assert {split: len(found) for split, found in images.items()} == {
        "train": 64 - 8 - 16,
        "validation": 8,
        "calibration": 16,
    }
    assert len(set.union(*images.values())) == 64
    for found in levels.values():
        for number in set(found):
            assert found.count(number) == min(tiles, _tile_count(number))
    assert len(records.calibrating) == 16
    names = {Path(name).stem for name in records.calibrating}
    assert names == {str(number) for number in images["calibration"]}


def test_all_images_of_a_group_are_in_one_split(plain_images: Path, tmp_path: Path) -> None:
    records = _read(plain_images, tmp_path / "work", tiles=3, group="label", calibration_share=0.25)
    groups = {split: {n // 4 for n in found} for split, found in _levels(records).items()}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 16
    assert min(map(len, groups.values())) >= 2


# Configurations.


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ({"tile": 15}, "image.tile must be null, or at least 16"),
        ({"tile": 129}, "image.tile must be a multiple of 2"),
        ({"tile": 300}, None),
        ({"tile": 258}, "image.tile must be a multiple of 4"),
        ({"tile": 128, "overlap": 15}, "image.overlap must be null, or 0 to half of"),
        ({"tile": 128, "overlap": 66}, "image.overlap must be null, or 0 to half of"),
        ({"tile": 128, "overlap": -2}, "image.overlap must be null, or 0 to half of"),
        ({"tile": 128, "overlap": 64}, None),
        ({"tile": 128, "overlap": 0}, None),
        ({"overlap": 8}, "image.overlap must be null without image.tile"),
        ({"tile": 64, "height": 65}, "image.height must be null, or image.tile, 64"),
        ({"tile": 64, "width": 32}, "image.width must be null, or image.tile, 64"),
        ({"tile": 64, "width": 64, "height": 64}, None),
    ],
)
def test_what_an_image_section_may_say_of_tiles(image: dict[str, int], told: str | None) -> None:
    mapping = {"model": {"kind": "ae"}, "image": image}
    if told is None:
        configuration_from_mapping(mapping)
        return
    with pytest.raises(ConfigError, match=told):
        configuration_from_mapping(mapping)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("training", "tiles", 0), ("scoring", "top_tiles", 0), ("training", "tiles", "all")],
)
def test_numbers_of_tiles(section: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{section}.{key} must be"):
        configuration_from_mapping({"model": {"kind": "ae"}, section: {key: value}})


def test_pairs_of_images_are_not_looked_at_in_tiles() -> None:
    mapping = {"model": {"kind": "dae", "target": "clean"}, "image": {"tile": 64}}
    with pytest.raises(ConfigError, match=r"model\.target and image\.tile cannot be combined"):
        configuration_from_mapping(mapping)
    del mapping["image"]
    configuration_from_mapping(mapping)


def test_a_wrong_tile_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "--input", str(tmp_path), "--output", str(tmp_path / "model")]
    line += ["--model", "ae", "--set", "image.tile=8"]
    status, _, err = run_command(line, capsys)
    assert status == 2
    assert err.splitlines() == [
        "latentbeam: image.tile must be null, or at least 16. Received: 8",
    ]


# Other models.


@pytest.mark.slow
def test_a_convolutional_model_of_large_tiles_and_several_of_an_image(
    made: Path, tmp_path: Path
) -> None:
    """Places of the map are 2 pixels wide, and scores are means of two tiles' scores."""
    folder = tmp_path / "train"
    folder.mkdir()
    for seed in range(40):
        Image.fromarray(_textured(seed, 170 + seed, 301)).save(folder / f"{seed}.png")
    overrides = [*OVERRIDES, "image.tile=128", "image.overlap=16", "scoring.top_tiles=2"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    train([str(folder)], config, str(tmp_path / "model"))
    tested = tmp_path / "test"
    tested.mkdir()
    pixels = _textured(900, 201, 299)
    pixels[100:140, 200:240] = 250
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (tested / "a.png").write_bytes(file.getvalue())
    out = tmp_path / "run"
    score([str(tested)], str(tmp_path / "model"), str(out), tiles=True, maps="all")
    (row,), tiles = _rows(out, "scores").to_pylist(), _tiles(out)
    for name in _score_names(tiles):
        greatest = np.sort(tiles[name].to_numpy())[-2:].astype(np.float64).mean()
        if name != "score_map_peak":
            assert row[name] == np.float32(greatest)
    (found,) = _rows(out, "maps").to_pylist()
    assert (found["map_width"], found["map_height"]) == (150, 100)  # 299 / 2 and 201 / 2, rounded
    places = np.array(found["map"], np.float32).reshape(100, 150)
    top, left = np.unravel_index(int(places.argmax()), places.shape)
    assert 45 <= top <= 75
    assert 95 <= left <= 125
    assert tiles["x"].to_pylist()[:3] == [0, 112, 172]
    assert tiles["width"].to_pylist()[:3] == [128, 128, 127]
