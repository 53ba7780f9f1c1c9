"""What class the points on a way belong to, by the labels of a finished run."""

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from ae_models.class_model import ClassModel
from ae_models.errors import ConfigError, InputError
from ae_models.mapping import suggestion
from pipelines.progress import Progress
from transforms.finished import (
    LATENT_MEAN,
    LATENT_STDDEV,
    latent_columns,
    sample_rows,
    scored_count,
    scored_schema,
    vectors,
)
from transforms.score_by_category import categories_of

_MOST_FITTED = 20_000


class WayClasses(NamedTuple):
    """Of S points: p(class), (S, C), of `classes`, and the p-value of their evidence, (S,)."""

    classes: tuple[str, ...]
    probabilities: np.ndarray
    p_values: np.ndarray


def way_classes(
    scores: str, label: str, points: np.ndarray, stddevs: np.ndarray | None, seed: int
) -> WayClasses:
    """By Gaussians of each class (`ClassModel`), fitted to at most 20,000 rows of the run, drawn at
    random by the seed; rows without a label are left out.

    Args:
      scores: the run.
      label: the column of the classes.
      points: (S, d).
      stddevs: (S, d), how uncertain the points are, as records of a VAE; else None.

    Raises:
      InputError: no finished run, one without latents, or a class of too few records.
      ConfigError: no such column, or one that holds no names or numbers.
    """
    columns, schema = latent_columns(scores), scored_schema(scores)
    if label not in schema.names:
        raise ConfigError(f"{scores} has no column {label!r}{suggestion(label, schema.names)}")
    categories_of(schema.empty_table(), label)  # raises if its type cannot name a class
    with Progress("reading latents", scored_count(scores)) as progress:
        rows = sample_rows(scores, [*columns, label], _MOST_FITTED, seed, progress.show)
    categories = categories_of(rows, label)
    labelled = pc.is_valid(categories)
    names, rows = categories.filter(labelled).to_pylist(), rows.filter(labelled)
    if not names:
        raise InputError(f"{scores}: no record has a {label!r}")
    uncertain = stddevs is not None and LATENT_STDDEV in columns
    model = ClassModel.fit(
        vectors(rows[LATENT_MEAN]),
        vectors(rows[LATENT_STDDEV]) if uncertain else None,
        names,
        seed=seed,
    )
    posterior = model.posterior(points, stddevs if uncertain else None)
    p_values = model.p_values(posterior.log_evidence)
    return WayClasses(model.classes, posterior.probabilities, p_values)
