"""Assesses a trained model on held-out normal records: whether it has learned more about images
than principal components have, and which of its scores finds anomalies synthesised from them."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from ae_models.assessment.made_anomalies import ANOMALIES
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.bundles.scorer import Scorer
from ae_models.calibration.ranking import auroc
from ae_models.config.model import AutoencoderConfig
from ae_models.ops.principal_components import PrincipalComponents
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.principal_components import sample

_CHANGED_RECORDS, _CHANGED_BYTES = 200, 64 << 20
_EXACT = 1e-9  # an error that is only rounding
_LEAST_GAIN = 0.001  # in AUROC, to prefer another score
_LEAST_LOSS = 1.005  # a ratio that is not printed as 1.00


@dataclasses.dataclass(frozen=True)
class Control:
    """Mean squared errors, in scaled units, of reconstructing the same held-out records.

    Attributes:
      components: the number of principal components of the training records.
      records: the number of reconstructed records.
      model, principal_components: the errors.
    """

    components: int
    records: int
    model: float
    principal_components: float

    @property
    def ratio(self) -> float:
        """Below 1 where the model is better; errors below a billionth count as a billionth."""
        model, components = (max(e, _EXACT) for e in (self.model, self.principal_components))
        return model / components

    def sentence(self) -> str:
        """The comparison as one line of text."""
        told = f"held-out images are reconstructed with a mean squared error of {self.model:.3g}"
        if self.principal_components < _EXACT:
            return f"{told}; {self.components} principal components reconstruct them exactly"
        return f"{told}, {self.ratio:.2f} times that of {self.components} principal components"

    def advice(self, config: AutoencoderConfig) -> str | None:
        """One line of advice if the model, which has this configuration, has learned less than
        principal components have, or None."""
        if self.ratio < _LEAST_LOSS:
            return None
        remedies = "for longer (training.epochs, training.patience), or on more images"
        if not config.has_linear_path:
            start = "a linear output" if config.sigmoid_output else "model.linear_path=true"
            remedies += f", or with {start}, which starts from principal components"
        return f"the model is undertrained: {self.sentence()}; train {remedies}"


def control(
    scorer: Scorer,
    preprocessing: Preprocessing,
    train: ImageStore,
    held_out: Iterable[np.ndarray],
    *,
    components: int,
    seed: int,
) -> Control:
    """Compares a model with principal components of a sample of its training records, using as
    many components as the latent has dimensions.

    Args:
      scorer: the model's scorer.
      preprocessing: converts pixels to scaled images.
      train: the records that the model was trained on.
      held_out: raw pixels of other records, (n, H, W, C), in parts.
      components: the number of principal components.
      seed: for scikit-learn's randomised solver.
    """
    known = PrincipalComponents.of(sample(preprocessing, train), components, seed)
    sums, records = np.zeros(2), 0
    for pixels in held_out:
        found = scorer.reconstruct(pixels)
        errors = np.square(found["input"] - found["reconstruction"], dtype=np.float64)
        sums += errors.mean(axis=(1, 2, 3)).sum(), known.squared_errors(found["input"]).sum()
        records += len(pixels)
    model, principal = (sums / max(1, records)).tolist()
    return Control(len(known.components), records, model, principal)


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """The score recommended for these images.

    Attributes:
      score: its name.
      records: the number of held-out normal records from which anomalies were synthesised.
      aurocs: for each score, the mean AUROC over the kinds of synthetic anomaly.
    """

    score: str
    records: int
    aurocs: Mapping[str, float]

    def sentence(self, primary: str) -> str:
        """The recommendation as one line of text, compared with the primary score."""
        told = (
            f"on anomalies synthesised from {self.records:,} held-out records, {self.score} does "
            f"best: AUROC {self.aurocs[self.score]:.3f}"
        )
        if self.score == primary:
            return f"{told}; it is the primary score"
        return (
            f"{told}; {primary}, the primary score, has {self.aurocs[primary]:.3f}: score with "
            f"--primary {self.score}, or train with --primary auto"
        )


def recommendation(scorer: Scorer, held_out: ImageStore, seed: int) -> Recommendation:
    """Scores held-out normal records, and the same records made anomalous in seven ways: with a
    patch moved, halves swapped, warped, thickened, thinned, blurred, turned. The best score is the
    one with the greatest mean AUROC, or the scorer's primary score unless that is worse by a
    thousandth or more. No real anomaly takes part.

    Args:
      scorer: the model's scorer.
      held_out: a random sample of records, of which the first are used.
      seed: for the synthetic anomalies.
    """
    count = min(_CHANGED_RECORDS, max(2, _CHANGED_BYTES // held_out.image_bytes))
    images = held_out.read(0, count)
    generator = np.random.default_rng(seed)
    normal = _scores(scorer, images)
    found: dict[str, list[float]] = {name: [] for name in normal}
    truth = np.repeat([False, True], len(images))
    for change in ANOMALIES.values():
        changed = _scores(scorer, change(images, generator))
        for name, scores in normal.items():
            found[name].append(auroc(truth, np.concatenate([scores, changed[name]])))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    best = max(means, key=lambda name: means[name])
    primary = scorer.primary.removeprefix(SCORE_PREFIX)
    is_as_good = means[best] - means[primary] < _LEAST_GAIN
    return Recommendation(primary if is_as_good else best, len(images), means)


def _scores(scorer: Scorer, images: np.ndarray) -> dict[str, np.ndarray]:
    """Each score by name; NaN ranks as least anomalous."""
    return {
        name.removeprefix(SCORE_PREFIX): np.nan_to_num(values, nan=-np.inf)
        for name, values in scorer.score(images).items()
        if name.startswith(SCORE_PREFIX)
    }
