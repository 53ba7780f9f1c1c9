"""Runs with regions and maps: their contents, `verify`, `--resume`, and `evaluate --masks`."""

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from ae_models.errors import ConfigError, InputError, OutputError
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from tests.support.command import run_command
from tests.support.killed import kill, parts_done
from tests.support.made_once import made_once
from transforms import ReadImages, ScoreImages, ScoreImagesByCategory, WriteScores
from transforms.records.batches import BatchLimits
from transforms.runs.ledger import read_ledger

Bundles = Callable[[str], Path]
FPR = 0.05  # of the bundles
ORIENTATION_TAG = 0x0112
GOOD, DEFECTS = 60, 20
UNMASKED = ("line/0", "square/3")  # of the records of defects
OTHERWISE = {"maps": "flagged", "fpr": 0.3, "primary": "typicality"}
KINDS = {"square": (slice(0, 3), slice(0, 3)), "line": (slice(7, 8), slice(1, 8))}


class _Data(NamedTuple):
    images: Path
    masks: Path


def _digits() -> np.ndarray:
    """Normal records: the bundle is trained on all digits except zeros."""
    digits = load_digits()
    return (digits.images[digits.target != 0] * 15).astype(np.uint8)


def _save(path: Path, pixels: np.ndarray, orientation: int = 1) -> None:
    """Upright pixels, rotated as stored in a file of this orientation: 1 or 6."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if orientation == 1:
        Image.fromarray(pixels).save(path)  # a plain PNG
        return
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    Image.fromarray(np.rot90(pixels)).save(path, exif=exif)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> _Data:
    """Digits in `good`; in `square` and `line`, digits with a white defect, of which every second
    one is rotated and three times as large. Their masks follow the rows of the files."""

    def make(folder: Path) -> None:
        digits = iter(_digits())
        for number in range(GOOD):
            _save(folder / "images" / "good" / f"{number}.png", next(digits))
        for kind, place in KINDS.items():
            for number in range(DEFECTS):
                pixels, mask = next(digits).copy(), np.zeros((8, 8), np.uint8)
                pixels[place] = mask[place] = 255
                orientation = 6 if number % 2 else 1
                if number % 2:
                    pixels, mask = (np.kron(a, np.ones((3, 3), np.uint8)) for a in (pixels, mask))
                _save(folder / "images" / kind / f"{number}.png", pixels, orientation)
                if f"{kind}/{number}" not in UNMASKED:
                    stored = np.rot90(mask) if number % 2 else mask
                    _save(folder / "masks" / kind / f"{number}_mask.png", stored)

    folder = made_once(tmp_path_factory, "images-with-defects", make)
    return _Data(folder / "images", folder / "masks")


@pytest.fixture(scope="module")
def scored(
    data: _Data, bundle: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A function that returns the folder of a finished run over the images, made once per set of
    options. Tests that change it make a copy first."""

    def get(**options: Any) -> Path:
        def make(folder: Path) -> None:
            score([str(data.images)], str(bundle("ae")), str(folder), **options)

        name = "-".join(f"{key}={value}" for key, value in sorted(options.items()))
        return made_once(tmp_path_factory, f"run-with-defects-{name}", make)

    return get


def _table(run: Path, kind: str) -> pa.Table:
    """All rows of a kind, in a fixed order."""
    table = pq.read_table(run / kind)
    order = ["id", "y", "x"] if kind == "regions" else ["id"]
    return table.sort_by([(name, "ascending") for name in order])


def _maps(run: Path) -> dict[str, np.ndarray]:
    return {
        row["id"]: np.array(row["map"], np.float32).reshape(row["map_height"], row["map_width"])
        for row in _table(run, "maps").to_pylist()
    }


def _peak_p_values(model: Path, peaks: np.ndarray) -> np.ndarray:
    held_out = pq.read_table(model / "calibration.parquet")["score_map_peak"].to_numpy()
    return (1 + (held_out[None] >= peaks[:, None]).sum(1)) / (len(held_out) + 1)


