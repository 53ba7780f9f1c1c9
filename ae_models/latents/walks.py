"""Walks through latent space: between two latents, along a dimension, along a label."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_SMALLEST_SINE = 1e-6  # below it, an angle counts as zero


def linear_path(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Points on the straight line between two latents, (d,), at shares of the distance, (S,)
    between 0 and 1: (S, d)."""
    along = shares[:, None]
    return (1.0 - along) * start + along * end


def spherical_path(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Points on the great circle about the origin between two latents, (d,), at shares of the
    angle, (S,) between 0 and 1: (S, d).

    Directions are Shoemake's (1985) slerp, sin((1 − t)·ω)/sin ω · a + sin(t·ω)/sin ω · b for unit
    vectors a and b at the angle ω; norms are interpolated linearly. A high-dimensional Gaussian
    has its mass close to a sphere, which a straight line would leave (White 2016). Latents with no
    angle between them, and opposite ones, are joined by a straight line.
    """
    norms = np.linalg.norm([start, end], axis=1)
    if not norms.all():
        return linear_path(start, end, shares)
    first, last = start / norms[0], end / norms[1]
    # Accurate where the cosine is flat, unlike arccos.
    angle = 2.0 * np.arctan2(np.linalg.norm(first - last), np.linalg.norm(first + last))
    if np.sin(angle) < _SMALLEST_SINE:
        return linear_path(start, end, shares)
    along = shares[:, None]
    directions = np.sin((1.0 - along) * angle) * first + np.sin(along * angle) * last
    lengths = (1.0 - along) * norms[0] + along * norms[1]
    return lengths * directions / np.sin(angle)


def sweep(
    centre: np.ndarray, stddev: np.ndarray, dimension: int, deviations: np.ndarray
) -> np.ndarray:
    """Copies of `centre`, (d,), with one dimension moved by each of `deviations`, (S,), times its
    entry in `stddev`, (d,): (S, d)."""
    points = np.repeat(centre[None], len(deviations), axis=0)
    points[:, dimension] += deviations * stddev[dimension]
    return points


def along(point: np.ndarray, vector: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """`point`, (d,), plus each of `factors`, (S,), times `vector`, (d,): (S, d)."""
    return point + factors[:, None] * vector


class AttributeVector(NamedTuple):
    """The vector from the records without an attribute to those with it, (d,) float64.

    `centre`, (d,), is the mean of all records; `members` and `others` are the numbers of records
    with and without the attribute.
    """

    vector: np.ndarray
    centre: np.ndarray
    members: int
    others: int


def attribute_vector(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> AttributeVector:
    """The mean latent of the records that have an attribute minus that of the others: the visual
    attribute vectors of Larsen et al. (2016), "Autoencoding beyond pixels using a learned
    similarity metric", 3.3.

    Args:
      parts: latents, (N, d), and whether each record has the attribute, (N,) bool; only one part
        is in memory at a time.

    Raises:
      ValueError: all records have the attribute, or none.
    """
    counts = np.zeros(2, np.int64)
    sums: np.ndarray = np.zeros((2, 1))
    for latents, has in parts:
        values = latents.astype(np.float64)
        sums = sums + np.stack([values[~has].sum(axis=0), values[has].sum(axis=0)])
        counts += [np.count_nonzero(~has), np.count_nonzero(has)]
    others, members = map(int, counts)
    if not (members and others):
        raise ValueError(f"{members} of {members + others} records have the attribute")
    means = sums / counts[:, None]
    centre = sums.sum(axis=0) / counts.sum()
    return AttributeVector(means[1] - means[0], centre, members, others)
