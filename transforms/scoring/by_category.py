"""Scoring each image record with the bundle of its category."""

import collections
import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import with_output_types
from apache_beam.utils.windowed_value import WindowedValue

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.scorer import chosen_score
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError
from transforms.execution.composite import Composite
from transforms.images.decode import DecodeImagesByKey
from transforms.reading.read import ImageRecords
from transforms.records.batches import REJECT, REJECT_TYPE, with_column
from transforms.records.categories import categories_of
from transforms.records.rejects import Reason, Stage, reject, reject_rows
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.columns import scored_schema
from transforms.scoring.model_cache import BoundedModels
from transforms.scoring.model_handler import LoadedModel, count_good
from transforms.scoring.options import ScoreOptions
from transforms.scoring.score import ScoredRecords, split_scored

_REJECTS = "rejects"
_GATHERED_BYTES = 128 << 20  # of encoded images, so that a loaded model scores many at a time
_BATCH_BYTES = 8 << 20  # of pixels passed to a model at once


def common_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The columns of all schemas, in order of first occurrence.

    Vectors that differ in length, or are missing from some schemas, become plain lists: Parquet
    readers do not accept a null for a fixed-length vector.
    """
    schemas = list(schemas)
    kinds: dict[str, set[pa.DataType]] = collections.defaultdict(set)
    for field in itertools.chain.from_iterable(schemas):
        kinds[field.name].add(field.type)
    fields = []
    for name, (kind, *others) in kinds.items():
        everywhere = all(name in schema.names for schema in schemas)
        varies = pa.types.is_fixed_size_list(kind) and (others or not everywhere)
        fields.append(pa.field(name, pa.list_(kind.value_type) if varies else kind))
    return pa.schema(fields)


def with_common_columns(scored: pa.RecordBatch, common: pa.Schema) -> pa.RecordBatch:
    """The same records with the columns of `common`, null where their bundle has no such column."""
    own = set(scored.schema.names)
    before = [name for name in scored.schema.names if name not in (*common.names, REJECT)]
    columns = {name: scored.column(name) for name in before}
    for field in common:
        columns[field.name] = (
            scored.column(field.name).cast(field.type)
            if field.name in own
            else pa.nulls(len(scored), field.type)
        )
    return pa.RecordBatch.from_pydict({**columns, REJECT: scored.column(REJECT)})


def reject_unknown(
    batch: pa.RecordBatch, categories: pa.Array, known: Iterable[str]
) -> pa.RecordBatch:
    """The same rows; those whose category has no bundle become rejects."""
    has_bundle = pc.is_in(categories, value_set=pa.array(list(known), pa.string()))
    rejects = batch.column(REJECT)
    unknown = pc.and_(pc.invert(has_bundle), rejects.is_null())
    if not pc.any(unknown).as_py():
        return batch
    values = rejects.to_pylist()
    for row in pc.indices_nonzero(unknown).to_pylist():
        message = f"no bundle for category {categories[row].as_py()!r}"
        values[row] = reject(Stage.SCORE, Reason.NO_MODEL, message)
    return with_column(batch, REJECT, pa.array(values, REJECT_TYPE))


class _Gathered:
    """Elements by key, released so that the total bytes stay within a limit."""

    def __init__(self, limit: int):
        self._limit, self._size = limit, 0
        self._elements: dict[Any, list[Any]] = collections.defaultdict(list)
        self._sizes: collections.Counter[Any] = collections.Counter()

    def add(self, key: Any, element: Any, size: int) -> list[Any]:
        """Adds an element; if the total exceeds the limit, releases those of the largest key."""
        self._elements[key].append(element)
        self._sizes[key] += size
        self._size += size
        if self._size <= self._limit:
            return []
        return self._take(self._sizes.most_common(1)[0][0])

    def drain(self) -> list[Any]:
        """The remaining elements, key by key."""
        return [element for key in list(self._elements) for element in self._take(key)]

    def _take(self, key: Any) -> list[Any]:
        self._size -= self._sizes.pop(key)
        return self._elements.pop(key)


@with_output_types(tuple[str, pa.RecordBatch])
class _Route(beam.DoFn):
    """Groups records by category, and gathers them so that models are not reloaded repeatedly."""

    def __init__(self, column: str, categories: Iterable[str]):
        self._column, self._categories = column, tuple(categories)

    def start_bundle(self) -> None:
        self._gathered = _Gathered(_GATHERED_BYTES)

    def process(
        self,
        batch: pa.RecordBatch,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[Any]:
        categories = categories_of(batch, self._column)
        batch = reject_unknown(batch, categories, self._categories)
        if len(rejects := reject_rows(batch)):
            yield TaggedOutput(_REJECTS, rejects)
        categories = categories.filter(batch.column(REJECT).is_null())
        good = batch.filter(batch.column(REJECT).is_null())
        for category in pc.unique(categories).to_pylist():
            part = good.filter(pc.equal(categories, category))
            element = WindowedValue((category, part), timestamp, (window,))
            yield from self._gathered.add((category, window), element, part.nbytes)

    def finish_bundle(self) -> Iterable[WindowedValue]:
        return self._gathered.drain()


class CategoryModelHandler(ModelHandler[tuple[str, pa.RecordBatch], pa.RecordBatch, Any]):
    """Scores (category, image records) with the category's bundle. The output is that of
    `AutoencoderModelHandler`, but with the columns of all bundles.

    Args:
      bundles: each category's bundle.
      options: the score options, the same for every bundle.
      max_models: the maximum number of bundles that a worker process keeps loaded.
    """

    def __init__(
        self,
        bundles: Mapping[str, Bundle],
        options: ScoreOptions,
        max_models: int,
    ):
        configs = [bundle.config for bundle in bundles.values()]
        limit = max(_BATCH_BYTES, *(config.image.image_bytes for config in configs))
        super().__init__(min_batch_size=limit, max_batch_size=limit, element_size_fn=_bytes)
        self._paths = {category: str(bundle.path) for category, bundle in bundles.items()}
        self._options, self._max_models = options, max_models
        self._schema = common_schema(
            scored_schema(config, options.outputs, options.error_maps) for config in configs
        )
        self._scored = Metrics.counter("latentbeam", "records_scored")
        self._loaded = Metrics.counter("latentbeam", "models_loaded")

    def load_model(self) -> BoundedModels[LoadedModel]:
        return BoundedModels(self._load, self._max_models)

    def _load(self, category: str) -> LoadedModel:
        return LoadedModel(self._paths[category], self._options)

    def get_num_bytes(self, batch: Sequence[tuple[str, pa.RecordBatch]]) -> int:
        return sum(map(_bytes, batch))

    def get_metrics_namespace(self) -> str:
        return "latentbeam"

    def run_inference(
        self,
        batch: Sequence[tuple[str, pa.RecordBatch]],
        model: BoundedModels[LoadedModel],
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[pa.RecordBatch]:
        del inference_args
        results = []
        for category, group in itertools.groupby(batch, key=operator.itemgetter(0)):
            elements = [element for _, element in group]
            with model.use(category, self._loaded.inc) as loaded:
                scored = loaded.score(elements)
                del loaded
            results += [with_common_columns(element, self._schema) for element in scored]
            self._scored.inc(sum(map(count_good, scored)))
        return results


def _bytes(element: tuple[str, pa.RecordBatch]) -> int:
    return int(element[1].nbytes)


class ScoreImagesByCategory(Composite):
    """`ScoreImages` with one model bundle per category, for example one per product.

    Records may come in any order: within each of Beam's bundles, up to 128 MiB of encoded images
    are gathered by category, so that a loaded model scores many of them. A record whose category
    has no model bundle becomes a reject, `no_model`.

    Args:
      bundles: each category's model bundle folder. Kinds, image shapes and latent sizes may differ:
        scores have the columns of all bundles, null where a record's bundle lacks one, and latents
        that differ in length, or are missing from some bundles, are plain lists.
      column: the carried column with a record's category; numbers are converted to text.
      fpr, error_maps, outputs, primary, decoding_threads: see `ScoreImages`.
      max_models_per_worker: the maximum number of model bundles that a worker process keeps in
        memory.

    Returns:
      `ScoredRecords`, from `ImageRecords` or from a PCollection of image records.

    Raises:
      BundleError: a bundle is missing or was changed.
      ConfigError: there is no bundle, `fpr` is not above 0 and below 1, a number is less than 1, or
        a bundle has no such output or score.
    """

    def __init__(
        self,
        bundles: Mapping[str, str],
        column: str,
        *,
        fpr: float | None = None,
        error_maps: bool = False,
        outputs: Sequence[str] | None = None,
        primary: str | None = None,
        max_models_per_worker: int = 8,
        decoding_threads: int = 1,
    ):
        super().__init__()
        if not bundles:
            raise ConfigError("bundles must map at least one category to a bundle. Received: none")
        check_range(
            1, max_models_per_worker=max_models_per_worker, decoding_threads=decoding_threads
        )
        self._bundles = {str(category): str(path) for category, path in bundles.items()}
        self._column, self._decoding_threads = column, decoding_threads
        self._options = ScoreOptions(
            fpr, error_maps, None if outputs is None else tuple(outputs), primary
        )
        self._max_models = max_models_per_worker

    def expand(self, images: ImageRecords | PCollection[pa.RecordBatch]) -> ScoredRecords:
        bundles = {
            category: open_bundle(local_bundle(path)) for category, path in self._bundles.items()
        }
        for bundle in bundles.values():
            bundle.check_not_in_tiles("scoring by category")
            chosen_score(bundle.config, self._options.primary)
        records, tallies = (
            (images.records, images.tallies) if isinstance(images, ImageRecords) else (images, None)
        )
        configs = {
            category: (bundle.config.image, bundle.config.batch_rows)
            for category, bundle in bundles.items()
        }
        routed = records | "Route" >> beam.ParDo(_Route(self._column, bundles)).with_outputs(
            _REJECTS, main="records"
        )
        handler = CategoryModelHandler(bundles, self._options, self._max_models)
        scored = (
            routed.records
            | "Decode" >> DecodeImagesByKey(configs, self._decoding_threads)
            | "RunInference" >> RunInference(handler)
        )
        found = split_scored(scored, tallies, self._options)
        rejects = (routed[_REJECTS], found.rejects) | "Rejects" >> beam.Flatten()
        return found._replace(rejects=rejects)