# What a run contains.


def test_regions_and_maps_are_in_the_ledger(scored: Callable[..., Path]) -> None:
    run = scored(maps="all")
    ledger = read_ledger(str(run))
    assert ledger["maps_of"] == "all"
    assert ledger["maps"] == ledger["records"]["scored"] == GOOD + 2 * DEFECTS
    assert ledger["regions"] > DEFECTS
    files = {file["path"]: file for file in ledger["files"]}
    for kind in ("regions", "maps"):
        paths = sorted((run / kind).iterdir())
        listed = [name for name in files if name.startswith(f"{kind}/")]
        assert [f"{kind}/{path.name}" for path in paths] == sorted(listed) != []
        for path in paths:
            file = files[f"{kind}/{path.name}"]
            assert file["rows"] == pq.read_metadata(path).num_rows
            assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sum(files[name]["rows"] for name in listed) == ledger[kind]
    assert set(_maps(run)) == set(_table(run, "scores")["id"].to_pylist())


def test_the_records_with_a_region_are_those_whose_peak_is_rare(
    scored: Callable[..., Path], bundle: Bundles
) -> None:
    for options, fpr in (({}, FPR), ({"fpr": 0.3}, 0.3)):
        run = scored(maps="all", **options)
        scores, regions = _table(run, "scores"), _table(run, "regions")
        assert max(regions["p_value"].to_pylist()) <= fpr
        peaks = dict(
            zip(scores["id"].to_pylist(), scores["score_map_peak"].to_numpy(), strict=True)
        )
        p_values = _peak_p_values(bundle("ae"), np.array(list(peaks.values())))
        rare = {id_ for id_, p_value in zip(peaks, p_values, strict=True) if p_value <= fpr}
        found: dict[str, float] = {}
        for row in regions.to_pylist():
            found[row["id"]] = max(found.get(row["id"], 0.0), row["peak"])
        assert set(found) == rare
        assert 0 < len(rare) < len(peaks)
        assert found == {id_: peaks[id_] for id_ in rare}
        own = _peak_p_values(bundle("ae"), regions["peak"].to_numpy())
        np.testing.assert_array_equal(regions["p_value"], own)


def test_regions_lie_where_the_defects_are_in_the_files(
    scored: Callable[..., Path], data: _Data
) -> None:
    """Also in rotated images, whose defect is in another corner of the file."""
    hits: dict[tuple[str, int], list[bool]] = {}
    for row in _table(scored(maps="all"), "regions").to_pylist():
        with Image.open(data.images / row["id"]) as image:
            assert (row["image_width"], row["image_height"]) == image.size
            assert row["orientation"] == image.getexif().get(ORIENTATION_TAG, 1)
        assert 0 <= row["x"] < row["x"] + row["width"] <= row["image_width"]
        assert 0 <= row["y"] < row["y"] + row["height"] <= row["image_height"]
        path = data.masks / row["id"].replace(".png", "_mask.png")
        if path.exists():
            with Image.open(path) as image:
                mask = np.asarray(image) > 0
            box = mask[row["y"] : row["y"] + row["height"], row["x"] : row["x"] + row["width"]]
            hits.setdefault((row["label"], row["orientation"]), []).append(bool(box.any()))
    assert set(hits) == {(kind, orientation) for kind in KINDS for orientation in (1, 6)}
    for found in hits.values():
        assert np.mean(found) > 0.5


def test_a_maps_greatest_value_is_its_records_peak(scored: Callable[..., Path]) -> None:
    run = scored(maps="all")
    maps, scores = _maps(run), _table(run, "scores")
    for id_, peak in zip(scores["id"].to_pylist(), scores["score_map_peak"], strict=True):
        assert maps[id_].shape == (8, 8)
        assert maps[id_].max() == np.float16(peak.as_py())
    for row in _table(run, "maps").to_pylist():
        by = 3 if row["orientation"] == 6 else 1
        assert (row["scale_x"], row["scale_y"]) == (by, by)
        assert row["image_width"] == row["map_width"] * by


