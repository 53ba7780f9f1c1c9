"""Image records with encoded or raw images to records with raw pixels of one shape."""

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.utils.windowed_value import WindowedValue

from ae_models.config.configuration import ImageConfig
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, InputError
from transforms.execution.background import Ahead
from transforms.execution.isolation import failed, isolated
from transforms.execution.timing import Timed, timed
from transforms.images.decoding import decode_image
from transforms.images.fitting import fit_image
from transforms.images.limits import check_pixels
from transforms.images.plain_png import PlainPngs, plain_png
from transforms.records.batches import (
    ID,
    IMAGE,
    REJECT,
    REJECT_TYPE,
    SOURCE,
    TARGET,
    bounded_slices,
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

# Bytes an image. Of small ones, decoding is mostly Python, for which threads only wait.
_WORTH_A_THREAD = 8 << 10
_SLICE_BYTES = 4 << 20  # encoded and decoded, that one thread is given at once
_DRAWN_BYTES = 32 << 10  # an image; decoding larger ones costs more than what is around it
_PICTURE_BYTES = 1 << 20
_SLICES_AHEAD = 2  # a thread: one that it decodes, and one to go on with


def decode_batch(batch: pa.RecordBatch, config: ImageConfig) -> pa.RecordBatch:
    """The same rows with `image` as raw pixels of `config`'s shape and type, all of it known.

    A row whose image cannot be decoded becomes a reject, whatever its decoder raises; one that is a
    reject stays as it is.
    """

    def each(parts: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        return [_decoded_rows(part, config) for part in parts]

    # What one image raises is caught there. What is left is memory for all of them.
    (decoded,) = isolated(each, [batch], Stage.DECODE, Reason.CORRUPT)
    return decoded


def _decoded_rows(batch: pa.RecordBatch, config: ImageConfig) -> pa.RecordBatch:
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
            return with_column(batch, IMAGE, pixels_to_arrow(pixels), metadata)
        except ValueError:
            pass  # no bytes, or a wrong number of them: one by one, below
    images = np.zeros((len(batch), *config.shape), config.dtype)
    rejects = batch.column(REJECT).to_pylist()
    drawn = _draw_plain_pngs(batch, layout, config, images)
    for index, value in enumerate(batch.column(IMAGE)):
        if rejects[index] is not None or drawn[index]:
            continue
        try:
            images[index] = _pixels(value.as_buffer(), layout, config)
        except RecordError as error:
            rejects[index] = error.at(Stage.DECODE)
        except Exception as error:  # one image never ends the run
            rejects[index] = failed(error, Stage.DECODE, Reason.CORRUPT)
    return _with_pixels(batch, images, rejects, config)


def _draw_plain_pngs(
    batch: pa.RecordBatch, layout: object, config: ImageConfig, images: np.ndarray
) -> np.ndarray:
    """Fills in the images that are plain PNGs of the very shape, small ones; (N,) bool, which."""
    drawn = np.zeros(len(batch), bool)
    small = max(config.image_bytes, batch.nbytes // max(1, len(batch))) <= _DRAWN_BYTES
    if layout is not None or config.dtype != "uint8" or not small:
        return drawn
    column, rows = batch.column(IMAGE), _PICTURE_BYTES // config.image_bytes
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
) -> np.ndarray:
    if data is None:
        raise RecordError(Reason.NO_IMAGE, "the record's image is null")
    if layout is None:
        return decode_image(data.to_pybytes(), config)
    shape, dtype = layout
    check_pixels(shape[1], shape[0], config.max_pixels)
    expected = math.prod(shape) * dtype.itemsize
    if data.size != expected:
        raise RecordError(
            Reason.WRONG_SHAPE, f"{data.size} bytes, not the {expected} of {shape} {dtype}"
        )
    return fit_image(np.frombuffer(data, dtype).reshape(shape), config)


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


def decode_pairs(batch: pa.RecordBatch, target: str, config: ImageConfig) -> pa.RecordBatch:
    """The same rows with `image`, and as `target` the column of that name in the input, as raw
    pixels of `config`'s shape and type; other carried columns are left out.

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
        carried={TARGET: targets.column(IMAGE)},
        rejects=images.column(REJECT).to_pylist(),
        image_metadata=raw_metadata(config.shape, config.dtype),
    )


@dataclasses.dataclass(frozen=True)
class _Decoding:
    """What is to be made of encoded images: `rows` of them at most are decoded together."""

    config: ImageConfig
    rows: int
    target: str | None = None

    def parts(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        """Sliced before decoding: encoded images are small, their pixels need not be."""
        if self.target is None and is_decoded(batch, self.config):
            return [batch]
        mean_bytes = batch.nbytes // max(1, len(batch)) + self.config.image_bytes
        return bounded_slices(batch, max(1, min(self.rows, _SLICE_BYTES // mean_bytes)))

    def decoded(self, batch: pa.RecordBatch) -> Timed[pa.RecordBatch]:
        if self.target is None:
            return timed(decode_batch, batch, self.config)
        return timed(decode_pairs, batch, self.target, self.config)


class _DecodeAhead(beam.DoFn):
    """Decodes in the background while what follows is busy with earlier records."""

    def __init__(self, threads: int):
        self._threads = threads
        self._milliseconds = Metrics.distribution("latentbeam", "decode_milliseconds")

    def start_bundle(self) -> None:
        self._ahead: Ahead[tuple[Any, Timed[pa.RecordBatch], Any, Any]] = Ahead(
            _SLICES_AHEAD * _SLICE_BYTES * self._threads, self._threads
        )

    def finish_bundle(self) -> Iterable[WindowedValue]:
        yield from map(self._reported, self._ahead.drain())

    def _decode(
        self, key: Any, batch: pa.RecordBatch, decoding: _Decoding, timestamp: Any, window: Any
    ) -> Iterable[WindowedValue]:
        def decoded(part: pa.RecordBatch) -> tuple[Any, Timed[pa.RecordBatch], Any, Any]:
            return key, decoding.decoded(part), timestamp, window

        for part in decoding.parts(batch):
            if part.nbytes < len(part) * _WORTH_A_THREAD:
                yield self._reported(decoded(part))
                continue
            size = part.nbytes + len(part) * decoding.config.image_bytes
            yield from map(self._reported, self._ahead.submit(size, decoded, part))

    def _reported(self, done: tuple[Any, Timed[pa.RecordBatch], Any, Any]) -> WindowedValue:
        key, decoded, timestamp, window = done
        self._milliseconds.update(decoded.milliseconds)
        value = decoded.value if key is None else (key, decoded.value)
        return WindowedValue(value, timestamp, (window,))


class _Decode(_DecodeAhead):
    def __init__(self, decoding: _Decoding, threads: int):
        super().__init__(threads)
        self._decoding = decoding

    def process(
        self,
        batch: pa.RecordBatch,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[WindowedValue]:
        return self._decode(None, batch, self._decoding, timestamp, window)


class _DecodeByKey(_DecodeAhead):
    def __init__(self, decodings: Mapping[str, _Decoding], threads: int):
        super().__init__(threads)
        self._decodings = decodings

    def process(
        self,
        element: tuple[str, pa.RecordBatch],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[WindowedValue]:
        key, batch = element
        return self._decode(key, batch, self._decodings[key], timestamp, window)


class DecodeImages(beam.PTransform):
    """Image records, encoded or raw → image records with raw pixels.

    Args:
      config: shape and type of the pixels, all of it known.
      rows: of encoded images, the most that are decoded into one batch.
      target: a column of images too: pairs, as `decode_pairs` gives them.
      threads: that decode at once, for each bundle. One where a runner starts a process a core.

    Raises:
      ConfigError: `rows` or `threads` is less than 1.
    """

    def __init__(self, config: ImageConfig, rows: int, target: str | None = None, threads: int = 1):
        super().__init__()
        check_range(1, rows=rows, threads=threads)
        self._arguments = (_Decoding(config, rows, target), threads)

    def expand(self, records: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        return records | "Decode" >> beam.ParDo(_Decode(*self._arguments)).with_output_types(
            pa.RecordBatch
        )


class DecodeImagesByKey(beam.PTransform):
    """(key, image records) → (key, image records with raw pixels), as the key asks for.

    Args:
      configs: for each key, the shape and type of the pixels, and the most encoded images that are
        decoded into one batch.
      threads: as of `DecodeImages`.
    """

    def __init__(self, configs: Mapping[str, tuple[ImageConfig, int]], threads: int = 1):
        super().__init__()
        check_range(1, threads=threads)
        self._decodings = {key: _Decoding(*arguments) for key, arguments in configs.items()}
        self._threads = threads

    def expand(
        self, records: PCollection[tuple[str, pa.RecordBatch]]
    ) -> PCollection[tuple[str, pa.RecordBatch]]:
        return records | "Decode" >> beam.ParDo(
            _DecodeByKey(self._decodings, self._threads)
        ).with_output_types(tuple[str, pa.RecordBatch])
