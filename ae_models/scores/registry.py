"""The scores of a bundle, and which of them is the primary score."""

from collections.abc import Sequence

import numpy as np

from ae_models.config.configuration import Configuration
from ae_models.config.family import Family
from ae_models.errors import ConfigError
from ae_models.scores.score import Score

SCORES: Family[type[Score]] = Family(
    {
        "reconstruction_mse": "ae_models.scores.reconstruction:ReconstructionMSE",
        "reconstruction_mae": "ae_models.scores.reconstruction:ReconstructionMAE",
        "reconstruction_ssim": "ae_models.scores.ssim:ReconstructionSSIM",
        "reconstruction_max": "ae_models.scores.local:ReconstructionMax",
        "reconstruction_smoothed": "ae_models.scores.smoothed:ReconstructionSmoothed",
        "reconstruction_relative": "ae_models.scores.relative:ReconstructionRelative",
        "map_peak": "ae_models.scores.map_peak:MapPeak",
        "latent_mahalanobis": "ae_models.scores.mahalanobis:LatentMahalanobis",
        "latent_knn": "ae_models.scores.neighbours:LatentNeighbours",
        "feature_density": "ae_models.scores.feature_density:FeatureDensity",
        "feature_extremes": "ae_models.scores.feature_extremes:FeatureExtremes",
        "stage_density": "ae_models.scores.feature_density:StageDensity",
        "feature_knn": "ae_models.scores.neighbours:FeatureNeighbours",
        "residual_density": "ae_models.scores.residual_density:ResidualDensity",
        "place_density": "ae_models.scores.place_density:PlaceDensity",
        "combined": "ae_models.scores.combined:Combined",
        "typicality": "ae_models.scores.typicality:Typicality",
        "restoration_mse": "ae_models.scores.restoration:RestorationMSE",
        "restoration_mae": "ae_models.scores.restoration:RestorationMAE",
        "rotation_contrast": "ae_models.scores.contrast:RotationContrast",
        "negative_elbo": "ae_models.scores.elbo:NegativeElbo",
        "kl": "ae_models.scores.elbo:KL",
        "reconstruction_probability": "ae_models.scores.elbo:ReconstructionProbability",
        "negative_log_likelihood": "ae_models.scores.marginal:NegativeLogLikelihood",
        "complexity_adjusted": "ae_models.scores.complexity:ComplexityAdjusted",
        "likelihood_regret": "ae_models.scores.regret:LikelihoodRegret",
    }
)
# The default primary scores: the first one that the bundle has.
_DEFAULT_PRIMARIES = ("combined", "reconstruction_smoothed")
_OF_TILES = ("map_peak",)  # images are processed in tiles to find small anomalies
AUTO = "auto"  # the value of `scoring.primary` before training has chosen one


def score_names(config: Configuration) -> tuple[str, ...]:
    """The names of the configured scores, or the default ones if none are configured.

    Raises:
      ConfigError: a name is unknown, does not apply to this kind of model, or is unavailable with
        this configuration.
    """
    kind = config.model.kind
    known = tuple(name for name, score in SCORES.items() if kind in score.kinds)
    if config.scoring.scores is None:
        offered = (name for name in known if SCORES[name].by_default)
        return tuple(name for name in offered if SCORES[name].refusal(config) is None)
    if len(set(config.scoring.scores)) < len(config.scoring.scores):
        raise ConfigError(f"scoring.scores repeats a name. Received: {config.scoring.scores}")
    for name in config.scoring.scores:
        if name not in known:
            raise ConfigError(
                f"scoring.scores for {kind} must be among {', '.join(known)}. Received: {name!r}"
            )
        if reason := SCORES[name].refusal(config):
            raise ConfigError(f"the score {name} {reason}")
    return config.scoring.scores


def primary_score(config: Configuration, names: Sequence[str] | None = None) -> str:
    """The name of the primary score, from which `score` and `p_value` are computed. If none is
    configured, or it is not chosen yet, it is the default one, or the first configured score.

    Args:
      config: the model's configuration.
      names: the available scores; None: `score_names`, which loads Keras.

    Raises:
      ConfigError: it is not among the configured scores.
    """
    names = score_names(config) if names is None else names
    name = config.scoring.primary
    if name is None or name == AUTO:
        defaults = _DEFAULT_PRIMARIES if config.image.tile is None else _OF_TILES
        return next((default for default in defaults if default in names), names[0])
    if name not in names:
        raise ConfigError(f"scoring.primary must be one of {', '.join(names)}. Received: {name!r}")
    return name


def fit_scores(scores: Sequence[Score], features: dict[str, np.ndarray]) -> None:
    """Fits each score for which there are features of the training records."""
    for score in scores:
        if score.name in features:
            score.fit(features[score.name])