def test_a_record_has_the_same_map_whatever_it_is_scored_with(
    scored: Callable[..., Path], data: _Data, bundle: Bundles, tmp_path: Path
) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadImages(str(data.images), limits=BatchLimits(rows=7))
        read | ScoreImages(str(bundle("ae")), maps="all") | WriteScores(str(tmp_path / "few"))
    turned = tmp_path / "images"  # in another order
    names = sorted(str(path.relative_to(data.images)) for path in data.images.rglob("*.png"))
    for number, name in enumerate(reversed(names)):
        (turned / "all").mkdir(parents=True, exist_ok=True)
        shutil.copy(data.images / name, turned / "all" / f"{number:03d}.png")
    score([str(turned)], str(bundle("ae")), str(tmp_path / "turned"), maps="all")
    run = scored(maps="all")
    for kind in ("scores", "regions", "maps"):
        assert _table(tmp_path / "few", kind).equals(_table(run, kind))
    one, other = _maps(run), _maps(tmp_path / "turned")
    for number, name in enumerate(reversed(names)):
        assert one[name].tobytes() == other[f"all/{number:03d}.png"].tobytes()


def test_flagged_keeps_the_maps_of_records_that_are_flagged_or_have_a_region(
    scored: Callable[..., Path],
) -> None:
    """Flags use a different score than regions, so that many records have only one of them."""
    run, whole = scored(**OTHERWISE), scored(maps="all", fpr=0.3)
    scores = _table(run, "scores").to_pylist()
    flagged = {row["id"] for row in scores if row["is_anomaly"]}
    with_region = set(_table(run, "regions")["id"].to_pylist())
    assert flagged - with_region
    assert with_region - flagged
    kept = _maps(run)
    assert set(kept) == flagged | with_region != {row["id"] for row in scores}
    assert read_ledger(str(run))["maps"] == len(kept)
    for id_, own in _maps(whole).items():
        assert id_ not in kept or kept[id_].tobytes() == own.tobytes()
    assert _table(run, "regions").equals(_table(whole, "regions"))


def test_without_the_flag_there_are_regions_alone(scored: Callable[..., Path]) -> None:
    run = scored()
    assert not (run / "maps").exists()
    ledger = read_ledger(str(run))
    assert ledger["maps_of"] is None
    assert "maps" not in ledger
    for kind in ("scores", "regions"):
        assert _table(run, kind).equals(_table(scored(maps="all"), kind))


def test_where_no_peak_is_rare_enough_there_is_no_region(
    scored: Callable[..., Path], data: _Data
) -> None:
    run = scored(maps="flagged", fpr=0.001)
    ledger = read_ledger(str(run))
    assert (ledger["regions"], ledger["maps"]) == (0, 0)
    assert list((run / "regions").iterdir()) == list((run / "maps").iterdir()) == []
    assert verify(str(run), [str(data.images)])["ok"]


def test_portable_schema_has_plain_lists_and_doubles(scored: Callable[..., Path]) -> None:
    run, own = scored(maps="all", portable_schema=True), scored(maps="all")
    maps, regions = _table(run, "maps"), _table(run, "regions")
    assert maps.schema.field("map").type == pa.list_(pa.float32())
    for table, names in ((maps, ["scale_x", "scale_y"]), (regions, ["peak", "mean", "p_value"])):
        assert {table.schema.field(name).type for name in names} == {pa.float64()}
        assert table.schema.field("model").type == pa.string()
    assert maps.to_pylist() == _table(own, "maps").to_pylist()
    assert regions.to_pylist() == _table(own, "regions").to_pylist()


