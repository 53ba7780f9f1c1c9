"""Which features of TFRecord files may be images, ids and labels, and how to name them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ae_models.errors import InputError
from tests.support.reading import read_batches, read_rows
from transforms.records.pixels import raw_layout
from transforms.sources import ReadOptions, Source, resolve_inputs

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), np.uint8)
Features = dict[str, bytes | int | float]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PNGS = [_png(image) for image in PIXELS]


def _feature(value: Any) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def _written(folder: Path, records: list[Features], name: str = "a.tfrecord") -> Path:
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for record in records:
            features = {key: _feature(value) for key, value in record.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return folder / name


def _source(path: Path, **options: Any) -> Source:
    (source,) = resolve_inputs([str(path)], ReadOptions(**options))
    return source


def _reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["reject"] and row["reject"]["reason"] for row in rows]


@pytest.mark.parametrize("name", ["image/encoded", "image", "image_raw", "anything"])
def test_images_are_found_by_usual_names_or_by_how_they_begin(tmp_path: Path, name: str) -> None:
    records: list[Features] = [
        {name: png, "text": b"t", "label": n, "file_name": b"x%d" % n} for n, png in enumerate(PNGS)
    ]
    rows = read_rows(_written(tmp_path, records))
    assert [row["image"] for row in rows] == PNGS
    assert [row["id"] for row in rows] == [f"a.tfrecord#{n}" for n in range(6)]
    assert [(row["label"], row["file_name"], row["text"]) for row in rows] == [
        (n, f"x{n}", "t") for n in range(6)
    ]


def test_features_can_be_named(tmp_path: Path) -> None:
    records: list[Features] = [
        {"left": png, "right": PNGS[0], "key": n + 40, "label": 7, "kind": b"k"}
        for n, png in enumerate(PNGS)
    ]
    del records[3]["key"]
    path = _written(tmp_path, records)
    with pytest.raises(
        InputError, match=r"several features contain images: (left, right|right, left)"
    ):
        read_rows(path)
    rows = read_rows(_source(path, image_column="left", id_column="key", label_column="kind"))
    assert [row["id"] for row in rows] == ["40", "41", "42", "a.tfrecord#3", "44", "45"]
    assert [row["image"] for row in rows] == [*PNGS[:3], None, *PNGS[4:]]
    assert _reasons(rows) == [None, None, None, "no_id", None, None]
    assert {(row["label"], row["input_label"]) for row in rows} == {("k", 7)}
    assert not {"left", "right", "kind"} & set(rows[0])
    for option in ("image_column", "id_column", "label_column"):
        with pytest.raises(InputError, match=r"no feature 'lft'; did you mean 'left'\?"):
            read_rows(_source(path, **{option: "lft"}))
    with pytest.raises(InputError, match="'key' has type int64"):
        read_rows(_source(path, image_column="key"))


def test_a_label_beside_the_usual_one_keeps_a_name_of_its_own(tmp_path: Path) -> None:
    record: Features = {"image": PNGS[0], "label": 1, "image/class/label": 2}
    (row,) = read_rows(_written(tmp_path, [record]))
    assert (row["label"], row["input_label"]) == (2, 1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    "sides", [("height", "width", "depth"), ("image/height", "image/width", "channels")]
)
def test_raw_pixels_have_their_sides_beside_them(
    tmp_path: Path, dtype: str, sides: tuple[str, str, str]
) -> None:
    pixels = PIXELS.astype(dtype)
    records: list[Features] = [
        {"image_raw": image.tobytes(), **dict(zip(sides, (5, 7, 3), strict=True))}
        for image in pixels
    ]
    path = _written(tmp_path, records)
    (batch,) = read_batches(path)
    assert raw_layout(batch.schema.field("image").metadata) == ((5, 7, 3), np.dtype(dtype))
    assert [row["image"] for row in read_rows(path)] == [image.tobytes() for image in pixels]


def test_raw_encoded_and_broken_images_beside_each_other(tmp_path: Path) -> None:
    raw, grey = PIXELS[0].tobytes(), PIXELS[1, ..., 0].tobytes()
    records: list[Features] = [
        {"image_raw": raw, "height": 5, "width": 7, "depth": 3},
        {"image_raw": PNGS[1], "height": 5, "width": 7, "depth": 3},
        {"image_raw": grey, "height": 5, "width": 7},
        {"image_raw": raw[:-1], "height": 5, "width": 7, "depth": 3},
        {"image_raw": raw, "height": 2**40, "width": 2**40, "depth": 3},
        {"image_raw": raw, "height": -5, "width": -7, "depth": 3},
        {"height": 5, "width": 7, "depth": 3},
        {"image_raw": raw, "height": 7, "width": 5, "depth": 3},
    ]
    path = _written(tmp_path, records)
    rows = read_rows(path)
    assert [row["id"] for row in rows] == [f"a.tfrecord#{n}" for n in range(8)]
    assert _reasons(rows) == [None, None, None, *["wrong_shape"] * 3, "no_image", None]
    assert [row["image"] for row in rows] == [raw, PNGS[1], grey, *[None] * 4, raw]
    layouts = [raw_layout(batch.schema.field("image").metadata) for batch in read_batches(path)]
    shapes = [layout and layout[0] for layout in layouts]
    assert shapes == [(5, 7, 3), None, (5, 7, 1), (7, 5, 3)]


def test_a_file_without_images_is_refused_by_what_it_has(tmp_path: Path) -> None:
    path = _written(tmp_path, [{"text": b"t", "n": 1, "weight": 0.5}])
    with pytest.raises(InputError, match=r"no feature 'image/encoded'.*--image_column") as refusal:
        read_rows(path)
    for told in ("text: bytes", "n: int64", "weight: float"):
        assert told in str(refusal.value)
