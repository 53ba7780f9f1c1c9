"""The scoreboard's arithmetic: stored rows, the page, controls, synthetic anomalies."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_models.assessment.made_anomalies import ANOMALIES
from benchmarks.scoreboard import (
    class_probabilities,
    denoising,
    likelihood,
    one_class,
    out_of_distribution,
    photographs,
    primary,
    validity,
)
from benchmarks.scoreboard.controls import CONTROLS, png_lengths
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.denoising import psnr
from benchmarks.scoreboard.one_class import auroc
from benchmarks.scoreboard.rows import ResultFile, Row, finished_repetitions
from benchmarks.scoreboard.table import scoreboard
from benchmarks.scoreboard.training import split
from benchmarks.scoreboard.validity import interval

TASKS = (
    primary,
    one_class,
    out_of_distribution,
    photographs,
    denoising,
    likelihood,
    class_probabilities,
    validity,
)


def _row(name: str, case: str, seed: int, value: float, **more: float) -> Row:
    return Row("task", name, case, seed, "settings", lambda: {"AUROC": value, **more})


def test_a_finished_row_is_kept_and_known_again(tmp_path: Path) -> None:
    row = _row("model", "a", 0, 90.0)
    measured = ResultFile(tmp_path / "new" / "results.jsonl").measure(row)
    (kept,) = ResultFile(tmp_path / "new" / "results.jsonl")
    assert kept == measured
    assert kept.key == row.key
    assert kept.figures == {"AUROC": 90.0}
    assert kept.key != _row("model", "a", 1, 90.0).key


def test_a_mean_over_some_of_the_classes_is_no_figure(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "results.jsonl")
    rows = [_row("model", case, seed, 90.0) for seed in (0, 1) for case in "ab"]
    for row in rows[:3]:
        file.measure(row)
    found = finished_repetitions(rows, file)
    assert [(result.case, result.seed) for result in found] == [("a", 0), ("b", 0)]
    file.measure(rows[3])
    assert len(finished_repetitions(rows, file)) == 4


def test_a_row_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> Mapping[str, float]:
        raise ValueError("no")

    file = ResultFile(tmp_path / "results.jsonl")
    with pytest.raises(ValueError, match="no"):
        file.measure(Row("task", "model", "a", 0, "", fails))
    assert not list(file)


def test_the_page_averages_over_cases_then_over_seeds(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "results.jsonl")
    rows = [_row("control", "a", 0, 50.0), _row("control", "b", 0, 70.0)]
    for seed, values in enumerate([(80.0, 90.0), (84.0, 94.0)]):
        rows += [
            _row("model", case, seed, value, other=1.0)
            for case, value in zip("ab", values, strict=True)
        ]
    page = scoreboard([file.measure(row) for row in rows], {"task": "What it is."})
    assert "## task\n\nWhat it is." in page
    assert "| control | 60 | a, b | 1 | 0 | settings |" in page
    assert "| model | 87 ± 2.8 | a, b | 2 | 0 | settings |" in page  # sqrt(8) of 85 and 89
    assert "| AUROC by case | a | b |\n| --- | --- | --- |\n| control | 50 | 70 |" in page
    assert "| model | 1 ± 0 |" in page, "a figure that only some have stands in a second table"


def test_figures_may_be_other_ones_for_each_case(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "results.jsonl")
    rows = [
        Row("task", "model", case, 0, "settings", lambda figure=figure: {figure: 1.5})
        for case, figure in (("a", "of a"), ("b", "of b"))
    ]
    page = scoreboard([file.measure(row) for row in rows], {"task": ""})
    assert "| row | of a | of b |\n| --- | --- | --- |\n| model | 1.5 | 1.5 |" in page


@pytest.mark.parametrize("task", TASKS)
def test_every_row_has_a_note_and_a_key_of_its_own(task: object, tmp_path: Path) -> None:
    rows = list(task.rows(Data(tmp_path)))  # type: ignore[attr-defined]
    assert rows
    assert len({row.key for row in rows}) == len(rows)
    assert {row.task for row in rows} <= set(task.NOTES)  # type: ignore[attr-defined]


def test_another_file_than_the_scoreboards_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((1, 28, 28), np.uint8))
    with pytest.raises(ValueError, match="differs from the scoreboard's file: sha256"):
        _ = Data(tmp_path).mnist


@pytest.mark.parametrize("name", sorted(ANOMALIES))
def test_made_anomalies_are_images_that_differ(name: str, generator: np.random.Generator) -> None:
    images = generator.integers(0, 256, (12, 9, 8, 3), np.uint8)
    original = images.copy()
    changed = ANOMALIES[name](images, generator)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(images, original)
    assert np.all(np.any(changed != images, axis=(1, 2, 3)))


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_controls_find_what_is_far_from_the_normal(
    name: str, generator: np.random.Generator
) -> None:
    base = generator.integers(0, 256, (1, 12, 12, 1))
    noise = generator.integers(-9, 10, (140, 12, 12, 1))
    normal = np.clip(base + noise, 0, 255).astype(np.uint8)
    far = np.zeros((20, 12, 12, 1), np.uint8)
    far[:, ::2] = 255
    score = CONTROLS[name](normal[:100])
    assert auroc(score(normal[100:]), score(far)) == 100.0


def test_file_size_is_the_length_of_a_png(generator: np.random.Generator) -> None:
    images = generator.integers(0, 256, (3, 9, 8, 3), np.uint8)
    expected = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        expected.append(len(buffer.getvalue()))
    assert png_lengths(images).tolist() == expected


def test_psnr_is_the_decibels_of_the_mean_squared_error() -> None:
    clean = np.zeros((2, 4, 4, 1), np.float32)
    assert np.isclose(psnr(clean, clean + 0.1), 20.0, atol=1e-5)


def test_a_split_takes_each_record_once() -> None:
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    parts = split(images, seed=3)
    sizes = [len(part) for part in (parts.train, parts.validation, parts.calibration)]
    assert sizes == [40, 5, 5]
    together = np.concatenate([parts.train, parts.validation, parts.calibration]).ravel()
    assert sorted(together) == list(range(50))
    np.testing.assert_array_equal(parts.train, split(images, seed=3).train)


def test_the_interval_is_that_of_two_thousand_records() -> None:
    low, high = interval(0.05)
    assert 0.035 < low < 0.05 < high < 0.065
