"""A model bundle as a detector for Beam's `apache_beam.ml.anomaly`, for rows with one image each.

rows | AnomalyDetection(bundle_detector("bundle/"))
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.ml.anomaly.base import AnomalyPrediction
from apache_beam.ml.anomaly.detectors.offline import OfflineDetector
from apache_beam.ml.anomaly.thresholds import FixedThreshold
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler

from ae_models.bundles.bundle import open_bundle
from ae_models.calibration.score_calibration import calibration_of
from transforms.images.decode_batch import decode_batch
from transforms.records.batches import REJECT
from transforms.records.beam_rows import image_batches
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.model_handler import AutoencoderModelHandler, LoadedModel
from transforms.scoring.options import ScoreOptions

_NOTHING_CARRIED = pa.schema([])


class ImageRowHandler(ModelHandler[beam.Row, AnomalyPrediction, LoadedModel]):
    """Turns image rows (see `transforms.records.beam_rows`) into `AnomalyPrediction`s.

    `score` equals that of `latentbeam score`, or is None where the record would be a reject. `info`
    is JSON with the `p_value` or, for a reject, `stage`, `reason` and `message`.

    Args:
      bundle_path: the model bundle's folder; only the path is sent to workers, not the weights.
      primary: see `ScoreOptions`.

    Raises:
      BundleError: the bundle is missing or was changed.
    """

    def __init__(self, bundle_path: str, primary: str | None = None, **kwargs: Any):
        bundle = open_bundle(local_bundle(bundle_path))
        bundle.check_not_in_tiles("Beam's anomaly detection")
        config = bundle.config
        rows = config.batch_rows
        super().__init__(min_batch_size=rows, max_batch_size=rows, **kwargs)
        # The primary score is always computed; no other is needed.
        self._handler = AutoencoderModelHandler(bundle_path, outputs=(), primary=primary)
        self._image = config.image

    def load_model(self) -> LoadedModel:
        return self._handler.load_model()

    def update_model_path(self, model_path: str | None = None) -> None:
        self._handler.update_model_path(model_path)

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        return sum(len(row.image or b"") for row in batch)

    def get_metrics_namespace(self) -> str:
        return self._handler.get_metrics_namespace()

    def run_inference(
        self,
        batch: Sequence[beam.Row],
        model: LoadedModel,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[AnomalyPrediction]:
        del inference_args
        records = [
            decode_batch(part, self._image) for part in image_batches(batch, _NOTHING_CARRIED)
        ]
        predictions: list[AnomalyPrediction] = []
        for scored in self._handler.run_inference(records, model):
            columns = (scored.column(name).to_pylist() for name in ("score", "p_value", REJECT))
            predictions += map(_prediction, *columns)
        return predictions


def _prediction(score: float, p_value: float, rejected: dict[str, str] | None) -> AnomalyPrediction:
    if rejected is not None:
        return AnomalyPrediction(info=json.dumps(rejected))
    return AnomalyPrediction(score=score, info=json.dumps({"p_value": p_value}))


def bundle_detector(
    bundle_path: str,
    fpr: float | None = None,
    model_id: str = "latentbeam",
    primary: str | None = None,
) -> OfflineDetector:
    """Returns a detector for `AnomalyDetection`, alone or in an ensemble.

    Its threshold is the lowest score whose p-value is at most `fpr`: a record's label is 1 where
    `latentbeam score` sets `is_anomaly`, 0 where it does not, and None for a reject.

    Args:
      bundle_path: the model bundle's folder.
      fpr: if None, the bundle's configured rate.
      model_id: the `model_id` of the predictions.
      primary: the name or column of the score to return; if None, the bundle's primary score.

    Raises:
      BundleError: the bundle is missing or was changed.
      ConfigError: `fpr` is not above 0 and below 1, or the bundle has no such score.
    """
    fpr = ScoreOptions(fpr).fpr
    bundle = open_bundle(local_bundle(bundle_path))
    threshold = calibration_of(bundle, primary).threshold(
        bundle.config.scoring.fpr if fpr is None else fpr
    )
    return OfflineDetector(
        KeyedModelHandler(ImageRowHandler(str(bundle_path), primary)),
        model_id=model_id,
        threshold_criterion=FixedThreshold(threshold),
    )
