"""Record batches between transforms: pixels, coder, schemas and carried columns."""

import pickle
from collections.abc import Callable

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from ae_models.errors import InputError
from transforms.records.batches import (
    RecordBatchCoder,
    carried_columns,
    carried_name,
    conform,
    image_records,
    with_column,
)
from transforms.records.pixels import pixels_from_arrow, pixels_to_arrow, raw_layout, raw_metadata

IMAGES = st_numpy.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5)),
)


def _batch(rows: int = 6) -> pa.RecordBatch:
    labels = pa.array(["cat", "dog", None] * rows).slice(0, rows)
    return image_records(
        ids=[f"r{n}" for n in range(rows)],
        source="file",
        images=[None if n % 3 == 2 else bytes([n]) * 1000 for n in range(rows)],
        carried={"label": labels.dictionary_encode(), "fold": pa.array(range(rows))},
        rejects=[{"stage": "read", "reason": "empty", "message": "none"}, *[None] * (rows - 1)],
        image_metadata=raw_metadata((10, 10, 10), "uint8"),
    )


def _slices(draw: st.DataObject, length: int) -> tuple[int, int]:
    start = draw.draw(st.integers(0, length))
    return start, draw.draw(st.integers(0, length - start))


@settings(deadline=None)
@given(IMAGES, st.data())
def test_pixels_go_to_arrow_and_back_through_any_slice(
    images: np.ndarray, draw: st.DataObject
) -> None:
    column = pixels_to_arrow(images)
    assert column.to_pylist() == [row.tobytes() for row in images]
    start, length = _slices(draw, len(images))
    for kind in (column.type, pa.binary(), pa.large_binary()):
        part = pa.array(column.to_pylist(), kind).slice(start, length)
        found = pixels_from_arrow(part, images.shape[1:], images.dtype)
        np.testing.assert_array_equal(found, images[start : start + length])
        assert found.dtype == images.dtype


@settings(deadline=None)
@given(IMAGES, st.data())
def test_rows_that_are_not_valid_become_null(images: np.ndarray, draw: st.DataObject) -> None:
    valid = np.array(draw.draw(st.lists(st.booleans(), min_size=7, max_size=7)))[: len(images)]
    column = pixels_to_arrow(images, valid)
    column.validate(full=True)
    expected = [row.tobytes() if ok else None for row, ok in zip(images, valid, strict=True)]
    assert column.to_pylist() == expected
    start, length = _slices(draw, len(images))
    part = column.slice(start, length)
    if valid[start : start + length].all():
        found = pixels_from_arrow(part, images.shape[1:], images.dtype)
        np.testing.assert_array_equal(found, images[start : start + length])
    else:
        with pytest.raises(ValueError, match="not all rows have"):
            pixels_from_arrow(part, images.shape[1:], images.dtype)


def test_pixels_are_not_copied() -> None:
    images = np.arange(24, dtype=np.uint16).reshape(2, 3, 4, 1)
    found = pixels_from_arrow(pixels_to_arrow(images), (3, 4, 1), images.dtype)
    assert np.shares_memory(found, images)


def test_pixels_of_a_view_are_those_that_it_shows() -> None:
    images = np.arange(48, dtype=np.uint8).reshape(2, 4, 3, 2)
    for view in (images[:, ::2], images[::-1], images.transpose(0, 2, 1, 3), images[..., :1]):
        found = pixels_from_arrow(pixels_to_arrow(view), view.shape[1:], view.dtype)
        np.testing.assert_array_equal(found, view)


@pytest.mark.parametrize("rows", [[b"1234", b"12"], [b"123", b"12345"], [b"1234", None], [b""]])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_rows_of_another_size_are_refused(rows: list[bytes | None], kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match="not all rows have 4 bytes"):
        pixels_from_arrow(pa.array(rows, kind), (2, 2, 1), np.dtype("uint8"))


@settings(deadline=None)
@given(st.lists(st.integers(1, 99), min_size=2, max_size=3), st.sampled_from(["uint8", "uint16"]))
def test_raw_layout_reads_what_raw_metadata_writes(shape: list[int], dtype: str) -> None:
    field = pa.field("image", pa.binary(), metadata=raw_metadata(shape, dtype))
    assert raw_layout(field.metadata) == ((*shape, 1)[:3], np.dtype(dtype))