@pytest.mark.parametrize("portable", [False, True])
def test_duckdb_reads_regions_and_maps(scored: Callable[..., Path], portable: bool) -> None:
    run = scored(maps="all", portable_schema=True) if portable else scored(maps="all")
    with duckdb.connect() as connection:
        large = connection.execute(
            "select id, x, y, width, height, p_value from read_parquet(?) "
            "where greatest(width, height) > 4 order by p_value, id, y, x",
            [f"{run}/regions/*.parquet"],
        ).fetchall()
        greatest = connection.execute(
            "select m.id, list_max(m.map), s.score_map_peak, len(m.map) from read_parquet(?) m "
            "join read_parquet(?) s using (id)",
            [f"{run}/maps/*.parquet", f"{run}/scores/*.parquet"],
        ).fetchall()
    rows = _table(run, "regions").to_pylist()
    expected = [row for row in rows if max(row["width"], row["height"]) > 4]
    assert sorted(row[:5] for row in large) == sorted(
        (row["id"], row["x"], row["y"], row["width"], row["height"]) for row in expected
    )
    assert 0 < len(large) < len(rows)
    assert len(greatest) == GOOD + 2 * DEFECTS
    for _, in_map, peak, places in greatest:
        assert in_map == pytest.approx(peak, rel=1e-3)
        assert places == 64


def test_scoring_by_category_finds_no_regions(
    scored: Callable[..., Path], data: _Data, bundle: Bundles, tmp_path: Path
) -> None:
    bundles = {label: str(bundle("ae")) for label in ("good", *KINDS)}
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadImages(str(data.images))
        read | ScoreImagesByCategory(bundles, "label") | WriteScores(str(tmp_path / "run"))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"_SUCCESS", "run.json", "scores", "rejects", "passed_over"}
    assert not {"regions", "maps"} & set(read_ledger(str(tmp_path / "run")))
    assert _table(tmp_path / "run", "scores").equals(_table(scored(), "scores"))


# What is refused.


