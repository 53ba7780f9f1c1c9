"""Records of one group: the column that identifies it, and staying on one side of a split."""

import datetime
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from ae_models.config.configuration import Configuration, ImageConfig, TrainingConfig
from ae_models.config.model import AutoencoderConfig, DenoisingConfig
from ae_models.errors import ConfigError, InputError
from ae_models.training.splits import SPLITS
from pipelines.training.records import Records, read_records
from tests.support.command import run_command
from transforms.records.batches import image_records
from transforms.sources import ReadOptions
from transforms.training.groups import check_group, group_column, group_texts

_IMAGE = ImageConfig(8, 8, 1, 8)
_NUMBERS = 300


def _png(number: int) -> bytes:
    """An image that encodes its number."""
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0, :2] = divmod(number, 250)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _numbers(images: np.ndarray) -> list[int]:
    return (images[:, 0, 0, 0].astype(int) * 250 + images[:, 0, 1, 0]).tolist()


def _write(path: Path, **columns: Any) -> None:
    ids = [f"r{number}" for number in range(_NUMBERS)]
    images = [_png(number) for number in range(_NUMBERS)]
    pq.write_table(pa.table({"id": ids, "image": images, **columns}), path, row_group_size=77)


def _read(path: Path, work: Path, group: str, model: Any = None) -> Records:
    training = TrainingConfig(group=group)
    config = Configuration(model or AutoencoderConfig(), _IMAGE, training=training)
    work.mkdir()
    options = PipelineOptions(runner="FnApiRunner")
    return read_records([str(path)], [], ReadOptions(), config, options, work)


def _held(records: Records) -> dict[str, list[int]]:
    return {
        split: _numbers(store.read(0, len(store)))
        for split, store in records.stores.items()
        if split in SPLITS
    }


