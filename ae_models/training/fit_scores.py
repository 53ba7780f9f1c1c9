"""Fitting the scores that learn from records, once the model is trained."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference
from ae_models.scores import Score, fit_scores
from ae_models.scores.score import SCORE_OF
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import FeaturePreprocessing, Preprocessing

# A store's first records are a random sample of it: it is ordered by a hash.
_MOST_RECORDS, _MOST_BYTES = 50_000, 256 << 20
_MOST_HELD_OUT = 1000

# Inference on a batch of scaled images, x, of which a score makes something.
_Of = Callable[[tf.Tensor, Inference], dict[str, tf.Tensor]]


def fit_to_records(
    scores: Sequence[Score],
    model: ImageModel,
    preprocessing: Preprocessing | FeaturePreprocessing,
    train: ImageStore,
    batch_rows: int,
    most_records: int | None = None,
) -> None:
    """Fits `scores` to training records: to what it needs of up to 50,000, or as many as are given,
    but of no more than take 256 MiB."""

    def features(x: tf.Tensor, outputs: Inference) -> dict[str, tf.Tensor]:
        wanted = {score.name: score.features(x, outputs) for score in scores}
        return {name: value for name, value in wanted.items() if value is not None}

    batches = _of_batches(features, model, preprocessing, train, batch_rows)
    fit_scores(scores, _gathered(batches, most_records or _MOST_RECORDS))


def fit_to_held_out(
    scores: Sequence[Score],
    model: ImageModel,
    preprocessing: Preprocessing | FeaturePreprocessing,
    held_out: ImageStore,
    batch_rows: int,
    most_records: int | None = None,
) -> None:
    """Fits those of `scores` that are made of others, which are fitted, to what these are of up to
    1,000 held-out records, or as many as are given."""
    made = [score for score in scores if score.parts]
    names = {part for score in made for part in score.parts}
    if not made:
        return

    def parts(x: tf.Tensor, outputs: Inference) -> dict[str, tf.Tensor]:
        return {score.name: score(x, outputs) for score in scores if score.name in names}

    batches = _of_batches(parts, model, preprocessing, held_out, batch_rows)
    found = _gathered(batches, most_records or _MOST_HELD_OUT)
    for score in made:
        score.fit_parts(found)


def with_scores(outputs: Inference, x: tf.Tensor, scores: Sequence[Score]) -> Inference:
    """An inference that knows `scores` too, by `SCORE_OF` their names, each computed once."""

    def quantity(score: Score) -> Callable[[Inference], tf.Tensor]:
        return lambda own: score(x, own)

    return outputs | {SCORE_OF.format(score.name): quantity(score) for score in scores}


def _of_batches(
    of: _Of,
    model: ImageModel,
    preprocessing: Preprocessing | FeaturePreprocessing,
    store: ImageStore,
    rows: int,
) -> Iterator[dict[str, np.ndarray]]:
    @tf.function(input_signature=[tf.TensorSpec((None, *store.shape[1:]), store.dtype)])
    def computed(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        x, more = preprocessing.prepared(pixels)
        return of(x, model.infer(x) | more)

    for pixels in store.batches(rows):
        yield {name: value.numpy() for name, value in computed(pixels).items()}


def _gathered(
    batches: Iterator[Mapping[str, np.ndarray]], most_records: int
) -> dict[str, np.ndarray]:
    """Of each name the first records, at most so many, and at most 256 MiB."""
    parts: dict[str, list[np.ndarray]] = {}
    seen = 0
    for batch in batches:
        for name, values in batch.items():
            kept = parts.setdefault(name, [])
            if sum(part.nbytes for part in kept) < _MOST_BYTES:
                kept.append(values)
        seen += len(next(iter(batch.values()), ()))
        if seen >= most_records or not batch:
            break
    return {name: np.concatenate(kept) for name, kept in parts.items()}
