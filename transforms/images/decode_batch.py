"""A batch of encoded or raw images to raw pixels of one shape: pure functions on record batches."""

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

_DRAWN_BYTES = 32 << 10  # an image; decoding larger ones costs more than what is around it
_PICTURE_BYTES = 1 << 20


def decode_batch(
    batch: pa.RecordBatch,
    config: ImageConfig,
    picture_bytes: int = _PICTURE_BYTES,
    stored: bool = False,
) -> pa.RecordBatch:
    """The same rows with `image` as raw pixels of `config`'s shape and type, all of it known.

    A row whose image cannot be decoded becomes a reject; one that is a reject stays as it is.

    Args:
      batch: image records, encoded or raw.
      config: of the pixels, all of it known.
      picture_bytes: of pixels, the most that small PNGs are drawn into together.
      stored: whether a column `STORED` says how files hold their images.

    Raises:
      StageError: no image can be decoded, whatever it is.
    """

    def each(parts: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        return [_decoded_rows(part, config, picture_bytes, stored) for part in parts]

    # What one image raises is caught there. What is left is memory for all of them.
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
    """`batch` with a column `STORED`, (N, 3) int32."""
    flat = pa.array(sizes.reshape(-1), pa.int32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=STORED_TYPE)
    return batch.append_column(STORED, column)


def _filled(
    batch: pa.RecordBatch, config: ImageConfig, picture_bytes: int, sizes: np.ndarray
) -> pa.RecordBatch:
    """The decoded rows; what is not as `config` has it is filled into `sizes`."""
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
            pass  # no bytes, a wrong number of them, or too great a level: one by one, below
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
    """Fills in the images that are plain PNGs of the very shape, small ones; (N,) bool, which."""
    drawn = np.zeros(len(batch), bool)
    small = max(config.image_bytes, batch.nbytes // max(1, len(batch))) <= _DRAWN_BYTES
    if layout is not None or config.dtype != "uint8" or not small or not plain_pngs_work():
        return drawn
    column, rows = batch.column(IMAGE), max(1, picture_bytes // config.image_bytes)
    for start in range(0, len(batch), rows):
        part = slice(start, start + rows)
        with contextlib.suppress(Exception):  # one by one, it is known whose it is
            whole = _draw(column[part].to_pylist(), config, images[part])
            drawn[start : start + len(whole)] = whole
    return drawn


def _draw(data: list[bytes | None], config: ImageConfig, images: np.ndarray) -> np.ndarray:
    """Fills in those of `images` that are plain PNGs of the very shape; (n,) bool, which of the
    first n, where there is none behind them."""
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
    """Whether the images are said to be raw pixels of `config`'s shape and type already."""
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
            Reason.WRONG_SHAPE, f"{data.size} bytes, not the {expected} of {shape} {dtype}"
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
    """Whether the inputs' column `target` may hold images.

    Raises:
      ConfigError: there is no such column, or it is of another type.
    """
    if carried_name(target) not in carried.names:
        names = ", ".join(carried.names) or "none"
        raise ConfigError(f"model.target: the inputs have no column {target!r}; known: {names}")
    if not holds_images(kind := carried.field(carried_name(target)).type):
        raise ConfigError(
            f"model.target: {target!r} must be binary or struct<bytes, path>. Received: {kind}"
        )


def decode_pairs(
    batch: pa.RecordBatch, target: str, config: ImageConfig, kept: Mapping[str, str] | None = None
) -> pa.RecordBatch:
    """The same rows with `image`, and as `target` the column of that name in the input, as raw
    pixels of `config`'s shape and type; other columns are left out, but for those that `kept` names
    as they are to be called.

    Targets are encoded where images are, and raw in the same layout where those are. A row of which
    either cannot be decoded becomes a reject.
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
