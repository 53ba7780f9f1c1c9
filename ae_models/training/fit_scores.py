"""Fits the scores that learn from records, once the model is trained."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from ae_models.bundles.names import ANOMALY_MAP
from ae_models.maps.anomaly_map import AnomalyMap
from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference, Quantity
from ae_models.scores import Score, fit_scores
from ae_models.scores.feature_density import GaussianScore
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.score import SCORE_OF, ScoreOfScores
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing

# A store's first records are a random sample, since it is ordered by a hash.
_MOST_RECORDS, _MOST_BYTES = 50_000, 256 << 20
_FOLDS = 4


class Fitted(Protocol):
    """An object that may be fitted to training records: a score or an anomaly map."""

    @property
    def name(self) -> str: ...

    def features(self, x: tf.Tensor, outputs: Mapping[str, tf.Tensor]) -> tf.Tensor | None: ...

    def fit(self, features: np.ndarray) -> None: ...


class Seen(NamedTuple):
    """Records to which scores may be fitted.

    Attributes:
      stores: their data on disk, record by record.
      prepared: converts a batch from each store to the model's input and to additional quantities
        for scores.
    """

    stores: Sequence[ImageStore]
    prepared: Callable[..., tuple[tf.Tensor, Mapping[str, Quantity]]]

    def batches(self, rows: int) -> Iterator[list[np.ndarray]]:
        """The records that all stores have, in stored order, `rows` at a time."""
        count = min(map(len, self.stores))
        for start in range(0, count, rows):
            yield [store.read(start, min(start + rows, count)) for store in self.stores]


def fit_to_records(
    scores: Sequence[Score],
    model: ImageModel,
    preprocessing: Preprocessing,
    store: ImageStore,
    batch_rows: int,
    most_records: int | None = None,
) -> None:
    """Fits `scores` to the training records of a store of images: to the features of up to 50,000
    or `most_records` records, within 256 MiB."""
    seen = Seen([store], preprocessing.prepared)
    fit_scores(scores, _gathered(scores, model, [seen], batch_rows, most_records))


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The scores of the first calibration records, to which they are also fitted, as if each record
    had been left out.

    Attributes:
      scores: by name, (n,) each.
      made: scores that are computed from these and from others.
    """

    scores: Mapping[str, np.ndarray]
    made: tuple[ScoreOfScores, ...] = ()

    def corrected(self, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All scores of all calibration records, corrected by these: by name, (N,) each."""
        found = dict(scores)
        for name, values in self.scores.items():
            found[name] = np.concatenate([values, scores[name][len(values) :]])
        for score in self.made:
            found[score.name] = np.asarray(score.of_parts({n: found[n] for n in score.parts}))
        return found


def fit_to_features(
    scores: Sequence[Score],
    model: ImageModel,
    records: Sequence[Seen],
    batch_rows: int,
    most_records: int,
    *,
    anomaly_map: AnomalyMap | None = None,
    calibration: Seen | None = None,
    apart: int | None = None,
) -> HeldOut | None:
    """Like `fit_to_records`, for records of several splits. Scores that are computed from others
    are fitted to the values of these for records to which they were not fitted: by a formula if
    there is one, or by fitting to three quarters and scoring the fourth.

    Args:
      anomaly_map: is fitted as well.
      calibration: records to which scores with such a formula are also fitted, and no others, if
        all their features are finite.
      apart: the number of records, at the start of the first split, that are not similar to any
        after them, although records within a group are, so that no formula applies; then only
        these, or a quarter, are held out.

    Returns:
      The corrected scores of the calibration records; None: no score is fitted to them.
    """
    fitted: list[Fitted] = [*scores, *([] if anomaly_map is None else [anomaly_map])]
    features = _gathered(fitted, model, records, batch_rows, most_records)
    if anomaly_map is not None and anomaly_map.name in features:
        anomaly_map.fit(features.pop(anomaly_map.name))
    exact = [score for score in scores if isinstance(score, GaussianScore)]
    count = 0
    if calibration is not None:
        more = _gathered(exact, model, [calibration], batch_rows, most_records)
        # A record without finite features calibrates nothing, and must not be fitted to.
        if all(np.isfinite(values).all() for values in more.values()):
            count = min((len(values) for values in more.values()), default=0)
        features |= {n: np.concatenate([features[n], v[:count]]) for n, v in more.items()}
    made = [score for score in scores if isinstance(score, ScoreOfScores)]
    names = {part for score in made for part in score.parts}
    by_folds = [
        score
        for score in scores
        if isinstance(score, FeatureScore)
        and score.name in names
        and (apart is not None or score not in exact)
    ]
    held_out = {s.name: _held_out(s, features[s.name], apart) for s in by_folds}
    fit_scores(scores, features)
    if apart is None:
        held_out |= {score.name: score.left_out(features[score.name]) for score in exact}
    known = {score.name: score for score in scores}
    for score in made:
        # Features that take more memory per record cover fewer records.
        fewest = min(len(held_out[part]) for part in score.parts)
        score.fit_parts({part: held_out[part][:fewest] for part in score.parts}, known)
    if not count:
        return None
    return HeldOut({score.name: held_out[score.name][-count:] for score in exact}, tuple(made))


def _held_out(score: FeatureScore, features: np.ndarray, apart: int | None) -> np.ndarray:
    """The scores of records by a score that is fitted to the other records, (n,)."""
    rows = np.arange(len(features))
    folds = [rows[: min(apart, len(rows) // _FOLDS)]] if apart else np.array_split(rows, _FOLDS)
    found = []
    for fold in folds:
        fitted = copy.copy(score)  # which keeps the shapes that `features` set
        fitted.fit(np.delete(features, fold, axis=0))
        found.append(np.asarray(fitted.distance(features[fold])))
    return np.concatenate(found)


def with_scores(
    outputs: Inference,
    x: tf.Tensor,
    scores: Sequence[Score],
    anomaly_map: AnomalyMap | None = None,
) -> Inference:
    """An inference with `scores`, by `SCORE_OF` their names, and the map, as `ANOMALY_MAP`, each
    computed once."""
    if anomaly_map is not None:
        outputs = outputs | {ANOMALY_MAP: lambda own: anomaly_map(x, own)}

    def quantity(score: Score) -> Callable[[Inference], tf.Tensor]:
        return lambda own: score(x, own)

    return outputs | {SCORE_OF.format(score.name): quantity(score) for score in scores}


def _gathered(
    scores: Sequence[Fitted],
    model: ImageModel,
    records: Sequence[Seen],
    rows: int,
    most_records: int | None,
) -> dict[str, np.ndarray]:
    """Each score's features of the first records of each split; the splits share the memory."""
    parts: dict[str, list[np.ndarray]] = {}
    for own in records:
        seen = 0
        for found in _features(scores, model, own, rows):
            for name, values in found.items():
                most = max(1, _MOST_BYTES // (len(records) * max(1, values[:1].nbytes)))
                if seen < most:
                    parts.setdefault(name, []).append(values)
            seen += rows
            if not found or seen >= (most_records or _MOST_RECORDS):
                break
    return {name: np.concatenate(kept) for name, kept in parts.items()}


def _features(
    scores: Sequence[Fitted], model: ImageModel, records: Seen, rows: int
) -> Iterator[Mapping[str, np.ndarray]]:
    specs = [tf.TensorSpec((None, *store.shape[1:]), store.dtype) for store in records.stores]

    @tf.function(input_signature=specs, autograph=False)
    def features(*stored: Any) -> dict[str, tf.Tensor]:
        x, more = records.prepared(*stored)
        outputs = model.infer(x) | more
        wanted = {score.name: score.features(x, outputs) for score in scores}
        return {name: value for name, value in wanted.items() if value is not None}

    for stored in records.batches(rows):
        yield {name: value.numpy() for name, value in features(*stored).items()}
