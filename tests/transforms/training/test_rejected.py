"""Messages before training about records that it cannot use."""

from pathlib import Path

import pytest
from PIL import Image

from tests.support.command import run_command
from transforms.records.batches import image_records
from transforms.records.rejects import Reason, Stage, reject_rows
from transforms.records.rejects import reject as reject_value
from transforms.runs.shards import Shard, ShardLimits, ShardWriter
from transforms.training.rejected import rejected_advice


def _shards(folder: Path, used: int, *rejected: tuple[Reason, str]) -> list[Shard]:
    values = [reject_value(Stage.DECODE, reason, message) for reason, message in rejected]
    ids = [f"r{number}" for number in range(len(values))]
    batch = image_records(ids, "source", [None] * len(values), rejects=values)
    writer = ShardWriter(str(folder), "rejects", ShardLimits())
    writer.add(reject_rows(batch))
    return [*writer.close(), Shard("train", "not read", used, "", {})]


def test_kinds_of_images_are_counted_and_what_makes_them_one_is_said(tmp_path: Path) -> None:
    colour = (Reason.WRONG_CHANNELS, "3 channels, not 1")
    alpha = (Reason.WRONG_CHANNELS, "2 channels, not 1")
    corrupt = (Reason.CORRUPT, "3 channels, not 1")
    advice = rejected_advice(_shards(tmp_path, 5000, colour, colour, alpha, corrupt))
    assert advice == (
        "4 of 5,004 records were rejected: 1 corrupt, 3 wrong_channels; 5,000 grey images are "
        "used, 2 colour, 1 grey with alpha are not: to use them all, give --set "
        "image.convert=true, and --set image.channels=1 for grey or 3 for colour"
    )


def test_of_other_rejects_the_reasons_are_said(tmp_path: Path) -> None:
    advice = rejected_advice(_shards(tmp_path, 3, (Reason.CORRUPT, "PNG: broken")))
    assert advice == "1 of 4 records were rejected: 1 corrupt"


def test_of_no_rejects_nothing_is_said() -> None:
    assert rejected_advice([Shard("train", "not read", 9, "", {})]) is None


@pytest.mark.slow
def test_train_says_it_as_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(40):
        mode = "L" if number % 2 else "RGB"
        Image.new(mode, (8, 8)).save(images / f"{number:02}.png")
    arguments = ["train", "--input", str(images), "--model", "ae", "--output", str(tmp_path / "b")]
    status, _, err = run_command([*arguments, "--epochs", "1"], capsys)
    assert status == 2
    last = err.splitlines()[-1]
    assert last.startswith("latentbeam: too few records to train on: 20. At least 24 are needed")
    assert (
        "20 colour images are used, 20 grey are not: to use them all, give --set "
        "image.convert=true" in last
    )
