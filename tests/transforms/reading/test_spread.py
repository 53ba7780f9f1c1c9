"""The sample of an input: from all over it, the same each time, and bounded."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

import transforms.reading.spread as module
from ae_models.errors import InputError
from transforms.reading.probe import survey_images
from transforms.reading.read import common_carried
from transforms.reading.spread import Spread, spread_order
from transforms.records.batches import ID
from transforms.records.where import Where
from transforms.sources import ReadOptions, resolve_inputs
from transforms.sources.image_files import ImageFiles

LIMIT = 1 << 26


def _sampled(
    inputs: Sequence[Path], count: int, wheres: Sequence[str] = ()
) -> tuple[list[str], int | None]:
    sources = resolve_inputs([str(path) for path in inputs])
    parsed = [Where.parse(text) for text in wheres]
    batches, total = Spread(sources, common_carried(sources), parsed, count).read()
    return [name for batch in batches for name in batch.column(ID).to_pylist()], total


def _numbers(names: Sequence[str]) -> list[int]:
    return [int(Path(name).stem) for name in names]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """1,000 empty files in ten folders, in the order of their numbers."""
    for number in range(1000):
        path = tmp_path / "in" / f"class{number // 100}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
    return tmp_path / "in"


@given(st.integers(0, 300))
def test_an_order_is_of_all_numbers(count: int) -> None:
    assert sorted(spread_order(count)) == list(range(count))


@given(st.integers(4, 300), st.data())
def test_every_beginning_of_the_order_lies_all_over(count: int, data: st.DataObject) -> None:
    """With k numbers taken, no gap is longer than four times the gap at equal distances."""
    taken = data.draw(st.integers(2, count))
    found = np.sort(spread_order(count)[:taken])
    gaps = np.diff([-1, *found, count])
    assert gaps.max() <= 4 * (count / taken + 1)


def test_files_lie_at_equal_distances(files: Path) -> None:
    names, total = _sampled([files], 100)
    assert total == 1000
    assert sorted(_numbers(names)) == list(range(5, 1000, 10))
    assert _sampled([files], 100)[0] == names


def test_all_files_where_there_are_no_more(files: Path) -> None:
    assert sorted(_numbers(_sampled([files], 1000)[0])) == list(range(1000))
    assert sorted(_numbers(_sampled([files], 5000)[0])) == list(range(1000))


def test_files_of_several_inputs_lie_at_equal_distances_in_all_of_them(files: Path) -> None:
    names, total = _sampled([files / "class0", files / "class3", files / "class9"], 30)
    assert total == 300
    firsts = (0, 300, 900)
    assert sorted(_numbers(names)) == [
        n for first in firsts for n in range(first + 5, first + 100, 10)
    ]


def test_files_of_many_tasks_lie_at_equal_distances(files: Path) -> None:
    sources = [ImageFiles(str(files), str(files), task_paths=7)]
    batches, _ = Spread(sources, common_carried(sources), [], 100).read()
    names = [name for batch in batches for name in batch.column(ID).to_pylist()]
    assert sorted(_numbers(names)) == list(range(5, 1000, 10))


def test_conditions_choose_before_places_do(files: Path) -> None:
    names, total = _sampled([files], 20, ["label=class2,class7"])
    assert total == 200
    assert sorted(_numbers(names)) == [*range(205, 300, 10), *range(705, 800, 10)]
    assert _sampled([files], 20, ["label=class2", "label=class7"]) == ([], 0)


def test_bytes_end_a_sample_that_is_spread_still(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 40_000)
    numbers = _numbers(_sampled([files], 1000)[0])
    assert 300 <= len(numbers) < 1000
    assert stats.kstest(numbers, "uniform", args=(0, 1000)).pvalue > 0.01


def test_of_more_tasks_than_can_be_told_apart_the_number_is_not_known(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_TASKS", 1)
    sources = [ImageFiles(str(files), str(files), task_paths=100)]
    batches, total = Spread(sources, common_carried(sources), [], 10).read()
    names = [name for batch in batches for name in batch.column(ID).to_pylist()]
    assert total is None
    assert len(names) == 10
    assert max(_numbers(names)) < 100


def _shards(folder: Path, shards: int, rows: int) -> None:
    """Encoded images in Parquet, with ids in order and a column `odd`, true in one of 50 rows."""
    folder.mkdir()
    numbers = np.arange(shards * rows).reshape(shards, rows)
    for shard, own in enumerate(numbers):
        columns = {
            "id": [f"{n}.x" for n in own],
            "image": [b"x"] * rows,
            "odd": pa.array(own % 50 == 49),
        }
        pq.write_table(pa.table(columns), folder / f"{shard:03}.parquet")


def test_shards_give_their_first_records(tmp_path: Path) -> None:
    _shards(tmp_path / "in", 64, 30)
    names, total = _sampled([tmp_path / "in"], 320)
    assert total == 64 * 30
    taken = np.array(_numbers(names))
    shards, counts = np.unique(taken // 30, return_counts=True)
    assert list(shards) == list(range(0, 64, 2))
    assert set(counts) == {10}
    assert (taken % 30 < 10).all()


def test_small_shards_are_made_up_for(tmp_path: Path) -> None:
    _shards(tmp_path / "in", 100, 3)
    names, _ = _sampled([tmp_path / "in"], 200)
    assert len(set(names)) == len(names) == 200


def test_a_bounded_number_of_records_is_read_for_few_that_meet_the_condition(
    tmp_path: Path,
) -> None:
    _shards(tmp_path / "in", 40, 400)
    names, total = _sampled([tmp_path / "in"], 100, ["odd=true"])
    assert total is None
    assert 1 <= len(names) <= 16 * 2  # of about 800 records, plus a batch from each shard


def test_where_the_sample_has_no_image_all_records_are_looked_at(tmp_path: Path) -> None:
    """One row in 400: the sample misses it."""
    rows = 20_000
    image = tmp_path / "good.png"
    Image.new("L", (6, 5)).save(image)
    images = [b""] * rows
    images[-1] = image.read_bytes()
    good = [False] * (rows - 1) + [True]
    pq.write_table(pa.table({"image": images, "good": good}), tmp_path / "a.parquet")
    sources = resolve_inputs([str(tmp_path / "a.parquet")])
    for wheres in ([], [Where.parse("good=true")]):
        (found,) = survey_images(sources, wheres, LIMIT).images
        assert (found.height, found.width, *found.kind) == (5, 6, 1, 8)


def test_files_and_shards_share_the_sample(files: Path, tmp_path: Path) -> None:
    _shards(tmp_path / "shards", 4, 500)
    names, total = _sampled([files, tmp_path / "shards"], 100)
    assert total == 3000
    assert sum(name.endswith(".png") for name in names) == 50
    assert len(names) == 100


def test_mixed_folders_are_seen_as_they_are(tmp_path: Path) -> None:
    """Sorted by class, with the first half grey: reading only the beginning would not suffice."""
    for number in range(40):
        path = tmp_path / ("a" if number < 20 else "b") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L" if number < 16 else "RGB", (9, 7)).save(path)
    (tmp_path / "a" / "broken.png").write_bytes(path.read_bytes()[:40])
    survey = survey_images(resolve_inputs([str(tmp_path)], ReadOptions()), [], LIMIT)
    kinds = [image.kind.channels for image in survey.images]
    assert (kinds.count(1), kinds.count(3), survey.unreadable, survey.total) == (16, 24, 1, 41)


def test_large_images_are_looked_at_by_their_headers(tmp_path: Path) -> None:
    """All except the first three: the pixels of the others may be damaged. At least one is not."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (1000, 2000), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    for number in range(20):
        is_whole = number in (0, 8, 16)
        content = file.getvalue() if is_whole else file.getvalue()[:50_000]
        (tmp_path / f"{number:03}.jpg").write_bytes(content)
    sources = resolve_inputs([str(tmp_path)])
    survey = survey_images(sources, [], LIMIT)
    assert len(survey.images) == 20
    for number in (0, 8, 16):
        (tmp_path / f"{number:03}.jpg").write_bytes(file.getvalue()[:50_000])
    with pytest.raises(InputError, match="all 20 records were rejected"):
        survey_images(sources, [], LIMIT)
