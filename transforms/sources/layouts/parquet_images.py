"""Columns of images, in each form that Parquet files use, as bytes per record."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records.batches import BatchLimits
from transforms.records.pixels import pixels_to_arrow, raw_metadata
from transforms.records.rejects import Reason, RecordError, Stage, reject
from transforms.sources.layouts.axes import height_width_channels
from transforms.sources.layouts.parquet_layout import Form, is_list, plain_type
from transforms.sources.layouts.raw_runs import layout_runs

# OpenCV's type codes: 8 for each channel after the first, plus the depth.
_CHANNEL_STEP = 8
_DEPTHS: dict[int, np.dtype] = {0: np.dtype("uint8"), 2: np.dtype("<u2")}
_RED_FIRST: dict[int, list[int] | slice] = {3: [2, 1, 0], 4: [2, 1, 0, 3]}  # from BGR and BGRA

Reject = dict[str, str] | None
ReadFile = Callable[[str], bytes]  # reads an image file by its path; raises RecordError


class Part(NamedTuple):
    """The images of consecutive rows.

    images: (N,) of bytes, null where there is no image.
    rejects: (N,) the reject where an image could not be read, or None.
    metadata: for raw pixels, their shape and type.
    """

    images: pa.Array
    rejects: list[Reject]
    metadata: Mapping[str, str] | None = None


def first_items(column: pa.Array) -> tuple[pa.Array, int]:
    """The first item of each list, null if the list is empty, and the number of further items. A
    column without lists is returned unchanged."""
    if not is_list(column.type):
        return column, 0
    lists = column.cast(pa.large_list(column.type.value_type))
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    starts = pc.if_else(pc.greater(lengths, 0), lists.offsets[:-1], pa.scalar(None, pa.int64()))
    further = (pc.sum(lengths).as_py() or 0) - pc.sum(pc.greater(lengths, 0)).as_py()
    return lists.values.take(starts), further


def image_parts(
    column: pa.Array,
    form: Form,
    metadata: Mapping[str, str] | None,
    read_file: ReadFile,
    limits: BatchLimits,
) -> Iterator[Part]:
    """The images of a batch of rows, in order, in parts with one layout of raw pixels each, and of
    about `limits.image_bytes` if they are read from files.

    Args:
      column: (N,) images in the form `form`.
      metadata: for raw pixels in a binary column, their shape and type.
    """
    if column.type != (kind := plain_type(column.type)):
        column = column.cast(kind)
    if form is Form.TENSOR:
        yield _tensors(column, limits)
    elif form is Form.SPARK:
        yield from _spark_images(column, limits)
    elif form is Form.PATH:
        yield from _with_files(pa.nulls(len(column), pa.large_binary()), column, read_file, limits)
    else:
        data, paths = column, None
        if pa.types.is_struct(column.type):
            data = pc.struct_field(column, "bytes")
            if column.type.get_field_index("path") >= 0 and data.null_count:
                paths = pc.struct_field(column, "path")
        if pa.types.is_null(data.type) or pa.types.is_binary_view(data.type):
            data = data.cast(pa.large_binary())
        if paths is not None and paths.null_count < len(paths):
            yield from _with_files(data, paths, read_file, limits)
        else:
            yield Part(*without_too_large(data, limits.record_bytes), metadata)


def without_too_large(images: pa.Array, most: int) -> tuple[pa.Array, list[Reject]]:
    """The images with null in place of each of more than `most` bytes, and each row's reject."""
    if images.nbytes <= most:
        return images, [None] * len(images)
    if pa.types.is_fixed_size_binary(images.type):
        images = images.cast(pa.large_binary())
    lengths = pc.binary_length(images)
    fits = pc.less_equal(lengths, most).fill_null(True)
    rejects = [
        None if fit else reject(Stage.READ, Reason.TOO_LARGE, f"{size} bytes; the limit is {most}")
        for fit, size in zip(fits.to_pylist(), lengths.to_pylist(), strict=True)
    ]
    return pc.if_else(fits, images, pa.scalar(None, images.type)), rejects


