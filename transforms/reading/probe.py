"""Examines a sample of an input's images beforehand: their sizes, channels and bits."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from ae_models.errors import InputError
from transforms.execution.isolation import failed
from transforms.images.bands import large_layout
from transforms.images.decoding import decode_as_is, told_layout
from transforms.images.limits.size import check_pixels
from transforms.reading.looked_at import LookedAt
from transforms.reading.read import common_carried, read_task
from transforms.reading.spread import Spread
from transforms.reading.survey import Kind, Looked, Survey
from transforms.records.batches import ID, IMAGE, REJECT, BatchLimits
from transforms.records.pixels import Layout, raw_layout
from transforms.records.rejects import Reason, RecordError, Stage
from transforms.records.where import Where
from transforms.sources import Source

MOST_IMAGES = 1000
_DECODED_PIXELS = 1 << 22  # of fully decoded small images: a tenth of a second
_LIMITS = BatchLimits(rows=256)


def survey_images(
    sources: Sequence[Source], wheres: Sequence[Where], max_pixels: int, in_bands: bool = False
) -> Survey:
    """The sizes and kinds of a sample of the images; those of encoded images are mostly read from
    their headers.

    Args:
      sources, wheres: the inputs and conditions that select the records.
      max_pixels: maximum number of pixels of an image that is decoded in one piece.
      in_bands: whether larger images, which are decoded in bands, are allowed.

    Raises:
      InputError: no record matches the conditions, or no image can be decoded.
      ConfigError: a condition names a column that the inputs do not have.
    """
    carried = common_carried(sources)
    for where in wheres:
        where.check(carried)
    batches, total = Spread(sources, carried, wheres, MOST_IMAGES).read()
    look = _Look(max_pixels, in_bands)
    found = [looked for batch in batches for looked in look.at(batch)]
    if found:
        return Survey(tuple(found), look.in_vain.reasons.total(), total)
    return _first_of_all(sources, wheres, carried, _Look(max_pixels, in_bands))


def _first_of_all(
    sources: Sequence[Source], wheres: Sequence[Where], carried: pa.Schema, look: "_Look"
) -> Survey:
    """The first image that can be decoded, if few records match the conditions or are good, so that
    the sample has none."""
    for source in sources:
        for task in source.tasks():
            for batch, excluded in read_task(source, task, _LIMITS, carried=carried, wheres=wheres):
                look.in_vain.excluded += excluded
                for looked in look.at(batch):
                    return Survey((looked,), look.in_vain.reasons.total())
    raise InputError(look.in_vain.nothing_found([source.uri for source in sources], wheres))


@dataclasses.dataclass
class _Look:
    """Examines image records.

    Headers may be those of damaged images. Images are therefore decoded until one succeeds, and as
    long as that takes little time.

    Args:
      max_pixels: maximum number of pixels of an image.
      in_bands: whether images that are decoded in bands may be larger.
      decoded: number of images that were found to be complete.
      pixels: number of pixels decoded so far.
      in_vain: counts the records without a usable image.
    """

    max_pixels: int
    in_bands: bool = False
    decoded: int = 0
    pixels: int = 0
    in_vain: LookedAt = dataclasses.field(default_factory=LookedAt)

    def at(self, batch: pa.RecordBatch) -> Iterator[Looked]:
        """The findings for each record that is an image."""
        metadata = batch.schema.field(IMAGE).metadata
        rows = zip(*(batch.column(name) for name in (ID, IMAGE, REJECT)), strict=True)
        for record, image, rejected in rows:
            reject = rejected.as_py()
            if reject is None:
                try:
                    (height, width, channels), dtype = self._layout(image, metadata)
                except RecordError as error:
                    reject = error.at(Stage.DECODE)
                except MemoryError as error:
                    reject = failed(error, Stage.DECODE, Reason.OUT_OF_MEMORY)
                else:
                    yield Looked(height, width, Kind(channels, dtype.itemsize * 8))
                    continue
            self.in_vain.add(record.as_py(), reject)

    def _layout(self, image: pa.Scalar, metadata: Mapping[bytes, bytes] | None) -> Layout:
        try:
            raw = raw_layout(metadata)
        except InputError as error:
            raise RecordError(Reason.WRONG_SHAPE, str(error)) from error
        if not image.is_valid:
            raise RecordError(Reason.NO_IMAGE, "the record's image is null")
        if raw is not None:
            (height, width, _), _ = raw
            check_pixels(width, height, self.max_pixels)
            self.decoded += 1
            return raw
        data = image.as_py()
        if self.in_bands and (large := large_layout(memoryview(data))) is not None:
            self.decoded += 1
            return large
        if self.decoded and self.pixels >= _DECODED_PIXELS:
            told = told_layout(data, self.max_pixels)
            if told is not None:
                return told
        return self._decoded(data)

    def _decoded(self, data: bytes) -> Layout:
        pixels = decode_as_is(data, self.max_pixels)
        self.decoded += 1
        self.pixels += pixels.shape[0] * pixels.shape[1]
        return pixels.shape, pixels.dtype
