"""Image records with encoded or raw images to records with raw pixels of one shape."""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection

from ae_models.config import ImageConfig
from ae_models.errors import InputError
from transforms.batches import IMAGE, REJECT, REJECT_TYPE, bounded_slices, with_column
from transforms.image_decoding import decode_image, fit_image
from transforms.pixels import pixels_from_arrow, pixels_to_arrow, raw_layout, raw_metadata
from transforms.rejects import Reason, RecordError, Stage, reject
from transforms.timing import timed


def decode_batch(batch: pa.RecordBatch, config: ImageConfig) -> pa.RecordBatch:
    """The same rows with `image` as raw pixels of `config`'s shape and type, all of it known.

    A row whose image cannot be decoded becomes a reject; one that is a reject stays as it is.
    """
    field = batch.schema.field(IMAGE)
    try:
        layout = raw_layout(field.metadata)
    except InputError as error:
        return _reject_all(batch, config, RecordError(Reason.WRONG_SHAPE, str(error)))
    metadata = raw_metadata(config.shape, config.dtype)
    if layout == (config.shape, np.dtype(config.dtype)):
        try:
            pixels = pixels_from_arrow(batch.column(IMAGE), *layout)
            return with_column(batch, IMAGE, pixels_to_arrow(pixels), metadata)
        except ValueError:
            pass  # rejects among the rows, or bytes of a wrong number: one by one, below
    images = np.zeros((len(batch), *config.shape), config.dtype)
    rejects = batch.column(REJECT).to_pylist()
    for index, value in enumerate(batch.column(IMAGE)):
        if rejects[index] is not None:
            continue
        try:
            images[index] = _pixels(value.as_buffer(), layout, config)
        except RecordError as error:
            rejects[index] = error.at(Stage.DECODE)
        except Exception as error:  # one image never ends the run
            message = f"{type(error).__name__}: {error}"
            rejects[index] = reject(Stage.DECODE, Reason.CORRUPT, message)
    return _with_pixels(batch, images, rejects, config)


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
    expected = int(np.prod(shape)) * dtype.itemsize
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


class _Decode(beam.DoFn):
    def __init__(self, config: ImageConfig, rows: int):
        self._config, self._rows = config, rows
        self._milliseconds = Metrics.distribution("latentbeam", "decode_milliseconds")

    def process(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        # Sliced before decoding: encoded images are small, their pixels need not be.
        for part in bounded_slices(batch, self._rows):
            with timed(self._milliseconds):
                decoded = decode_batch(part, self._config)
            yield decoded


class DecodeImages(beam.PTransform):
    """Image records, encoded or raw → image records with raw pixels, `rows` at most in a batch."""

    def __init__(self, config: ImageConfig, rows: int):
        super().__init__()
        self._config, self._rows = config, rows

    def expand(self, records: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        return records | "Decode" >> beam.ParDo(
            _Decode(self._config, self._rows)
        ).with_output_types(pa.RecordBatch)
