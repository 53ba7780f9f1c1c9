"""The classes of points on a path, according to the labels of a finished run."""

from typing import NamedTuple

import numpy as np

from ae_models.errors import InputError
from ae_models.latents.classes.model import ClassModel
from pipelines.console.progress import Progress
from transforms.results.labelled import check_label, sample_labelled
from transforms.results.reader import (
    LATENT_MEAN,
    LATENT_STDDEV,
    latent_columns,
    scored_count,
    vectors,
)

_MOST_FITTED = 20_000


class WayClasses(NamedTuple):
    """For S points: p(class), (S, C), of `classes`, and the p-value of their evidence, (S,)."""

    classes: tuple[str, ...]
    probabilities: np.ndarray
    p_values: np.ndarray


def way_classes(
    scores: str, label: str, points: np.ndarray, stddevs: np.ndarray | None, seed: int
) -> WayClasses:
    """Class probabilities by Gaussians per class (`ClassModel`), fitted to at most 20,000 random
    rows of the run; rows without a label are left out.

    Args:
      scores: the run.
      label: the column of classes.
      points: (S, d).
      stddevs: (S, d), the points' uncertainties, like those of a VAE's records; otherwise None.

    Raises:
      InputError: there is no finished run, it has no latents, or a class has too few records.
      ConfigError: there is no such column, or it contains neither names nor numbers.
    """
    columns = latent_columns(scores)
    check_label(scores, label)
    with Progress("reading latents", scored_count(scores)) as progress:
        rows, names, _ = sample_labelled(
            scores, columns, label, count=_MOST_FITTED, seed=seed, show=progress.show
        )
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