@pytest.mark.parametrize("pairs", [False, True], ids=["images", "pairs"])
def test_records_of_one_value_stay_on_one_side(tmp_path: Path, pairs: bool) -> None:
    values: list[int | None] = [number // 10 for number in range(_NUMBERS)]
    values[290:] = [None] * 10
    targets = [_png(_NUMBERS - number) for number in range(_NUMBERS)]
    # For pairs, an input column may have the same name as the decoded target.
    columns = {"group": targets, "target": values} if pairs else {"group": values}
    _write(tmp_path / "parts.parquet", **columns)
    model = DenoisingConfig(target="group") if pairs else None
    group = "target" if pairs else "group"
    records = _read(tmp_path / "parts.parquet", tmp_path / "a", group, model)
    held = _held(records)
    assert sorted(itertools.chain(*held.values())) == list(range(_NUMBERS))
    sides = {
        split: {number // 10 for number in numbers if number < 290}
        for split, numbers in held.items()
    }
    assert sum(map(len, sides.values())) == 29
    assert min(map(len, sides.values())) >= 2
    singles = {split: sum(number >= 290 for number in numbers) for split, numbers in held.items()}
    assert records.facts["groups"] == {
        split: len(sides[split]) + singles[split] for split in SPLITS
    }
    assert len(held["calibration"]) >= 99
    names = [i for ids, _ in records.calibration(7) for i in ids]
    assert names == [f"r{number}" for number in held["calibration"]]
    if pairs:
        store = records.stores["train"].targets
        assert store is not None
        assert _numbers(store.read(0, 999)) == [_NUMBERS - number for number in held["train"]]
    else:  # for every type of the column
        texts = [None if value is None else str(value) for value in values]
        _write(tmp_path / "texts.parquet", name=texts)
        assert _held(_read(tmp_path / "texts.parquet", tmp_path / "b", "name")) == held


def test_files_may_be_groups(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for video in range(12):
        frames = range(video * 25, video * 25 + 25)
        columns = {"id": [f"r{n}" for n in frames], "image": [_png(n) for n in frames]}
        pq.write_table(pa.table(columns), folder / f"{video}.parquet")
    held = _held(_read(folder, tmp_path / "work", "source"))
    videos = {split: {number // 25 for number in numbers} for split, numbers in held.items()}
    assert sum(map(len, videos.values())) == 12
    assert {split: len(numbers) for split, numbers in held.items()} == {
        "validation": 50,
        "calibration": 100,
        "train": 150,
    }


def test_values_become_text_and_none_is_a_group_of_its_own() -> None:
    def texts(values: pa.Array) -> list[str]:
        ids = [f"r{number}" for number in range(len(values))]
        batch = image_records(ids, "file", [b""] * len(values), carried={"part": values})
        return group_texts(batch, "part").to_pylist()

    assert texts(pa.array([7, None, 7])) == ["7", "r1", "7"]
    assert texts(pa.array([1.5, float("nan"), None])) == ["1.5", "r1", "r2"]
    assert texts(pa.array(["a", None, "a"]).dictionary_encode()) == ["a", "r1", "a"]
    assert texts(pa.array([datetime.date(2024, 2, 29)])) == ["2024-02-29"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "vido",
            "the inputs have no column 'vido'; known: video, frame, boxes, input_score, source",
        ),
        ("id", "no column 'id'"),
        ("boxes", "'boxes' must contain text, numbers or times. Received: list<item: double>"),
        ("frame", "'frame' must contain text, numbers or times. Received: binary"),
    ],
)
def test_a_column_that_tells_no_groups_is_refused(column: str, message: str) -> None:
    fields = [("video", pa.dictionary(pa.int32(), pa.string())), ("frame", pa.binary())]
    carried = pa.schema([*fields, ("boxes", pa.list_(pa.float64())), ("input_score", pa.int64())])
    for known in ("video", "score", "source"):
        check_group(carried, known)
    assert group_column("score") == "input_score"
    with pytest.raises(ConfigError, match=f"training.group: .*{message}"):
        check_group(carried, column)


def test_two_groups_are_too_few(tmp_path: Path) -> None:
    _write(tmp_path / "two.parquet", part=[number % 2 for number in range(_NUMBERS)])
    with pytest.raises(InputError, match=r"too few values of 'part': 2\. At least 3 are needed"):
        _read(tmp_path / "two.parquet", tmp_path / "work", "part")


def test_large_groups_are_told(tmp_path: Path) -> None:
    _write(tmp_path / "three.parquet", part=[number % 3 for number in range(_NUMBERS)])
    advice = _read(tmp_path / "three.parquet", tmp_path / "work", "part").advice
    assert any("100 train, not 171, 100 validation, not 30, 100 cal" in line for line in advice)


@pytest.mark.slow
def test_the_command_keeps_groups_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path / "parts.parquet", part=[number // 5 for number in range(_NUMBERS)])
    arguments = ["train", "--input", str(tmp_path / "parts.parquet"), "--model", "ae"]
    arguments += ["--output", str(tmp_path / "m"), "--epochs", "1", "--set", "model.network=dense"]
    status, _, err = run_command([*arguments, "--set", "training.group=parts"], capsys)
    assert (status, err.splitlines()[-1]) == (
        2,
        "latentbeam: training.group: the inputs have no column 'parts'; known: part, source",
    )
    status, _, err = run_command([*arguments, "--set", "training.group=part"], capsys)
    assert status == 0
    assert "records: 170 of 34 groups train, 30 of 6 groups validate, 100 of 20 groups cal" in err
    training = json.loads((tmp_path / "m" / "manifest.json").read_text())["training"]
    assert training["groups"] == {"train": 34, "validation": 6, "calibration": 20}
    assert set(training["copies"]) == {"calibration", "validation"}
    card = (tmp_path / "m" / "model_card.md").read_text()
    assert "- Groups, by `part`, each in one split: 34 train, 6 validation, 20 cal" in card
    assert "Records within a group are alike, which widens that range." in card
