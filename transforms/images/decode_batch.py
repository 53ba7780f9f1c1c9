"""Decodes a batch of images to raw pixels of one shape: pure functions on record batches."""

import contextlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.configuration import ImageConfig
from ae_models.errors import ConfigError, InputError
from transforms.execution.isolation import failed, isolated
from transforms.images.decoding import blaming_the_record, decode_stored
from transforms.images.fitting import check_levels, fit_image
from transforms.images.limits.size import check_pixels
from transforms.images.orientation import Stored
from transforms.images.plain_png import PlainPngs, plain_png, plain_pngs_work
from transforms.records.batches import (
    ID,
    IMAGE,
    REJECT,
    REJECT_TYPE,
    SOURCE,
    STORED,
    STORED_TYPE,
    TARGET,
    carried_name,
    image_records,
    with_column,
)
from transforms.records.pixels import (
    holds_images,
    pixels_from_arrow,
    pixels_to_arrow,
    raw_layout,
    raw_metadata,
)
from transforms.records.rejects import Reason, RecordError, Stage

_DRAWN_BYTES = 32 << 10  # per image; for larger ones, decoding costs more than the overhead
_PICTURE_BYTES = 1 << 20


def decode_batch(
    batch: pa.RecordBatch,
    config: ImageConfig,
    picture_bytes: int = _PICTURE_BYTES,
    stored: bool = False,
) -> pa.RecordBatch:
    """The same rows with `image` as raw pixels of `config`'s shape and type.

    A row whose image cannot be decoded becomes a reject; a row that is a reject is unchanged.

    Args:
      batch: image records, encoded or raw.
      config: shape and type of the pixels, completely specified.
      picture_bytes: maximum size in bytes of the pixels of small PNGs decoded together.
      stored: whether to add a column `STORED` with how files store their images.

    Raises:
      StageError: the decoders fail for any image.
    """

    def each(parts: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        return [_decoded_rows(part, config, picture_bytes, stored) for part in parts]

    # `_decoded_rows` catches what a single image raises. This handles lack of memory for all.
    (decoded,) = isolated(each, [batch], Stage.DECODE, Reason.OUT_OF_MEMORY, of=(MemoryError,))
    return decoded


def _decoded_rows(
    batch: pa.RecordBatch, config: ImageConfig, picture_bytes: int, stored: bool
) -> pa.RecordBatch:
    height, width, _ = config.shape
    sizes = np.full((len(batch), 3), Stored(width, height), np.int32)
    decoded = _filled(batch, config, picture_bytes, sizes)
    return with_stored(decoded, sizes) if stored else decoded


def with_stored(batch: pa.RecordBatch, sizes: np.ndarray) -> pa.RecordBatch:
    """`batch` with `sizes`, (N, 3) int32, as its column `STORED`."""
    flat = pa.array(sizes.reshape(-1), pa.int32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=STORED_TYPE)
    return batch.append_column(STORED, column)


def _filled(
    batch: pa.RecordBatch, config: ImageConfig, picture_bytes: int, sizes: np.ndarray
) -> pa.RecordBatch:
    """The decoded rows; fills `sizes` where an image is not stored in `config`'s shape."""
    field = batch.schema.field(IMAGE)
    try:
        layout = raw_layout(field.metadata)
    except InputError as error:
        return _reject_all(batch, config, RecordError(Reason.WRONG_SHAPE, str(error)))
    metadata = raw_metadata(config.shape, config.dtype)
    rejected = batch.column(REJECT).null_count < len(batch)
    if layout == (config.shape, np.dtype(config.dtype)) and not rejected:
        try:
            pixels = pixels_from_arrow(batch.column(IMAGE), *layout)
            check_levels(pixels, config)
            return with_column(batch, IMAGE, pixels_to_arrow(pixels), metadata)
        except (ValueError, RecordError):
            pass  # no bytes, a wrong number of them, or too high a level: one by one, below
    images = np.zeros((len(batch), *config.shape), config.dtype)
    rejects = batch.column(REJECT).to_pylist()
    drawn = _draw_plain_pngs(batch, layout, config, images, picture_bytes)
    for index, value in enumerate(batch.column(IMAGE)):
        if rejects[index] is not None or drawn[index]:
            continue
        try:
            images[index], sizes[index] = _pixels(value.as_buffer(), layout, config)
        except RecordError as error:
            rejects[index] = error.at(Stage.DECODE)
        except MemoryError as error:
            rejects[index] = failed(error, Stage.DECODE, Reason.OUT_OF_MEMORY)
    return _with_pixels(batch, images, rejects, config)


def _draw_plain_pngs(
    batch: pa.RecordBatch,
    layout: object,
    config: ImageConfig,
    images: np.ndarray,
    picture_bytes: int,
) -> np.ndarray:
    """Fills in the images that are small plain PNGs of the configured shape; (N,) bool, which."""
    drawn = np.zeros(len(batch), bool)
    small = max(config.image_bytes, batch.nbytes // max(1, len(batch))) <= _DRAWN_BYTES
    if layout is not None or config.dtype != "uint8" or not small or not plain_pngs_work():
        return drawn
    column, rows = batch.column(IMAGE), max(1, picture_bytes // config.image_bytes)
    for start in range(0, len(batch), rows):
        part = slice(start, start + rows)
        with contextlib.suppress(Exception):  # decoding one by one then finds the faulty image
            whole = _draw(column[part].to_pylist(), config, images[part])
            drawn[start : start + len(whole)] = whole
    return drawn


def _draw(data: list[bytes | None], config: ImageConfig, images: np.ndarray) -> np.ndarray:
    """Fills in those of `images` that are plain PNGs of the configured shape; (n,) bool, which of
    the first n, with none after them."""
    pngs = {
        index: png
        for index, encoded in enumerate(data)
        if encoded and (png := plain_png(encoded, config.max_pixels)) and png.shape == config.shape
    }
    whole = np.zeros(max(pngs, default=-1) + 1, bool)
    if pngs:
        picture = PlainPngs(len(whole), config.shape)
        for index, png in pngs.items():
            whole[index] = picture.draw(index, png)
        pixels = picture.pixels()
        whole &= picture.drawn_to_the_end(pixels)
        images[: len(whole)][whole] = pixels[whole]
    return whole


def is_decoded(batch: pa.RecordBatch, config: ImageConfig) -> bool:
    """Whether the metadata state raw pixels of `config`'s shape and type."""
    try:
        layout = raw_layout(batch.schema.field(IMAGE).metadata)
    except InputError:
        return False
    return layout == (config.shape, np.dtype(config.dtype))


def _pixels(
    data: pa.Buffer | None,
    layout: tuple[tuple[int, int, int], np.dtype] | None,
    config: ImageConfig,
) -> tuple[np.ndarray, Stored]:
    if data is None:
        raise RecordError(Reason.NO_IMAGE, "the record's image is null")
    if layout is None:
        return decode_stored(data.to_pybytes(), config)
    shape, dtype = layout
    check_pixels(shape[1], shape[0], config.max_pixels)
    expected = math.prod(shape) * dtype.itemsize
    if data.size != expected:
        raise RecordError(
            Reason.WRONG_SHAPE, f"{data.size} bytes, expected {expected} for {shape} {dtype}"
        )
    with blaming_the_record():
        pixels = fit_image(np.frombuffer(data, dtype).reshape(shape), config)
    return pixels, Stored(shape[1], shape[0])


def _reject_all(batch: pa.RecordBatch, config: ImageConfig, error: RecordError) -> pa.RecordBatch:
    rejects = [reject or error.at(Stage.DECODE) for reject in batch.column(REJECT).to_pylist()]
    images = np.zeros((len(batch), *config.shape), config.dtype)
    return _with_pixels(batch, images, rejects, config)


def _with_pixels(
    batch: pa.RecordBatch, images: np.ndarray, rejects: list, config: ImageConfig
) -> pa.RecordBatch:
    valid = np.array([reject is None for reject in rejects], bool)
    batch = with_column(
        batch,
        IMAGE,
        pixels_to_arrow(images, valid),
        raw_metadata(config.shape, config.dtype),
    )
    return with_column(batch, REJECT, pa.array(rejects, REJECT_TYPE))


def check_target(carried: pa.Schema, target: str) -> None:
    """Checks that the inputs' column `target` may contain images.

    Raises:
      ConfigError: there is no such column, or it has another type.
    """
    if carried_name(target) not in carried.names:
        names = ", ".join(carried.names) or "none"
        raise ConfigError(f"model.target: the inputs have no column {target!r}; available: {names}")
    if not holds_images(kind := carried.field(carried_name(target)).type):
        raise ConfigError(
            f"model.target: {target!r} must be binary or struct<bytes, path>. Received: {kind}"
        )


def decode_pairs(
    batch: pa.RecordBatch, target: str, config: ImageConfig, kept: Mapping[str, str] | None = None
) -> pa.RecordBatch:
    """The same rows with raw pixels of `config`'s shape and type in `image` and in `target`, which
    is decoded from the input column of that name. Other columns are dropped, except those that
    `kept` maps from their output names.

    Targets must be encoded if images are, or raw in the same layout. A row becomes a reject if
    either image cannot be decoded.
    """
    column = batch.column(carried_name(target))
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    metadata = batch.schema.field(IMAGE).metadata
    rows = batch.select([ID, SOURCE, IMAGE, REJECT])
    targets = decode_batch(with_column(rows, IMAGE, column, metadata), config)
    rejects = [
        after if before or not after else {**after, "message": f"{target}: {after['message']}"}
        for before, after in zip(
            batch.column(REJECT).to_pylist(), targets.column(REJECT).to_pylist(), strict=True
        )
    ]
    images = decode_batch(with_column(rows, REJECT, pa.array(rejects, REJECT_TYPE)), config)
    return image_records(
        images.column(ID),
        images.column(SOURCE),
        images.column(IMAGE),
        carried={
            TARGET: targets.column(IMAGE),
            **{name: batch.column(column) for name, column in (kept or {}).items()},
        },
        rejects=images.column(REJECT).to_pylist(),
        image_metadata=raw_metadata(config.shape, config.dtype),
    )
