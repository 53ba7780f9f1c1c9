"""Decoding record batches: every row stays, in its place, as pixels or as a reject."""

import io
import threading
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.images.decode import DecodeImages
from transforms.images.decode_batch import decode_batch
from transforms.records.batches import REJECT_TYPE, bounded_slices, image_records
from transforms.records.pixels import pixels_from_arrow, raw_layout, raw_metadata
from transforms.records.rejects import Reason, Stage, good_rows, reject, reject_rows

GREY = ImageConfig(height=4, width=6, channels=1, bits=8)
SHAPE = (4, 6, 1)
GIVEN = reject(Stage.READ, Reason.UNREADABLE, "the disk\nis gone")


def _pixels(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *SHAPE), np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, "PNG")
    return file.getvalue()


def _colour() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "PNG")
    return file.getvalue()


def _mixed() -> tuple[pa.RecordBatch, np.ndarray]:
    """Two good images among one reject of each kind: the first is given, others must be found."""
    pixels = _pixels(2)
    images = [None, _png(pixels[0]), b"", b"text", _colour(), None, _png(pixels[1])[:-30]]
    images.append(_png(pixels[1]))
    rejects = [GIVEN, *[None] * 7]
    labels = pa.array([None, 1, 2, 3, 4, 5, 6, 7])
    ids = [f"r{n}" for n in range(8)]
    return image_records(ids, "folder", images, carried={"label": labels}, rejects=rejects), pixels


REASONS = [
    *("unreadable", None, "empty", "not_an_image", "wrong_channels", "no_image", "corrupt", None)
]


def _reasons(batch: pa.RecordBatch) -> list[str | None]:
    return [value and value["reason"] for value in batch.column("reject").to_pylist()]


def _raw(
    images: list[bytes | None], shape: tuple[int, ...] = SHAPE, kind: Any = None, **options: Any
) -> pa.RecordBatch:
    metadata = raw_metadata(shape, options.pop("dtype", "uint8"))
    column = pa.array(images, kind or pa.binary())
    ids = [f"r{n}" for n in range(len(images))]
    return image_records(ids, "file", column, image_metadata=metadata, **options)


def test_every_row_stays_in_its_place_as_pixels_or_as_a_reject() -> None:
    batch, pixels = _mixed()
    decoded = decode_batch(batch, GREY)
    assert _reasons(decoded) == REASONS
    unchanged = ["id", "source", "label"]
    assert decoded.select(unchanged).equals(batch.select(unchanged))
    images = decoded.column("image").to_pylist()
    assert [image is None for image in images] == [reason is not None for reason in REASONS]
    assert [images[1], images[7]] == [row.tobytes() for row in pixels]
    assert raw_layout(decoded.schema.field("image").metadata) == (SHAPE, np.dtype("uint8"))
    stages = [value and value["stage"] for value in decoded.column("reject").to_pylist()]
    assert stages == ["read", None, *["decode"] * 5, None]
    assert decoded.column("reject")[0].as_py() == {**GIVEN, "message": "the disk is gone"}


def test_decoding_is_the_same_for_a_slice() -> None:
    batch, _ = _mixed()
    decoded = decode_batch(batch, GREY)
    for start in range(8):
        part = decode_batch(batch.slice(start, 3), GREY)
        assert part.to_pylist() == decoded.slice(start, 3).to_pylist()


def test_decoding_again_changes_nothing() -> None:
    decoded = decode_batch(_mixed()[0], GREY)
    assert decode_batch(decoded, GREY).equals(decoded, check_metadata=True)
    for part in bounded_slices(decoded, 3):
        assert decode_batch(part, GREY).to_pylist() == part.to_pylist()


def test_good_and_rejected_rows_are_the_whole_batch() -> None:
    decoded = decode_batch(_mixed()[0], GREY)
    good, bad = good_rows(decoded), reject_rows(decoded)
    assert good.column("id").to_pylist() == ["r1", "r7"]
    assert bad.column("id").to_pylist() == ["r0", "r2", "r3", "r4", "r5", "r6"]
    assert "reject" not in good.schema.names
    assert bad.column("reason").to_pylist() == [reason for reason in REASONS if reason]
    part = decoded.slice(6, 2)
    assert (len(good_rows(part)), len(reject_rows(part))) == (1, 1)


def test_reject_messages_are_one_line_of_bounded_length() -> None:
    value = reject(Stage.DECODE, Reason.CORRUPT, "a\r\nb\t" + "x" * 10_000)
    assert value["message"].startswith("a b x")
    assert len(value["message"]) <= 500


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(24)])
def test_raw_pixels_of_the_right_shape_are_not_copied(kind: pa.DataType) -> None:
    pixels = _pixels(5)
    batch = _raw([row.tobytes() for row in pixels], kind=kind)
    before = batch.column("image").buffers()[-1]
    for part, start in ((batch, 0), (batch.slice(2, 2), 2)):
        decoded = decode_batch(part, GREY)
        column = decoded.column("image")
        assert column.buffers()[-1].address == before.address + start * 24
        found = pixels_from_arrow(column, SHAPE, np.dtype("uint8"))
        np.testing.assert_array_equal(found, pixels[start : start + len(part)])
        assert _reasons(decoded) == [None] * len(part)


