"""Dividing inputs into parts: every task in exactly one part, in order; and detecting changes."""

import itertools
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from tests.support.reading import in_small_tasks, listed_passed_over
from transforms.parts.partition import Part, divided, first_change
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import PassedOver


@pytest.fixture
def folder(image_folder: Path) -> Path:
    """Inputs of every kind, with several tasks each."""
    files = sorted(path for path in image_folder.rglob("*.png") if path.parent.name != "bad")
    images = [path.read_bytes() for path in files]
    root = image_folder.parent
    pq.write_table(pa.table({"image": images}), root / "a.parquet", row_group_size=6)
    for name in ("a.tfrecord", "b.tfrecord"):
        with tf.io.TFRecordWriter(str(root / name)) as writer:
            for image in images:
                value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
                features = tf.train.Features(feature={"image/encoded": value})
                writer.write(tf.train.Example(features=features).SerializeToString())
    for name in ("a.tar", "b.tar"):
        with tarfile.open(root / name, "w") as archive:
            for path in files:
                archive.add(path, f"{path.stem}.png")
    pixels = np.zeros((5000, 4, 4), "uint8")
    np.savez(root / "a.npz", x=pixels)
    np.savez_compressed(root / "b.npz", x=pixels[:50])
    return root


KINDS = ["images", "a.parquet", "*.tfrecord", "*.tar", "*.npz", "builtin:digits"]


def _divided(root: Path, kind: str, records: int) -> list[Part]:
    uri = kind if kind.startswith("builtin") else f"{root}/{kind}"
    return list(divided(in_small_tasks(uri, rows=2000), records))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("records", [1, 10, 1_000_000])
def test_every_task_is_in_one_part_in_order(folder: Path, kind: str, records: int) -> None:
    parts = _divided(folder, kind, records)
    sources = {source for part in parts for source, _ in part.tasks}
    (source,) = sources
    tasks = [task for part in parts for _, task in part.tasks]
    assert tasks == list(source.tasks())
    passed_over = PassedOver()
    for part in parts:
        passed_over.update(part.passed_over)
    assert passed_over == listed_passed_over(source)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.records >= records for part in parts[:-1])
    if records == 1:
        assert len(parts) == len(tasks)
    if records == 1_000_000:
        assert len(parts) == 1
    assert [part.digest for part in parts] == [
        part.digest for part in _divided(folder, kind, records)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_counted_or_near_enough(folder: Path, kind: str) -> None:
    (part,) = _divided(folder, kind, 1_000_000)
    found = sum(
        len(batch)
        for source, task in part.tasks
        for batch in source.read(task, BatchLimits(), images=False)
    )
    if kind in ("*.tfrecord", "*.tar"):  # the archives contain more than images, tar most of all
        assert found <= part.records <= 30 * found
    else:
        assert part.records == found


def test_several_inputs_share_parts(folder: Path) -> None:
    sources = in_small_tasks(f"{folder}/images", f"{folder}/*.tar")
    parts = list(divided(sources, 40))
    tasks = list(itertools.chain.from_iterable(part.tasks for part in parts))
    assert tasks == [(source, task) for source in sources for task in source.tasks()]


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_change_of_a_file_changes_its_part_alone(folder: Path, kind: str) -> None:
    before = _divided(folder, kind, 1)
    path = before[-1].files[-1].split(" ", 2)[-1]
    os.utime(path, ns=(1, 1))
    after = _divided(folder, kind, 1)
    changed = [a.digest != b.digest for a, b in zip(before, after, strict=True)]
    expected = [any(line.endswith(f" {path}") for line in part.files) for part in before]
    assert changed == expected
    assert first_change(before[-1].packed_files(), after[-1].files) == f"{path} was changed"


def test_names_that_are_no_utf8(tmp_path: Path, image_folder: Path) -> None:
    odd = os.fsdecode(os.fsencode(image_folder / "0") + b"/\xe9 \n.png")
    (image_folder / "0" / "0.png").rename(odd)
    (before,) = _divided(image_folder.parent, "images", 100)
    os.unlink(odd)
    (after,) = _divided(image_folder.parent, "images", 100)
    change = first_change(before.packed_files(), after.files)
    assert change == f"{image_folder}/0/\\xe9 \n.png is gone"
