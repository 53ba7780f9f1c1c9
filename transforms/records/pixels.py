"""Converts raw pixels between NumPy and Arrow, without a copy."""

import json
import math
import operator
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.rejects import Reason, RecordError

_SHAPE, _DTYPE = b"shape", b"dtype"
Shape = tuple[int, int, int]
Layout = tuple[Shape, np.dtype]


def holds_images(kind: pa.DataType) -> bool:
    """Whether a column of this type may contain images: binary, or Hugging Face's struct<bytes,
    path>."""
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in binary)


def raw_metadata(shape: tuple[int, ...], dtype: str | np.dtype) -> dict[str, str]:
    """The field metadata that describe the raw bytes of each row of `image`."""
    return {"shape": json.dumps(list(shape)), "dtype": str(np.dtype(dtype))}


def raw_layout(metadata: Mapping[bytes, bytes] | None) -> Layout | None:
    """The shape (H, W, C) and type of raw pixels, or None if images are encoded.

    Raises:
      InputError: the metadata have a shape or type that images cannot have.
    """
    if not metadata or _SHAPE not in metadata:
        return None
    shape_text, dtype_text = metadata[_SHAPE], metadata.get(_DTYPE, b"uint8")
    try:
        shape = tuple(operator.index(side) for side in json.loads(shape_text))
        dtype = np.dtype(dtype_text.decode())
    # NumPy parses a type's name as Python, so an invalid name may also be a syntax error.
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise InputError(
            f"invalid image shape and dtype: {shape_text!r}, {dtype_text!r}"
        ) from error
    return three_dimensional(shape), checked_dtype(dtype)


def raw_images(
    column: pa.Array, metadata: Mapping[bytes, bytes] | None
) -> Iterator[memoryview | np.ndarray | RecordError]:
    """Each row's image: its bytes if images are encoded, or raw pixels, (H, W, C). An error if it
    has no image, or the wrong number of bytes."""
    try:
        layout, error = raw_layout(metadata), None
    except InputError as failure:
        layout, error = None, RecordError(Reason.WRONG_SHAPE, str(failure))
    for value in column:
        data = value.as_buffer()
        if data is None:
            yield RecordError(Reason.NO_IMAGE, "the record's image is null")
        elif error is not None:
            yield error
        elif layout is None:
            yield memoryview(data)
        else:
            yield _raw_image(data, *layout)


def _raw_image(data: pa.Buffer, shape: Shape, dtype: np.dtype) -> np.ndarray | RecordError:
    expected = math.prod(shape) * dtype.itemsize
    if data.size != expected:
        text = f"{data.size} bytes, expected {expected} for {shape} {dtype}"
        return RecordError(Reason.WRONG_SHAPE, text)
    return np.frombuffer(data, dtype).reshape(shape)


def three_dimensional(shape: tuple[int, ...]) -> Shape:
    """(H, W, C), with the missing channel of a grey image added.

    Raises:
      InputError: it is not the shape of an image.
    """
    shape = (*shape, 1) if len(shape) == 2 else tuple(shape)
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"image shape must be (H, W) or (H, W, C). Received: {list(shape)}")
    return shape


def checked_dtype(dtype: np.dtype) -> np.dtype:
    """Returns `dtype` unchanged.

    Raises:
      InputError: it is not an 8-bit or 16-bit unsigned integer type.
    """
    if dtype not in (np.uint8, np.uint16):
        raise InputError(f"pixels must be uint8 or uint16. Received: {dtype}")
    return dtype


def pixels_to_arrow(images: np.ndarray, valid: np.ndarray | None = None) -> pa.FixedSizeBinaryArray:
    """(N, H, W, C) → (N,) raw bytes; rows where `valid`, (N,) bool, is False become null."""
    images = np.ascontiguousarray(images)
    row_type = pa.binary(int(np.prod(images.shape[1:])) * images.dtype.itemsize)
    mask = None
    if valid is not None and not valid.all():
        mask = pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffer = pa.py_buffer(images.reshape(-1).view(np.uint8))
    return pa.FixedSizeBinaryArray.from_buffers(row_type, len(images), [mask, buffer])


def pixels_from_arrow(column: pa.Array, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """(N,) raw bytes, of fixed size or contiguous → (N, H, W, C).

    Raises:
      ValueError: a row is null, or its size does not match `shape` and `dtype`.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if pa.types.is_fixed_size_binary(column.type):
        start, length = column.offset * column.type.byte_width, len(column) * size
        fits = column.type.byte_width == size and column.null_count == 0
    else:
        offset_type = np.int64 if pa.types.is_large_binary(column.type) else np.int32
        offsets = np.frombuffer(column.buffers()[1], offset_type)
        offsets = offsets[column.offset : column.offset + len(column) + 1]
        start, length = int(offsets[0]) if len(offsets) else 0, len(column) * size
        fits = column.null_count == 0 and bool(np.all(np.diff(offsets) == size))
    if not fits:
        raise ValueError(f"not all rows have {size} bytes, the size of {shape} {dtype}")
    if not len(column):
        return np.empty((0, *shape), dtype)
    data = column.buffers()[-1].slice(start, length)
    return np.frombuffer(data, dtype).reshape((-1, *shape))
