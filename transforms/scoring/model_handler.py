"""Beam's `ModelHandler` for record batches of raw pixels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.names import ANOMALY_MAP, ERROR_MAP
from ae_models.bundles.scorer import Scorer, joined
from ae_models.calibration.score_calibration import calibration_of
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError
from transforms.execution.isolation import isolated
from transforms.execution.timing import ProgressLog
from transforms.maps.locate import Locator, Placed
from transforms.records.batches import IMAGE, REJECT, REJECT_TYPE
from transforms.records.pixels import pixels_from_arrow, raw_layout
from transforms.records.rejects import Reason, Stage, reject
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.columns import scored_columns
from transforms.scoring.options import ScoreOptions


class LoadedModel:
    """A model bundle as loaded by a worker process."""

    def __init__(self, bundle_path: str, options: ScoreOptions | None = None):
        options = options or ScoreOptions()
        self.bundle = bundle = open_bundle(local_bundle(bundle_path))
        maps = [ERROR_MAP] if options.error_maps else []
        maps += [ANOMALY_MAP] if options.regions else []
        self.scorer = Scorer(bundle.path, bundle.config, options.outputs, options.primary, maps)
        self.calibration = calibration_of(bundle, options.primary)
        self.fingerprint = bundle.fingerprint
        self.fpr = bundle.config.scoring.fpr if options.fpr is None else options.fpr
        self.locator = None
        if options.regions:
            self.locator = Locator(bundle, self.fpr, options.maps, options.map_format)
        self._maps = bool(maps)
        self._progress = ProgressLog()

    def score(self, elements: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """Scores batches together; each result has the rows of its batch.

        A record for which the model raises or runs out of memory becomes a reject. It is found by
        scoring ever smaller groups, each padded to the scorer's fixed shape.

        This is a method because Beam gives processes that share a model a proxy, which has methods
        only.

        Raises:
          ValueError: `image` of a batch is not raw pixels of the bundle's shape and type.
          StageError: the model cannot score any record.
        """
        for element in elements:
            self._check(element)

        return isolated(self._score_together, elements, Stage.SCORE, Reason.SCORE_FAILED)

    def located(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, Placed]]:
        """Returns the unchanged rows, and the map of each row that is not a reject, by row number.
        `batch` is as for `score`, with the column `STORED`.

        Raises:
          ConfigError: regions were not requested.
        """
        locator = self.asked_locator()
        images, rejects = _images(batch, self.scorer), rejects_of(batch)
        maps = self.scorer.score(images, maps=True)[ANOMALY_MAP]
        placed = locator.placed(batch.filter(rejects.is_null()), maps)
        rows = np.flatnonzero(rejects.is_null().to_numpy(zero_copy_only=False)).tolist()
        return batch, dict(zip(rows, placed, strict=True))

    def asked_locator(self) -> Locator:
        """The locator, which finds regions.

        Raises:
          ConfigError: regions were not requested.
        """
        if self.locator is None:
            raise ConfigError("regions were not requested: load the model with regions=True")
        return self.locator

    def _check(self, element: pa.RecordBatch) -> None:
        _check_layout(element, self.scorer)

    def _score_together(self, elements: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """The scored batches, each with the rows of its input batch."""
        images = [_images(element, self.scorer) for element in elements]
        pixels = images[0] if len(images) == 1 else np.concatenate(images)
        outputs = _Outputs(self.scorer.score_parts(pixels, self._maps))
        results = [
            scored_batch(element, outputs.take(len(part)), self)
            for element, part in zip(elements, images, strict=True)
        ]
        self._progress.add(len(pixels))
        return results


class AutoencoderModelHandler(ModelHandler[pa.RecordBatch, pa.RecordBatch, LoadedModel]):
    """Scores image records whose `image` is raw pixels of the bundle's shape.

    Returns one output batch per input batch: `image` is removed; latents, scores, `p_value`,
    `is_anomaly` and `model` are added. Rejects have null scores. A record without a finite score,
    or for which the model raises, becomes a reject; the other records are unaffected.

    Args:
      bundle_path: the model bundle's folder, local or remote; only the path is sent to workers, not
        the weights.
      fpr, error_maps, outputs, primary: see `ScoreOptions`.
      max_rows: the number of rows that Beam gathers before it calls the model.
      **kwargs: passed to Beam's `ModelHandler`.

    Raises:
      ConfigError: `fpr` is not above 0 and below 1, or `max_rows` is less than 1.
    """

    def __init__(
        self,
        bundle_path: str,
        *,
        fpr: float | None = None,
        error_maps: bool = False,
        outputs: Sequence[str] | None = None,
        primary: str | None = None,
        max_rows: int = 512,
        **kwargs: Any,
    ):
        check_range(1, max_rows=max_rows)
        # A fixed size: with a varying target, Beam emits empty batches.
        super().__init__(
            min_batch_size=max_rows, max_batch_size=max_rows, element_size_fn=_rows, **kwargs
        )
        self._bundle_path, self._model_class = bundle_path, LoadedModel
        self._options = ScoreOptions(
            fpr, error_maps, None if outputs is None else tuple(outputs), primary
        )
        self._scored = Metrics.counter("latentbeam", "records_scored")

    @classmethod
    def asked(
        cls,
        bundle_path: str,
        options: ScoreOptions,
        max_rows: int,
        model_class: type[LoadedModel] = LoadedModel,
    ) -> "AutoencoderModelHandler":
        """A handler with all options: regions, maps and tiles are output columns, which
        `transforms.maps` turns into tables.

        Args:
          bundle_path, max_rows: see the class.
          options: what to compute.
          model_class: the class that a worker process loads.
        """
        handler = cls(bundle_path, max_rows=max_rows)
        handler._options, handler._model_class = options, model_class
        return handler

    def load_model(self) -> LoadedModel:
        return self._model_class(self._bundle_path, self._options)

    def update_model_path(self, model_path: str | None = None) -> None:
        self._bundle_path = model_path or self._bundle_path

    def get_num_bytes(self, batch: Sequence[pa.RecordBatch]) -> int:
        return sum(element.nbytes for element in batch)

    def get_metrics_namespace(self) -> str:
        return "latentbeam"

    def run_inference(
        self,
        batch: Sequence[pa.RecordBatch] | pa.RecordBatch,
        model: LoadedModel,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[pa.RecordBatch]:
        del inference_args
        elements = [batch] if isinstance(batch, pa.RecordBatch) else list(batch)
        if not elements:
            return []
        results = model.score(elements)
        self._scored.inc(sum(map(count_good, results)))
        return results


class _Outputs:
    """A scorer's outputs, regrouped into portions of other sizes and computed only when needed."""

    def __init__(self, parts: Iterator[dict[str, np.ndarray]]):
        self._parts = parts
        self._rest = next(parts)

    def take(self, rows: int) -> dict[str, np.ndarray]:
        """The outputs of the next `rows` records."""
        parts, found = [self._rest], len(self._rest["score"])
        while found < rows:
            parts.append(next(self._parts))
            found += len(parts[-1]["score"])
        whole = joined(parts)
        self._rest = {name: values[rows:] for name, values in whole.items()}
        return {name: values[:rows] for name, values in whole.items()}


