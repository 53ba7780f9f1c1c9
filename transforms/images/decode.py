"""Image records with encoded or raw images to records with raw pixels of one shape."""

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

# Bytes an image. Of small ones, decoding is mostly Python, for which threads only wait.
_WORTH_A_THREAD = 8 << 10
_SLICE_BYTES = 4 << 20  # encoded and decoded, that one thread is given at once
_BYTES_AHEAD = 2 * _SLICE_BYTES  # a thread: a slice that it decodes, and one to go on with


@dataclasses.dataclass(frozen=True)
class _Decoding:
    """What is to be made of encoded images: `rows` of them at most are decoded together."""

    config: ImageConfig
    rows: int
    target: str | None = None
    kept: Mapping[str, str] | None = None
    stored: bool = False

    def parts(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        """Sliced before decoding: encoded images are small, their pixels need not be."""
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
    """Decodes in the background while what follows is busy with earlier records."""

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
        """Also after a bundle that failed, with images that nobody waits for."""
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
    """Batches as they are, of which others decode the images, once the decoders are found to
    work."""

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
      config: shape and type of the pixels, all of it known.
      rows: of encoded images, the most that are decoded into one batch.
      target: a column of images too: pairs, as `decode_pairs` gives them.
      threads: that decode at once, for each bundle. One where a runner starts a process a core.
      kept: of pairs, the further columns that are kept, by the names that they get.
      bytes_ahead: encoded and decoded, that a thread is ahead of what follows: as much as that
        takes at once, where it waits for nothing else.
      stored: whether a column `STORED` says how files hold their images; not of pairs.

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
