"""Decodes image records, encoded or raw, to records with raw pixels of one shape."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.utils.windowed_value import WindowedValue

from ae_models.config.configuration import ImageConfig
from ae_models.config.validated import check_range
from transforms.execution.background import Ahead
from transforms.execution.timing import Timed, timed
from transforms.images.decode_batch import decode_batch, decode_pairs, is_decoded
from transforms.images.self_test import check_decoders
from transforms.records.batches import bounded_slices

# Bytes per image. Decoding small images is mostly Python, for which threads only wait.
_WORTH_A_THREAD = 8 << 10
_SLICE_BYTES = 4 << 20  # encoded plus decoded, given to one thread at a time
_BYTES_AHEAD = 2 * _SLICE_BYTES  # per thread: the slice being decoded and the next one


@dataclasses.dataclass(frozen=True)
class _Decoding:
    """How to decode encoded images: at most `rows` of them are decoded together."""

    config: ImageConfig
    rows: int
    target: str | None = None
    kept: Mapping[str, str] | None = None
    stored: bool = False

    def parts(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        """Slices of the batch: encoded images are small, but their pixels may not be."""
        if self.target is None and is_decoded(batch, self.config):
            return [batch]
        mean_bytes = batch.nbytes // max(1, len(batch)) + self.config.image_bytes
        return bounded_slices(batch, max(1, min(self.rows, _SLICE_BYTES // mean_bytes)))

    def decoded(self, batch: pa.RecordBatch) -> Timed[pa.RecordBatch]:
        if self.target is None:
            return timed(self._decode_batch, batch)
        return timed(decode_pairs, batch, self.target, self.config, self.kept)

    def _decode_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return decode_batch(batch, self.config, stored=self.stored)


class _DecodeAhead(beam.DoFn):
    """Decodes in the background while later steps process earlier records."""

    def __init__(self, threads: int, bytes_ahead: int = _BYTES_AHEAD):
        self._threads, self._bytes_ahead = threads, bytes_ahead
        self._milliseconds = Metrics.distribution("latentbeam", "decode_milliseconds")

    def setup(self) -> None:
        for decoding in self._all_decodings():
            check_decoders(decoding.config)

    def start_bundle(self) -> None:
        self._ahead: Ahead[tuple[Any, Timed[pa.RecordBatch], Any, Any]] = Ahead(
            self._bytes_ahead * self._threads, self._threads
        )

    def finish_bundle(self) -> Iterable[WindowedValue]:
        yield from map(self._reported, self._ahead.drain())

    def teardown(self) -> None:
        """Also runs after a failed Beam bundle, whose images nobody waits for."""
        if hasattr(self, "_ahead"):
            self._ahead.close()

    def _all_decodings(self) -> Iterable[_Decoding]:
        raise NotImplementedError

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


class DecodersChecked(beam.DoFn):
    """Passes batches through unchanged, after checking that the decoders work: later steps decode
    the images."""

    def setup(self) -> None:
        check_decoders()

    def process(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        return [batch]


class _Decode(_DecodeAhead):
    def __init__(self, decoding: _Decoding, threads: int, bytes_ahead: int):
        super().__init__(threads, bytes_ahead)
        self._decoding = decoding

    def _all_decodings(self) -> Iterable[_Decoding]:
        return [self._decoding]

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

    def _all_decodings(self) -> Iterable[_Decoding]:
        return self._decodings.values()

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
      config: shape and type of the pixels, completely specified.
      rows: maximum number of encoded images that are decoded into one batch.
      target: a second column of images; the result is pairs, as `decode_pairs` returns them.
      threads: number of decoding threads per Beam bundle. Use 1 if a runner starts a process per
        core.
      kept: for pairs, further columns to retain, by the names that they get.
      bytes_ahead: encoded plus decoded bytes that each thread may be ahead of the next step: as
        much as that step takes at once, if it waits for nothing else.
      stored: whether to add a column `STORED` with how files store their images; not for pairs.

    Raises:
      ConfigError: `rows` or `threads` is less than 1.
    """

    def __init__(
        self,
        config: ImageConfig,
        rows: int,
        target: str | None = None,
        threads: int = 1,
        kept: Mapping[str, str] | None = None,
        bytes_ahead: int = _BYTES_AHEAD,
        stored: bool = False,
    ):
        super().__init__()
        check_range(1, rows=rows, threads=threads)
        self._arguments = (_Decoding(config, rows, target, kept, stored), threads, bytes_ahead)

    def expand(self, records: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        return records | "Decode" >> beam.ParDo(_Decode(*self._arguments)).with_output_types(
            pa.RecordBatch
        )


class DecodeImagesByKey(beam.PTransform):
    """(key, image records) → (key, image records with raw pixels), as configured for the key.

    Args:
      configs: for each key, the shape and type of the pixels, and the maximum number of encoded
        images that are decoded into one batch.
      threads: as for `DecodeImages`.
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
