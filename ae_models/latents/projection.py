"""2-D projections of latents, for maps."""

import dataclasses
from typing import Literal

import numpy as np
from sklearn.decomposition import PCA

from ae_models.config.extras import require
from ae_models.errors import InputError

_NEIGHBOURS = 15


@dataclasses.dataclass(frozen=True)
class Projection:
    """The points of a map.

    Attributes:
      points: (N, 2) float32.
      axes: descriptions of the two directions.
      fitted: the number of records to which the projection was fitted.
    """

    points: np.ndarray
    axes: tuple[str, str]
    fitted: int


def project(
    latents: np.ndarray, kind: Literal["pca", "umap"], seed: int, most_fitted: int
) -> Projection:
    """Principal components (Pearson 1901) or UMAP (McInnes, Healy and Melville 2018), fitted on at
    most `most_fitted` records, drawn with the seed, and applied to all.

    Args:
      latents: (N, d) float32.
      kind: the projection.
      seed: for the draw and for UMAP's optimisation.
      most_fitted: bounds the time of the fit.

    Raises:
      InputError: UMAP has too few records to find neighbours.
      MissingExtraError: UMAP is not installed.
    """
    generator = np.random.default_rng(seed)
    chosen = np.arange(len(latents))
    if len(latents) > most_fitted:
        chosen = np.sort(generator.choice(len(latents), most_fitted, replace=False))
    project_by = _umap if kind == "umap" else _pca
    points, axes = project_by(latents, chosen, seed)
    return Projection(points.astype(np.float32), axes, len(chosen))


def _pca(latents: np.ndarray, chosen: np.ndarray, seed: int) -> tuple[np.ndarray, tuple[str, str]]:
    points, shares = np.zeros((len(latents), 2)), np.zeros(2)
    if np.ptp(latents[chosen], axis=0).any():  # if they are all equal, there is no direction
        count = min(2, len(chosen), latents.shape[1])
        pca = PCA(count, random_state=seed).fit(latents[chosen])
        points[:, :count] = pca.transform(latents)
        shares[:count] = pca.explained_variance_ratio_
    first, second = (
        f"{order} principal component, {share:.0%} of the variance"
        for order, share in zip(("first", "second"), shares, strict=True)
    )
    return points, (first, second)


def _umap(latents: np.ndarray, chosen: np.ndarray, seed: int) -> tuple[np.ndarray, tuple[str, str]]:
    if len(chosen) <= _NEIGHBOURS:
        raise InputError(f"UMAP needs more than {_NEIGHBOURS} records. Received: {len(chosen)}")
    require("UMAP projections", "umap")
    from umap import UMAP  # noqa: PLC0415 - compiles for seconds, and is rarely requested

    mapper = UMAP(n_neighbors=_NEIGHBOURS, random_state=seed, n_jobs=1)
    points = np.empty((len(latents), 2))
    points[chosen] = mapper.fit_transform(latents[chosen])
    others = np.setdiff1d(np.arange(len(latents)), chosen)
    if len(others):
        points[others] = mapper.transform(latents[others])
    return points, ("UMAP 1", "UMAP 2")