def test_images_without_a_shape_are_encoded() -> None:
    assert raw_layout(None) is None
    assert raw_layout({b"pandas": b"{}"}) is None
    assert raw_layout({b"shape": b"[2, 3]"}) == ((2, 3, 1), np.dtype("uint8"))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ("[0, 3, 1]", "uint8"),
        ("[-1, 3, 1]", "uint8"),
        ("[2, 3, 1, 1]", "uint8"),
        ("7", "uint8"),
        ("null", "uint8"),
        ('["a", 2]', "uint8"),
        ("[2.5, 3, 1]", "uint8"),
        ("[2, 3, 1]", "float32"),
        ("[2, 3, 1]", ">u2"),
        ("[2, 3, 1]", "no type"),
        ("[2, 3, 1]", "\udcff"),
    ],
)
def test_layouts_that_are_no_images_are_errors(shape: str, dtype: str) -> None:
    metadata = {b"shape": shape.encode(), b"dtype": dtype.encode("utf-8", "surrogateescape")}
    with pytest.raises(InputError):
        raw_layout(metadata)


@pytest.mark.parametrize(
    "cut",
    [
        lambda batch: batch,
        lambda batch: batch.slice(1, 3),
        lambda batch: batch.slice(5),
        lambda batch: batch.slice(2, 0),
        lambda batch: batch.filter(pa.array([True, False] * 3)),
    ],
)
def test_coder_gives_back_rows_schema_and_metadata(
    cut: Callable[[pa.RecordBatch], pa.RecordBatch],
) -> None:
    batch = cut(_batch())
    coder = RecordBatchCoder()
    decoded = coder.decode(coder.encode(batch))
    assert decoded.schema.equals(batch.schema, check_metadata=True)
    assert decoded.to_pylist() == batch.to_pylist()
    decoded.validate(full=True)


def test_coder_writes_the_rows_of_a_slice_and_no_others() -> None:
    batch = image_records([str(n) for n in range(1000)], "file", [bytes(1000)] * 1000)
    assert len(RecordBatchCoder().encode(batch.slice(500, 2))) < 20_000


def test_coder_is_the_registered_one_and_survives_pickling() -> None:
    coder = beam.coders.registry.get_coder(pa.RecordBatch)
    assert isinstance(coder, RecordBatchCoder)
    assert coder.is_deterministic()
    batch = _batch()
    assert coder.encode(batch) == pickle.loads(pickle.dumps(coder)).encode(batch)


def test_batches_pass_a_shuffle() -> None:
    batches = [_batch(), _batch().slice(2, 3)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        rows = (
            pipeline
            | beam.Create(batches).with_output_types(pa.RecordBatch)
            | beam.Reshuffle()
            | beam.FlatMap(lambda batch: batch.to_pylist())
        )
        assert_that(rows, equal_to([row for batch in batches for row in batch.to_pylist()]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("label", "label"),
        ("fold", "fold"),
        ("scores", "scores"),
        ("score", "input_score"),
        ("score_reconstruction_mse", "input_score_reconstruction_mse"),
        ("source", "input_source"),
        ("reject", "input_reject"),
        ("message", "input_message"),
        ("latent_stddev", "input_latent_stddev"),
    ],
)
def test_carried_columns_never_clash_with_ours(name: str, expected: str) -> None:
    assert carried_name(name) == expected


def test_conform_adds_nulls_drops_strangers_orders_and_casts() -> None:
    batch = image_records(
        ["a", "b"],
        "file",
        [b"1", b"2"],
        carried={"fold": pa.array([1, 2], pa.int8()), "more": pa.array([True, False])},
    )
    carried = pa.schema([("label", pa.string()), ("fold", pa.int64())])
    found = conform(batch, carried)
    assert carried_columns(found.schema) == ["label", "fold"]
    assert found.schema.field("fold").type == pa.int64()
    assert found.to_pydict() == {
        "id": ["a", "b"],
        "source": ["file"] * 2,
        "label": [None, None],
        "fold": [1, 2],
        "image": [b"1", b"2"],
        "reject": [None, None],
    }
    assert conform(found, carried) is found


def test_conform_keeps_what_raw_pixels_are() -> None:
    found = conform(_batch(), pa.schema([("fold", pa.float64())]))
    assert raw_layout(found.schema.field("image").metadata) == ((10, 10, 10), np.dtype("uint8"))


def test_conform_refuses_values_that_do_not_fit() -> None:
    batch = image_records(["a"], "file", [b"1"], carried={"label": pa.array(["cat"])})
    with pytest.raises(pa.ArrowInvalid):
        conform(batch, pa.schema([("label", pa.int64())]))


def test_with_column_replaces_in_place() -> None:
    found = with_column(_batch(), "fold", pa.array([0.5] * 6), {"unit": "m"})
    assert found.schema.names == _batch().schema.names
    assert found.schema.field("fold") == pa.field("fold", pa.float64())
    assert found.schema.field("fold").metadata == {b"unit": b"m"}
