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

LEAST_RECORDS = 10  # of a class, for each of its Gaussians
_LEAST_EVIDENCE = float(np.finfo(np.float32).min)
_RIDGE = 1e-6  # of the mean variance: keeps the covariance of a latent that never varies invertible


class ClassPosterior(NamedTuple):
    """What a model says of N records.

    Attributes:
      probabilities: (N, C) float64, p(class | record), in the order of the model's classes.
      log_evidence: (N,) float64, log Σ_c p(c) p(m | c), in nats; at least what a float32 can hold.
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
    """p(m | c) = Σ_k w_ck N(m; μ_ck, Σ_ck + diag(s²)) of a record's posterior mean m and standard
    deviation s; p(c) by the classes' counts.

    As ∫ N(z; m, s²) N(z; μ, Σ) dz: what a class says of a record, averaged over what the record's
    latent may be. An uncertain record so has flatter probabilities.

    Attributes:
      classes: C names, sorted.
      counts: (C,) int64, the records that each class was fitted to.
      owners: (K,) int64, ascending: the class of each Gaussian, of all K.
      weights: (K,) float64, which sum to 1 within a class.
      means: (K, d) float64.
      covariances: (K, d, d) float64.
      calibration: (n,) float32, ascending: −log evidence of records that nothing was fitted to.
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

        One is fitted by Ledoit and Wolf's (2004) shrunk covariance, several by expectation
        maximisation (scikit-learn).

        Args:
          latents: (N, d) float32.
          stddevs: (N, d) float32, of the posteriors; None where they are points. Only the evidence
            of the records held out depends on them.
          labels: N names.
          components: Gaussians of each class.
          seed: of who is held out, and of the mixtures.
          held_out: the share of the records whose evidence `p_values` compares with.

        Raises:
          ConfigError: `components` is less than 1, `seed` negative, or `held_out` not from 0
            on and below 1.
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
        """Of (N, d) latents and, if they are not points, their (N, d) standard deviations. A
        record's bits do not depend on the records beside it.

        Raises:
          InputError: they are of another size than those fitted to, or not finite.
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
        """(N,) float64, split-conformal: of records like those fitted to, at most a share p has
        a p-value of at most p. A record that belongs to no class has a small one."""
        return conformal_p_values(-log_evidence.astype(np.float32), self.calibration)

    def arrays(self) -> dict[str, np.ndarray]:
        """The model as arrays of numbers and text, none of which needs pickle."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**found, "classes": np.array(self.classes, dtype=np.str_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of `arrays`.

        Raises:
          InputError: an array is missing, of another type or shape, or holds what no model has.
        """
        for field in dataclasses.fields(cls):
            if field.name not in arrays:
                raise InputError(f"a class model must have an array {field.name!r}")
        values = {field.name: arrays[field.name] for field in dataclasses.fields(cls)}
        check_class_arrays(values)
        return cls(tuple(values.pop("classes").tolist()), **values)


def _log_sum(terms: np.ndarray) -> np.ndarray:
    """log Σ_k exp(terms), (N, k) → (N,), a column at a time: no operation goes over two records."""
    greatest = terms.max(axis=1)
    total = np.zeros(len(terms))
    for column in terms.T:
        total += np.exp(column - greatest)
    return greatest + np.log(total)


def _check_counts(classes: Sequence[str], fitted: np.ndarray, components: int) -> None:
    if not classes:
        raise InputError("there is no record with a label")
    counts = collections.Counter(fitted.tolist())
    name, least = min(((name, counts[name]) for name in classes), key=lambda found: found[1])
    if least < LEAST_RECORDS * components:
        raise InputError(
            f"class {name!r} has {least} records to fit to; {components} Gaussian"
            f"{'s need' if components > 1 else ' needs'} at least {LEAST_RECORDS * components}"
        )


def _fit_class(points: np.ndarray, components: int, ridge: float, seed: int) -> Gaussians:
    if components == 1:
        estimate = LedoitWolf().fit(points)
        covariance = estimate.covariance_ + ridge * np.eye(points.shape[1])
        return Gaussians(np.ones(1), estimate.location_[None], covariance[None])
    mixture = fit_mixture(points, components, ridge=ridge, seed=seed, most_steps=200)
    return Gaussians(mixture.weights_, mixture.means_, mixture.covariances_)
