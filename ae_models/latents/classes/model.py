"""p(class | record) by Bayes' rule over Gaussians of each class's latents, and how likely a record
is under all of them together."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from sklearn.covariance import LedoitWolf

from ae_models.calibration.p_values import conformal_p_values
from ae_models.config.validated import check_range, check_rate
from ae_models.errors import InputError
from ae_models.latents.checks import check_latents
from ae_models.latents.classes.arrays import check_class_arrays
from ae_models.latents.gaussians import densities
from ae_models.latents.mixtures import fit_mixture

LEAST_RECORDS = 10  # in a class, for each of its Gaussians
_LEAST_EVIDENCE = float(np.finfo(np.float32).min)
_RIDGE = 1e-6  # of the mean variance: keeps the covariance invertible for latents that never vary


class ClassPosterior(NamedTuple):
    """A model's result for N records.

    Attributes:
      probabilities: (N, C) float64, p(class | record), in the order of the model's classes.
      log_evidence: (N,) float64, log Σ_c p(c) p(m | c), in nats, bounded below by float32's range.
    """

    probabilities: np.ndarray
    log_evidence: np.ndarray


class Gaussians(NamedTuple):
    """A class's mixture: weights (k,), means (k, d), covariances (k, d, d), all float64."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ClassModel:
    """p(m | c) = Σ_k w_ck N(m; μ_ck, Σ_ck + diag(s²)) for a record's posterior mean m and standard
    deviation s; p(c) follows from the classes' counts.

    This equals ∫ N(z; m, s²) N(z; μ, Σ) dz, the class's density averaged over the record's possible
    latents. An uncertain record therefore has flatter probabilities.

    Attributes:
      classes: C names, sorted.
      counts: (C,) int64, the number of records to which each class was fitted.
      owners: (K,) int64, ascending: the class of each of the K Gaussians.
      weights: (K,) float64, which sum to 1 within a class.
      means: (K, d) float64.
      covariances: (K, d, d) float64.
      calibration: (n,) float32, ascending: −log evidence of records to which nothing was fitted.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    owners: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    calibration: np.ndarray

    @classmethod
    def fit(
        cls,
        latents: np.ndarray,
        stddevs: np.ndarray | None,
        labels: Sequence[str],
        *,
        components: int = 1,
        seed: int = 0,
        held_out: float = 0.2,
    ) -> Self:
        """Fits each class's Gaussians to its latents.

        A single Gaussian uses the shrunk covariance of Ledoit and Wolf (2004), several are fitted
        by expectation maximisation (scikit-learn).

        Args:
          latents: (N, d) float32.
          stddevs: (N, d) float32, of the posteriors; None if they are points. They affect only the
            evidence of the held-out records.
          labels: N names.
          components: the number of Gaussians per class.
          seed: for the choice of held-out records, and for the mixtures.
          held_out: the share of records against whose evidence `p_values` are computed.

        Raises:
          ConfigError: `components` is less than 1, `seed` is negative, or `held_out` is not at
            least 0 and below 1.
          InputError: a latent is not finite, or a class has too few records.
        """
        check_range(1, components=components)
        check_range(0, seed=seed)
        if held_out != 0:
            check_rate(held_out=held_out)
        check_latents(latents, stddevs)
        order = np.random.default_rng(seed).permutation(len(latents))
        fitted, apart = np.split(order, [len(order) - int(held_out * len(order))])
        names = np.array(labels, dtype=np.str_)
        classes = tuple(sorted(set(names.tolist())))
        _check_counts(classes, names[fitted], components)
        points = latents.astype(np.float64)
        ridge = _RIDGE * points[fitted].var(axis=0).mean() + np.finfo(np.float32).tiny
        own = [points[fitted[names[fitted] == name]] for name in classes]
        parts = [_fit_class(part, components, ridge, seed) for part in own]
        model = cls(
            classes,
            counts=np.array([len(part) for part in own], np.int64),
            owners=np.repeat(np.arange(len(classes)), components),
            weights=np.concatenate([part.weights for part in parts]),
            means=np.concatenate([part.means for part in parts]),
            covariances=np.concatenate([part.covariances for part in parts]),
            calibration=np.zeros(0, np.float32),
        )
        evidence = model.posterior(
            latents[apart], None if stddevs is None else stddevs[apart]
        ).log_evidence
        return dataclasses.replace(model, calibration=np.sort(-evidence.astype(np.float32)))

    def posterior(self, latents: np.ndarray, stddevs: np.ndarray | None) -> ClassPosterior:
        """The result for (N, d) latents and, unless they are points, their (N, d) standard
        deviations. A record's bits do not depend on the other records.

        Raises:
          InputError: they differ in size from the fitted latents, or are not finite.
        """
        check_latents(latents, stddevs, self.means.shape[1])
        variances = None if stddevs is None else stddevs.astype(np.float64) ** 2
        found = densities(latents, variances, self.means, self.covariances).log_densities
        found += np.log(self.weights * (self.counts / self.counts.sum())[self.owners])
        joint = np.stack(
            [_log_sum(found[:, self.owners == index]) for index in range(len(self.classes))], axis=1
        )
        evidence = _log_sum(joint)
        probabilities = np.exp(joint - evidence[:, None])
        return ClassPosterior(probabilities, np.maximum(evidence, _LEAST_EVIDENCE))

    def p_values(self, log_evidence: np.ndarray) -> np.ndarray:
        """(N,) float64, split-conformal: of records like the fitted ones, at most a share p has
        a p-value of at most p. A record that belongs to no class has a small p-value."""
        return conformal_p_values(-log_evidence.astype(np.float32), self.calibration)

    def arrays(self) -> dict[str, np.ndarray]:
        """The model as arrays of numbers and text, none of which needs pickle."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**found, "classes": np.array(self.classes, dtype=np.str_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of `arrays`.

        Raises:
          InputError: an array is missing, has the wrong type or shape, or contains invalid values.
        """
        for field in dataclasses.fields(cls):
            if field.name not in arrays:
                raise InputError(f"a class model must have an array {field.name!r}")
        values = {field.name: arrays[field.name] for field in dataclasses.fields(cls)}
        check_class_arrays(values)
        return cls(tuple(values.pop("classes").tolist()), **values)


def _log_sum(terms: np.ndarray) -> np.ndarray:
    """log Σ_k exp(terms), (N, k) → (N,), by columns: no operation combines two records."""
    greatest = terms.max(axis=1)
    total = np.zeros(len(terms))
    for column in terms.T:
        total += np.exp(column - greatest)
    return greatest + np.log(total)


def _check_counts(classes: Sequence[str], fitted: np.ndarray, components: int) -> None:
    if not classes:
        raise InputError("no record has a label")
    counts = collections.Counter(fitted.tolist())
    name, least = min(((name, counts[name]) for name in classes), key=lambda found: found[1])
    if least < LEAST_RECORDS * components:
        raise InputError(
            f"class {name!r} has only {least} records to fit; {components} Gaussian"
            f"{'s need' if components > 1 else ' needs'} at least {LEAST_RECORDS * components}"
        )


def _fit_class(points: np.ndarray, components: int, ridge: float, seed: int) -> Gaussians:
    if components == 1:
        estimate = LedoitWolf().fit(points)
        covariance = estimate.covariance_ + ridge * np.eye(points.shape[1])
        return Gaussians(np.ones(1), estimate.location_[None], covariance[None])
    mixture = fit_mixture(points, components, ridge=ridge, seed=seed, most_steps=200)
    return Gaussians(mixture.weights_, mixture.means_, mixture.covariances_)
