"""Fitting the scores that learn from training records, once the model is trained."""

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ae_models.models.base import ImageModel
from ae_models.scores import Score, fit_scores
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing

# A store's first records are a random sample of it: it is ordered by a hash.
_MOST_RECORDS = 50_000


def fit_to_records(
    scores: Sequence[Score],
    model: ImageModel,
    preprocessing: Preprocessing,
    train: ImageStore,
    batch_rows: int,
    most_records: int | None = None,
) -> None:
    """Fits `scores` to the features of up to 50,000 training records, or as many as are given."""

    @tf.function
    def features(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        x = preprocessing(pixels)
        outputs = model.infer(x)
        wanted = {score.name: score.features(x, outputs) for score in scores}
        return {name: value for name, value in wanted.items() if value is not None}

    parts = [
        {name: value.numpy() for name, value in features(tf.constant(pixels)).items()}
        for pixels in itertools.islice(
            train.batches(batch_rows), -(-(most_records or _MOST_RECORDS) // batch_rows)
        )
    ]
    fit_scores(scores, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