def _rows(element: Any) -> int:
    """The number of rows of a batch, or of a keyed batch as `KeyedModelHandler` passes it."""
    return len(element[1] if isinstance(element, tuple) else element)


def _check_layout(batch: pa.RecordBatch, scorer: Scorer) -> None:
    layout = raw_layout(batch.schema.field(IMAGE).metadata)
    expected = (scorer.image.shape, np.dtype(scorer.image.dtype))
    if layout != expected:
        raise ValueError(
            f"image must be raw pixels of {expected}, as from DecodeImages. Received: {layout}"
        )


def _images(batch: pa.RecordBatch, scorer: Scorer) -> np.ndarray:
    """The pixels of the rows that are not rejects, (n, H, W, C)."""
    column = batch.column(IMAGE)
    rejects = rejects_of(batch)
    if rejects.null_count < len(batch):
        column = column.filter(rejects.is_null())
    return pixels_from_arrow(column, scorer.image.shape, np.dtype(scorer.image.dtype))


def count_good(batch: pa.RecordBatch) -> int:
    """The number of rows that are not rejects."""
    return int(rejects_of(batch).null_count)


def rejects_of(batch: pa.RecordBatch) -> pa.Array:
    """The column `reject`, or nulls if there is none."""
    if REJECT in batch.schema.names:
        return batch.column(REJECT)
    return pa.nulls(len(batch), REJECT_TYPE)


def scored_batch(
    batch: pa.RecordBatch,
    outputs: dict[str, np.ndarray],
    model: LoadedModel,
    maps: Sequence[Placed] | None = None,
) -> pa.RecordBatch:
    """`batch` without its images, and with the outputs of its good rows, in order. `maps` are the
    maps of the same rows; if None, they are among the outputs."""
    p_values = model.calibration.p_values(outputs["score"])
    flags = p_values <= model.fpr
    columns = scored_columns(outputs, p_values, flags, model.fingerprint)
    rejects = rejects_of(batch)
    good = rejects.is_null().to_numpy(zero_copy_only=False)
    if model.locator is not None:
        if maps is None:
            records = batch if good.all() else batch.filter(rejects.is_null())
            maps = model.locator.placed(records, outputs[ANOMALY_MAP])
        columns |= model.locator.columns(maps, flags)
    finite = np.isfinite(outputs["score"])
    if not good.all():
        rows = pa.array(np.cumsum(good) - 1, mask=~good)
        columns = {name: column.take(rows) for name, column in columns.items()}
    if not finite.all():
        rejects = _with_not_finite(rejects, np.flatnonzero(good)[~finite])
    names = [name for name in batch.schema.names if name not in (IMAGE, REJECT)]
    kept = {name: batch.column(name) for name in names}
    return pa.RecordBatch.from_pydict({**kept, **columns, REJECT: rejects})


def _with_not_finite(rejects: pa.Array, rows: np.ndarray) -> pa.Array:
    values = rejects.to_pylist()
    for row in rows:
        values[row] = reject(Stage.SCORE, Reason.NOT_FINITE, "the score is not a finite number")
    return pa.array(values, REJECT_TYPE)