def _with_files(
    data: pa.Array, paths: pa.Array, read_file: ReadFile, limits: BatchLimits
) -> Iterator[Part]:
    """`data` with its nulls replaced by the content of the files, a part at a time."""
    images: list[bytes | None] = []
    rejects: list[Reject] = []
    size = 0
    for value, path in zip(data, paths, strict=True):
        image, failure = value.as_py(), None
        try:
            if image is None and path.is_valid:
                image = read_file(os.fsdecode(path.as_buffer().to_pybytes()))
            elif image is not None and len(image) > limits.record_bytes:
                message = f"{len(image)} bytes; the limit is {limits.record_bytes}"
                raise RecordError(Reason.TOO_LARGE, message)
        except RecordError as error:
            image, failure = None, error.at(Stage.READ)
        images.append(image)
        rejects.append(failure)
        size += len(image or b"")
        if size >= limits.image_bytes:
            yield Part(pa.array(images, pa.large_binary()), rejects)
            images, rejects, size = [], [], 0
    if images:
        yield Part(pa.array(images, pa.large_binary()), rejects)


def _tensors(column: pa.Array, limits: BatchLimits) -> Part:
    kind = column.type
    shape, channels_first = height_width_channels(tuple(kind.shape))
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    pixels = np.zeros((len(column), *kind.shape), kind.value_type.to_pandas_dtype())
    if valid.any():
        pixels[valid] = column.drop_null().to_numpy_ndarray()
    if channels_first:
        pixels = np.moveaxis(pixels, 1, -1)
    images = pixels_to_arrow(pixels.reshape(-1, *shape), valid)
    rejects: list[Reject] = [None] * len(images)
    if pixels.nbytes > limits.record_bytes:
        images, rejects = without_too_large(images, limits.record_bytes)
    return Part(images, rejects, raw_metadata(shape, pixels.dtype))


class _SparkImage(NamedTuple):
    shape: tuple[int, int, int]
    dtype: np.dtype


def _spark_images(column: pa.Array, limits: BatchLimits) -> Iterator[Part]:
    """A part for each run of rows with one size."""
    data = pc.struct_field(column, "data")
    if pa.types.is_binary_view(data.type):
        data = data.cast(pa.large_binary())
    data, too_large = without_too_large(data, limits.record_bytes)
    facts = ("height", "width", "nChannels", "mode")
    rows = zip(*(pc.struct_field(column, name).to_pylist() for name in facts), strict=True)
    found: list[tuple[_SparkImage | None, Reject]] = []
    for image, failure, row in zip(data, too_large, rows, strict=True):
        try:
            if failure is not None or not image.is_valid:
                found.append((None, failure))
                continue
            found.append((_spark_image(row, image.as_buffer().size), None))
        except RecordError as error:
            found.append((None, error.at(Stage.READ)))
    for layout, start, end in layout_runs([layout for layout, _ in found]):
        rejects = [failure for _, failure in found[start:end]]
        if layout is None:
            yield Part(pa.nulls(end - start, pa.binary()), rejects)
            continue
        valid = np.array([it is not None for it, _ in found[start:end]])
        pixels = np.zeros((end - start, *layout.shape), layout.dtype.newbyteorder("="))
        for index in np.flatnonzero(valid):
            values = np.frombuffer(data[start + int(index)].as_buffer(), layout.dtype)
            pixels[index] = values.reshape(layout.shape)
        pixels = pixels[..., _RED_FIRST.get(layout.shape[-1], slice(None))]
        yield Part(
            pixels_to_arrow(pixels, valid), rejects, raw_metadata(layout.shape, pixels.dtype)
        )


def _spark_image(row: tuple[Any, ...], size: int) -> _SparkImage:
    """The layout of one image.

    Raises:
      RecordError: it is not an image, or its pixels are neither uint8 nor uint16.
    """
    height, width, channels, mode = row
    told = f"height {height}, width {width}, nChannels {channels}, mode {mode}, {size} bytes"
    if None in row or min(row) < 0 or not size:
        raise RecordError(Reason.NO_IMAGE, f"Spark could not decode it: {told}")
    dtype = _DEPTHS.get(mode % _CHANNEL_STEP)
    if dtype is None:
        message = (
            f"pixels must be uint8 or uint16 (OpenCV mode modulo {_CHANNEL_STEP} must be 0 or 2): "
            f"{told}"
        )
        raise RecordError(Reason.WRONG_BITS, message)
    fits = mode // _CHANNEL_STEP == channels - 1
    if not fits or height * width * channels * dtype.itemsize != size:
        raise RecordError(Reason.WRONG_SHAPE, f"size and data do not match: {told}")
    return _SparkImage((height, width, channels), dtype)
