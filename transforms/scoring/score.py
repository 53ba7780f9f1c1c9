"""Scoring image records with a model bundle."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.ml.inference.base import RunInference
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import with_output_types

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.names import ANOMALY_MAP
from ae_models.bundles.scorer import check_maps, check_outputs, chosen_score
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError
from transforms.execution.composite import Composite
from transforms.images.decode import DecodeImages, DecodersChecked
from transforms.maps.locate import has_regions
from transforms.maps.pictures import MapFormat
from transforms.maps.tables import map_rows, region_rows, tile_rows
from transforms.reading.read import ImageRecords
from transforms.records.batches import MAP, REGIONS, STORED, TILES, bounded_slices
from transforms.records.rejects import good_rows, reject_rows
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.model_handler import AutoencoderModelHandler
from transforms.scoring.options import ScoreOptions
from transforms.scoring.tiled_model import TiledModel

_REJECTS = "rejects"
_LOCATED = {REGIONS: region_rows, MAP: map_rows, TILES: tile_rows}
# Per-batch overhead is small per record if a batch spans several model calls. Large images cost
# more themselves: there, a small batch lets decoding and the network overlap.
_MOST_CALLS_A_BATCH, _BATCH_BYTES = 8, 8 << 20
# A backbone keeps all cores busy in every call, and other work only takes turns with it: batches of
# several calls, with one thread that decodes the next, are fastest.
_BYTES_OF_FEATURES = 32 << 20
_TILED_ROWS = 16


class ScoredRecords(NamedTuple):
    """The output of `ScoreImages`; pipe it into `WriteScores`.

    What is not known is None: `tallies` if the records did not come from `ReadImages`, `regions`
    if the bundle does not support them, `maps` and `tiles` if they are not stored.
    """

    scores: PCollection[pa.RecordBatch]
    rejects: PCollection[pa.RecordBatch] | None
    tallies: PCollection[pa.RecordBatch] | None
    regions: PCollection[pa.RecordBatch] | None = None
    maps: PCollection[pa.RecordBatch] | None = None
    tiles: PCollection[pa.RecordBatch] | None = None


@with_output_types(pa.RecordBatch)
class _Split(beam.DoFn):
    def process(self, batch: pa.RecordBatch) -> Iterable[Any]:
        rejects = reject_rows(batch)
        if len(rejects):
            yield TaggedOutput(_REJECTS, rejects)
        if len(rejects) == len(batch):
            return
        good = good_rows(batch)
        for column, rows_of in _LOCATED.items():
            if column in good.schema.names and len(rows := rows_of(good)):
                yield TaggedOutput(column, rows)
        travelled = [name for name in (STORED, *_LOCATED) if name in good.schema.names]
        yield good.drop_columns(travelled) if travelled else good


def split_scored(
    scored: PCollection[pa.RecordBatch],
    tallies: PCollection[pa.RecordBatch] | None,
    options: ScoreOptions,
) -> ScoredRecords:
    """Splits a model handler's output into scores, rejects and, if requested, regions, maps and
    tiles."""
    located = [REGIONS] if options.regions else []
    located += [MAP] if options.maps is not None else []
    located += [TILES] if options.tiles else []
    split = scored | "SplitRejects" >> beam.ParDo(_Split()).with_outputs(
        _REJECTS, *located, main="scores"
    )
    others = (split[tag] if tag in located else None for tag in _LOCATED)
    return ScoredRecords(split.scores, split[_REJECTS], tallies, *others)


def asked_of(bundle: Bundle, options: ScoreOptions) -> ScoreOptions:
    """The options, with regions if the bundle supports them.

    Raises:
      ConfigError: maps or tiles are requested, and the bundle has none.
    """
    if options.maps is not None:
        check_maps(bundle.config, [ANOMALY_MAP])
    if options.tiles and bundle.config.image.tile is None:
        raise ConfigError(f"{bundle.path} does not split images into tiles: train with image.tile")
    if options.error_maps and bundle.config.image.tile is not None:
        raise ConfigError(
            "error maps are not available for images in tiles: use maps (--maps all) instead"
        )
    return dataclasses.replace(options, regions=options.maps is not None or has_regions(bundle))


class ScoreImages(Composite):
    """Decodes image records and applies a bundle's model, through Beam's own `RunInference`.

    Args:
      bundle_path: the model bundle's folder, local or remote.
      fpr, error_maps, outputs, primary, maps, map_format, tiles: see `ScoreOptions`; regions are
        found if the bundle supports them.
      decoding_threads: per bundle of elements. Use one if the runner starts one process per core.

    Returns:
      `ScoredRecords`, from `ImageRecords` or from a PCollection of image records.

    Raises:
      BundleError: the bundle is missing or was changed.
      ConfigError: `fpr` is not above 0 and below 1, `decoding_threads` is less than 1, or the
        bundle has no such output or score, or no maps.
    """

    def __init__(
        self,
        bundle_path: str,
        *,
        fpr: float | None = None,
        error_maps: bool = False,
        outputs: Sequence[str] | None = None,
        primary: str | None = None,
        maps: Literal["all", "flagged"] | None = None,
        map_format: MapFormat = "parquet",
        tiles: bool = False,
        decoding_threads: int = 1,
    ):
        super().__init__()
        check_range(1, decoding_threads=decoding_threads)
        self._bundle_path = str(bundle_path)
        self._options = ScoreOptions(
            fpr,
            error_maps,
            None if outputs is None else tuple(outputs),
            primary,
            maps=maps,
            map_format=map_format,
            tiles=tiles,
        )
        self._decoding_threads = decoding_threads

    def expand(self, images: ImageRecords | PCollection[pa.RecordBatch]) -> ScoredRecords:
        bundle = open_bundle(local_bundle(self._bundle_path))
        check_outputs(bundle.config, self._options.outputs)
        chosen_score(bundle.config, self._options.primary)
        options = asked_of(bundle, self._options)
        records, tallies = (
            (images.records, images.tallies) if isinstance(images, ImageRecords) else (images, None)
        )
        if bundle.config.image.tile is not None:
            return split_scored(records | self._in_tiles(options), tallies, options)
        image, rows = bundle.config.image, bundle.config.batch_rows
        if bundle.config.features.is_on:
            most_bytes = _BYTES_OF_FEATURES
            decode = DecodeImages(image, rows, bytes_ahead=most_bytes, stored=options.regions)
        else:
            most_bytes = _BATCH_BYTES
            threads = self._decoding_threads
            decode = DecodeImages(image, rows, threads=threads, stored=options.regions)
        calls = most_bytes // (rows * image.image_bytes)
        calls = max(1, min(_MOST_CALLS_A_BATCH, calls))
        handler = AutoencoderModelHandler.asked(self._bundle_path, options, calls * rows)
        scored = records | "Decode" >> decode | "RunInference" >> RunInference(handler)
        return split_scored(scored, tallies, options)

    def _in_tiles(self, options: ScoreOptions) -> beam.PTransform:
        """Passes encoded records to the model, a few at a time: their maps take more memory than
        the encoded images."""
        handler = AutoencoderModelHandler.asked(self._bundle_path, options, _TILED_ROWS, TiledModel)
        slices = beam.FlatMap(bounded_slices, _TILED_ROWS).with_output_types(pa.RecordBatch)
        return beam.ParDo(DecodersChecked()) | "Slice" >> slices | RunInference(handler)