def test_raw_rows_of_a_wrong_size_or_none_are_rejected_alone() -> None:
    good = _pixels(1)[0].tobytes()
    decoded = decode_batch(_raw([good, good[:-1], None, good + b"x", b"", good]), GREY)
    expected = [None, "wrong_shape", "no_image", "wrong_shape", "wrong_shape", None]
    assert _reasons(decoded) == expected
    assert decoded.column("image")[5].as_py() == good


def test_a_raw_reject_keeps_its_reason_and_has_no_image() -> None:
    good = _pixels(1)[0].tobytes()
    decoded = decode_batch(_raw([None, good], rejects=[GIVEN, None]), GREY)
    assert _reasons(decoded) == ["unreadable", None]
    assert decoded.column("image").to_pylist() == [None, good]


def test_raw_pixels_of_another_shape_are_fitted_or_rejected() -> None:
    images = [np.full((8, 12, 1), 7, np.uint8).tobytes()]
    decoded = decode_batch(_raw(images, shape=(8, 12, 1)), GREY)
    assert set(decoded.column("image")[0].as_py()) == {7}
    coloured = _raw([bytes(8 * 12 * 3)], shape=(8, 12, 3))
    assert _reasons(decode_batch(coloured, GREY)) == ["wrong_channels"]
    deep = _raw([bytes(8 * 12 * 2)], shape=(8, 12, 1), dtype="uint16")
    assert _reasons(decode_batch(deep, GREY)) == ["wrong_bits"]


def test_a_layout_that_is_none_rejects_the_batch() -> None:
    batch = _raw([bytes(24)] * 2, rejects=[GIVEN, None], shape=(4,))
    assert _reasons(decode_batch(batch, GREY)) == ["unreadable", "wrong_shape"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.binary(24)])
def test_empty_batches_stay_empty(kind: pa.DataType) -> None:
    for batch in (_raw([], kind=kind), image_records([], "file", pa.array([], kind))):
        decoded = decode_batch(batch, GREY)
        assert len(decoded) == 0
        assert decoded.schema.field("image").type == pa.binary(24)
        assert decoded.schema.field("reject").type == REJECT_TYPE


def test_16_bit_images_and_16_bit_raw_pixels_agree() -> None:
    config = ImageConfig(height=4, width=6, channels=1, bits=16)
    pixels = np.random.default_rng(0).integers(0, 65536, (4, 6), np.uint16)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    encoded = decode_batch(image_records(["a"], "file", [file.getvalue()]), config)
    raw = decode_batch(_raw([pixels.tobytes()], dtype="uint16"), config)
    assert encoded.column("image").to_pylist() == raw.column("image").to_pylist()
    assert encoded.column("image")[0].as_py() == pixels.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads: int) -> None:
    batch, _ = _mixed()
    expected = [decode_batch(batch.slice(start, 3), GREY).to_pylist() for start in (0, 3, 6)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        decoded = (
            pipeline
            | beam.Create([batch])
            | DecodeImages(GREY, rows=3, threads=threads)
            | beam.Map(pa.RecordBatch.to_pylist)
            | beam.combiners.ToList()
        )
        assert_that(decoded, equal_to([expected]))


def test_a_bundle_that_fails_leaves_no_thread() -> None:
    """Images are large enough for threads, and several are decoded while the first one fails."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 1), np.uint8)
    batch = image_records([str(n) for n in range(1000)], "file", [_png(noise)] * 1000)

    def fail(decoded: pa.RecordBatch) -> None:
        assert any(thread.name.startswith("ahead") for thread in threading.enumerate())
        raise ValueError("what follows fails")

    pipeline = beam.Pipeline("FnApiRunner")
    decode = DecodeImages(ImageConfig(100, 100, 1, 8), rows=50, threads=2)
    pipeline | beam.Create([batch], reshuffle=False) | decode | beam.Map(fail)
    with pytest.raises(ValueError, match="what follows fails") as caught:
        pipeline.run()
    assert caught.tb is not None, "frames of the failure are alive, and everything they refer to"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_elements_keep_their_windows() -> None:
    batch, _ = _mixed()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        windows = (
            pipeline
            | beam.Create([5, 15])
            | beam.Map(lambda seconds: TimestampedValue(batch, seconds))
            | beam.WindowInto(FixedWindows(10)).with_output_types(pa.RecordBatch)
            | DecodeImages(GREY, rows=8)
            | beam.Map(lambda part, window=beam.DoFn.WindowParam: (int(window.end), len(part)))
        )
        assert_that(windows, equal_to([(10, 8), (20, 8)]))


def test_in_a_pipeline_no_batch_has_more_rows_than_asked_for() -> None:
    batch, _ = _mixed()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        decoded = pipeline | beam.Create([batch, batch.slice(4)]) | DecodeImages(GREY, rows=3)
        sizes = decoded | beam.Map(len)
        ids = decoded | beam.FlatMap(lambda part: part.column("id").to_pylist())
        assert_that(sizes, equal_to([3, 3, 2, 3, 1]), label="sizes")
        names = [f"r{n}" for n in range(8)]
        assert_that(ids, equal_to(names + names[4:]), label="ids")
