"""What held-out normal records tell of a trained model: whether it knows more of images than
principal components do, and which of its scores finds anomalies made of them."""

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
_EXACT = 1e-9  # an error that is rounding alone
_LEAST_GAIN = 0.001  # in AUROC, for which to take another score
_LEAST_LOSS = 1.005  # a ratio that is not told as 1.00


@dataclasses.dataclass(frozen=True)
class Control:
    """The mean squared errors, in scaled units, of rebuilding the same held-out records.

    Attributes:
      components: how many principal components of training records had.
      records: how many were rebuilt.
      model, principal_components: the errors.
    """

    components: int
    records: int
    model: float
    principal_components: float

    @property
    def ratio(self) -> float:
        """Below 1 where the model is the better one; errors below a billionth count as that."""
        model, components = (max(e, _EXACT) for e in (self.model, self.principal_components))
        return model / components

    def sentence(self) -> str:
        """A line for people."""
        told = f"held-out images are rebuilt with a mean squared error of {self.model:.3g}"
        if self.principal_components < _EXACT:
            return f"{told}; {self.components} principal components rebuild them exactly"
        return f"{told}, {self.ratio:.2f} times that of {self.components} principal components"

    def advice(self, config: AutoencoderConfig) -> str | None:
        """A line for people where the model, of that configuration, has learned less than
        principal components know."""
        if self.ratio < _LEAST_LOSS:
            return None
        remedies = "for longer (training.epochs, training.patience), or on more images"
        if not config.has_linear_path:
            start = "a linear output" if config.sigmoid_output else "model.linear_path=true"
            remedies += f", or with {start}, which starts from principal components"
        return f"the model is not trained: {self.sentence()}; train {remedies}"


def control(
    scorer: Scorer,
    preprocessing: Preprocessing,
    train: ImageStore,
    held_out: Iterable[np.ndarray],
    *,
    components: int,
    seed: int,
) -> Control:
    """Compares a model with principal components of a sample of its training records, as many as
    its latent has numbers.

    Args:
      scorer: of the model.
      preprocessing: from pixels to scaled images.
      train: the records that it was trained on.
      held_out: raw pixels of others, (n, H, W, C), in parts.
      components: how many.
      seed: of scikit-learn's randomised solver.
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
    """Which score to take for these images.

    Attributes:
      score: its name.
      records: how many held-out normal records anomalies were made of.
      aurocs: of each score, the mean over the ways to make an anomaly.
    """

    score: str
    records: int
    aurocs: Mapping[str, float]

    def sentence(self, primary: str) -> str:
        """A line for people, beside what the primary score reaches."""
        told = (
            f"of anomalies made of {self.records:,} held-out records, {self.score} finds the most: "
            f"AUROC {self.aurocs[self.score]:.3f}"
        )
        if self.score == primary:
            return f"{told}; it is the primary score"
        return (
            f"{told}; {primary}, the primary score, has {self.aurocs[primary]:.3f}: score with "
            f"--primary {self.score}, or train with --primary auto"
        )


def recommendation(scorer: Scorer, held_out: ImageStore, seed: int) -> Recommendation:
    """Scores held-out normal records, and the same made anomalous in seven ways: a patch moved,
    halves swapped, warped, thickened, thinned, blurred, turned. The best score is that with the
    greatest mean AUROC, or the scorer's primary one where that is no worse by a thousandth; it is
    measured on no anomaly that is real.

    Args:
      scorer: of the model.
      held_out: of which the first records are taken, a random sample.
      seed: of what is drawn.
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
    """Each score by its name; what is no number ranks as the least anomalous."""
    return {
        name.removeprefix(SCORE_PREFIX): np.nan_to_num(values, nan=-np.inf)
        for name, values in scorer.score(images).items()
        if name.startswith(SCORE_PREFIX)
    }