def _one_line(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """The message of a command that is refused."""
    found, out, err = run_command(arguments, capsys)
    assert (found, out) == (status, "")
    lines = [line for line in err.splitlines() if line.startswith("latentbeam: ")]
    assert err.splitlines()[-1:] == lines
    return lines[0]


def _score_command(data: Path, model: Path, run: Path, *more: str) -> list[str]:
    flags = ["--input", str(data), "--model", str(model), "--output", str(run)]
    return ["score", *flags, *more]


@pytest.mark.parametrize("value", ["some", "ALL", "", "maps/"])
def test_maps_are_all_or_flagged(
    data: _Data, bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    command = _score_command(data.images, bundle("ae"), tmp_path / "run", "--maps", value)
    line = _one_line(command, capsys)
    assert line.startswith("latentbeam: --maps must be all or flagged")
    assert line.endswith(f"Received: {value!r}")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def mapless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without a map."""

    def make(path: Path) -> None:
        overrides = ["model.network=dense", "model.latent_dim=6", "scoring.map=none"]
        config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
        train(["builtin:digits"], config, str(path), where=["label=1,2"])

    return made_once(tmp_path_factory, "bundle-without-map", make)


def test_a_bundle_without_a_map_tells_no_regions(
    data: _Data, mapless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    ledger = score([str(data.images)], str(mapless), str(run))
    assert ledger["records"]["scored"] == GOOD + 2 * DEFECTS
    assert not {"regions", "maps"} & set(ledger)
    assert not (run / "regions").exists()
    assert "score_map_peak" not in _table(run, "scores").column_names
    assert verify(str(run), [str(data.images)])["ok"]
    command = _score_command(data.images, mapless, tmp_path / "other", "--maps", "all")
    assert "the bundle has no anomaly map" in _one_line(command, capsys)
    assert not (tmp_path / "other").exists()
    with pytest.raises(ConfigError, match="no anomaly map"), beam.Pipeline() as pipeline:
        pipeline | ReadImages(str(data.images)) | ScoreImages(str(mapless), maps="flagged")


# Verifying.


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _add(path: Path) -> None:
    shutil.copy(path, path.with_name("part-of-another.parquet"))


_DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "changed": (_change, "{path} was changed since the run was written"),
    "removed": (Path.unlink, "cannot read {path}: "),
    "extra": (_add, "{folder}/part-of-another.parquet is not in the ledger"),
}


@pytest.mark.parametrize("kind", ["regions", "maps"])
@pytest.mark.parametrize("damage", _DAMAGE)
def test_verify_finds_files_that_are_not_as_written(
    scored: Callable[..., Path], data: _Data, tmp_path: Path, kind: str, damage: str
) -> None:
    run = shutil.copytree(scored(maps="all"), tmp_path / "run")
    assert verify(str(run), [str(data.images)])["ok"]
    (path,) = (run / kind).iterdir()
    spoil, message = _DAMAGE[damage]
    spoil(path)
    found = verify(str(run), [str(data.images)])
    (problem,) = found["problems"]
    assert not found["ok"]
    assert problem.startswith(message.format(path=path, folder=run / kind))


# Runs in parts.

PARTS, ROWS = 3, 30


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Digits in three Parquet files; the first five of each have a square, and the last two have
    no known label. Two columns have the names of columns of regions and maps."""
    folder = tmp_path / "rows"
    folder.mkdir()
    digits = _digits()
    for part in range(PARTS):
        numbers = range(part * ROWS, (part + 1) * ROWS)
        images = digits[list(numbers)].copy()
        images[:5, *KINDS["square"]] = 255
        table = pa.table(
            {
                "id": [f"r{number:03d}" for number in numbers],
                "image": list(map(_png, images)),
                "label": [*["bad"] * 5, *["good"] * (ROWS - 7), None, None],
                "width": list(numbers),
                "map": [f"m{number}" for number in numbers],
            }
        )
        pq.write_table(table, folder / f"{part}.parquet")
    return folder


def test_a_killed_run_is_gone_on_with_to_the_same_regions_and_maps(
    rows: Path, bundle: Bundles, tmp_path: Path
) -> None:
    one, run, model = tmp_path / "one", tmp_path / "run", bundle("ae")
    parts = ["--maps", "all", "--checkpoint_every", "10"]
    command = [sys.executable, "-m", "pipelines.cli"]
    kill([*command, *_score_command(rows, model, run, *parts)], lambda: parts_done(run) >= 1)
    assert 1 <= parts_done(run) < PARTS
    assert not (run / "_SUCCESS").exists()
    for other, told in (("flagged", '"flagged"'), (None, "null")):
        with pytest.raises(OutputError, match=f'--maps was "all" and is {told}'):
            score([str(rows)], str(model), str(run), maps=other, resume=True)
    ledger = score([str(rows)], str(model), str(run), maps="all", resume=True)
    assert ledger["checkpoints"] == {"every": 10, "parts": PARTS}
    whole = score([str(rows)], str(model), str(one), maps="all")
    for kind in ("scores", "regions", "maps"):
        assert _table(run, kind).equals(_table(one, kind))
        assert len(list((run / kind).iterdir())) == PARTS
    for name in ("records", "regions", "maps", "maps_of"):
        assert ledger[name] == whole[name]
    assert ledger["regions"] > 0
    assert verify(str(run), [str(rows)])["ok"]
    with pytest.raises(OutputError, match=r'finished run .* --maps was "all" and is "flagged"'):
        score([str(rows)], str(model), str(run), maps="flagged", resume=True)


def test_columns_travel_along_and_records_without_a_label_are_left_out(
    rows: Path, bundle: Bundles, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    score([str(rows)], str(bundle("ae")), str(run), maps="all")
    for row in _table(run, "regions").to_pylist():
        number = int(row["id"][1:])
        assert (row["input_width"], row["map"]) == (number, f"m{number}")
        assert row["width"] <= row["image_width"] == 8
    for row in _table(run, "maps").to_pylist():
        number = int(row["id"][1:])
        assert (row["width"], row["input_map"]) == (number, f"m{number}")
    mask = np.zeros((8, 8), np.uint8)
    mask[KINDS["square"]] = 255
    for number in range(PARTS * ROWS):  # of which most are normal, and their masks not looked at
        _save(tmp_path / "masks" / f"r{number:03d}.png", mask)
    pixels = evaluate(str(run), "label=bad", masks=str(tmp_path / "masks"))["pixels"]
    assert (pixels["images"], pixels["unlabelled"]) == (PARTS * (ROWS - 2), PARTS * 2)
    assert (pixels["anomalous"], pixels["without_mask"]) == (PARTS * 5, 0)


# Masks.

_SHARES = ("pixel_auroc", "aupro_0.3", "aupro_0.05", "aupimo")


def _enlarged(row: dict[str, Any]) -> np.ndarray:
    """A map at the size of its image, as half floats."""
    places = np.array(row["map"], np.float32).reshape(row["map_height"], row["map_width"])
    size = (row["image_width"], row["image_height"])
    image = Image.fromarray(places).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, np.float16)


def _check_measures(found: dict[str, Any], run: Path, data: _Data, kinds: set[str]) -> None:
    """Compares with scikit-learn and SciPy, for records of these kinds and all normal ones."""
    values, truth, regions, images = [], [], 0, 0
    for row in _table(run, "maps").to_pylist():
        path = data.masks / row["id"].replace(".png", "_mask.png")
        mask = np.zeros((row["image_height"], row["image_width"]), bool)
        if row["label"] in kinds and path.exists():
            with Image.open(path) as image:
                mask = np.asarray(image) > 127
            regions += ndimage.label(mask, np.ones((3, 3)))[1]
            images += 1
        elif row["label"] != "good":
            continue
        values.append(_enlarged(row).reshape(-1))
        truth.append(mask.reshape(-1))
    every, defect = np.concatenate(values), np.concatenate(truth)
    assert (found["anomalous"], found["regions"]) == (images, regions)
    assert (found["pixels"], found["anomalous_pixels"]) == (len(defect), defect.sum())
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(defect, every), abs=1e-6)
    assert 0 <= found["pixel_auroc_error"] < 0.01
    for name in _SHARES:
        assert 0 <= found[name] <= 1
    best = found["best_f1"]
    taken = every >= best["threshold"]
    assert best["precision"] == pytest.approx(defect[taken].mean())
    assert best["recall"] == pytest.approx(taken[defect].mean())
    assert best["f1"] == pytest.approx(2 / (1 / best["precision"] + 1 / best["recall"]))


def test_measures_of_pixels_by_kind(scored: Callable[..., Path], data: _Data) -> None:
    run = scored(maps="all")
    found = evaluate(str(run), "label!=good", masks=str(data.masks))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    pixels = found["pixels"]
    assert pixels["images"] == GOOD + 2 * DEFECTS - len(UNMASKED)
    assert (pixels["without_mask"], pixels["unlabelled"]) == (len(UNMASKED), 0)
    assert pixels["by"]["column"] == "label"
    assert [kind["value"] for kind in pixels["by"]["kinds"]] == ["line", "square"]
    _check_measures(pixels, run, data, set(KINDS))
    for kind in pixels["by"]["kinds"]:
        _check_measures(kind, run, data, {kind["value"]})
    assert pixels["pixel_auroc"] > 0.8  # no mask is turned another way than its map
    one = evaluate(str(run), "label=line", by="source", masks=str(data.masks))["pixels"]
    assert one["images"] == GOOD + 2 * DEFECTS - 1  # squares count as normal
    assert len(one["by"]["kinds"]) == DEFECTS - 1


def test_a_run_of_the_portable_schema_has_the_same_measures(
    scored: Callable[..., Path], data: _Data
) -> None:
    runs = [scored(maps="all"), scored(maps="all", portable_schema=True)]
    own, portable = (
        evaluate(str(run), "label!=good", masks=str(data.masks))["pixels"] for run in runs
    )
    assert own == portable


def _evaluate_command(run: Path, masks: Path, *more: str) -> list[str]:
    flags = ["--scores", str(run), "--anomalous", "label!=good", "--masks", str(masks)]
    return ["evaluate", *flags, *more]


def test_the_lines_and_the_json_have_every_kind(
    scored: Callable[..., Path], data: _Data, capsys: pytest.CaptureFixture[str]
) -> None:
    command = _evaluate_command(scored(maps="all"), data.masks)
    status, out, _ = run_command(command, capsys)
    assert status == 0
    lines = out.splitlines()
    (start,) = (n for n, line in enumerate(lines) if line.startswith("pixels: "))
    status, out, _ = run_command([*command, "--json"], capsys)
    pixels = json.loads(out)["pixels"]
    images = GOOD + 2 * DEFECTS - 2
    left_out = "; 2 anomalous records without a mask left out"
    assert lines[start] == f"pixels: {pixels['pixels']:,} of {images} images{left_out}"
    assert lines[start + 1].split()[:3] == ["label", "masks", "regions"]
    kinds = {"all": pixels, **{kind["value"]: kind for kind in pixels["by"]["kinds"]}}
    assert list(kinds) == ["all", "line", "square"]
    for (name, kind), line in zip(kinds.items(), lines[start + 2 : start + 5], strict=True):
        shares = [f"{kind[share]:.4f}" for share in _SHARES]
        best = [f"{kind['best_f1']['f1']:.4f}", f"{kind['best_f1']['threshold']:.4g}"]
        counts = [str(kind["anomalous"]), str(kind["regions"])]
        assert line.split() == [name, *counts, *shares, *best]
    assert lines[start + 5].startswith(
        "AUPRO is up to the false-positive rate given; AUPIMO at rates of 1e-05"
    )


@pytest.mark.parametrize("maps", [None, "flagged"])
def test_a_run_without_all_maps_is_refused(
    scored: Callable[..., Path],
    data: _Data,
    capsys: pytest.CaptureFixture[str],
    maps: str | None,
) -> None:
    run = scored(**OTHERWISE) if maps else scored()
    line = _one_line(_evaluate_command(run, data.masks), capsys)
    assert line == f"latentbeam: {run} lacks the maps of some records: score with --maps all"


def test_masks_that_do_not_fit_are_refused(
    scored: Callable[..., Path], data: _Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, masks = scored(maps="all"), tmp_path / "masks"
    shutil.copytree(data.masks, masks)
    path = masks / "square" / "4_mask.png"
    _save(path, np.full((9, 8), 255, np.uint8))
    line = _one_line(_evaluate_command(run, masks), capsys)
    told = f"the mask {path} is 9 x 8 (height x width), but the image square/4.png is 8 x 8"
    assert line == f"latentbeam: {told}"
    _save(path, np.ones((8, 8), np.uint8))
    assert "its greatest level is 1" in _one_line(_evaluate_command(run, masks), capsys)
    path.write_bytes(b"no image")
    assert f"cannot read the mask {path}: " in _one_line(_evaluate_command(run, masks), capsys)
    path.unlink()
    found = evaluate(str(run), "label!=good", masks=str(masks))["pixels"]
    assert found["without_mask"] == len(UNMASKED) + 1


def test_masks_of_other_records_are_refused(
    scored: Callable[..., Path], data: _Data, tmp_path: Path
) -> None:
    run = str(scored(maps="all"))
    with pytest.raises(InputError, match="contains no masks"):
        evaluate(run, "label!=good", masks=str(tmp_path))
    with pytest.raises(
        InputError, match=r"square contains no mask for any anomalous record of .*line"
    ):
        evaluate(run, "label=line", masks=str(data.masks / "square"))
