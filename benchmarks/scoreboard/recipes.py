"""The models that the scoreboard measures, with settings chosen on training-class data.

Settings were compared by the AUROC of held-out training records of the normal class against
anomalies made from them: those of `anomalies` and others (parts moved, added, erased, mixed;
outlines stretched, warped, rotated, thickened, thinned; textures). Other classes and test sets were
used only after a recipe was settled.
"""

import dataclasses
from typing import Any

from ae_models.config.configuration import (
    Configuration,
    PreprocessingConfig,
    ScoringConfig,
    TrainingConfig,
)
from ae_models.config.model import (
    AutoencoderConfig,
    DenoisingConfig,
    ModelConfig,
    VariationalConfig,
)
from ae_models.scores import SCORES

_FULL_RANGE = PreprocessingConfig("full_range")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A model with its settings, and the score that it is declared with."""

    name: str
    config: Configuration
    score: str
    seeds: int = 5

    @property
    def settings(self) -> str:
        """The differences from the defaults, for the page."""
        model, training = self.config.model, self.config.training
        declared = [self.score] if self.score else []
        return "; ".join([model.kind, *declared, *changed(model), *changed(training)])

    def seeded(self, seed: int) -> Configuration:
        """The configuration with this seed."""
        training = dataclasses.replace(self.config.training, seed=seed)
        return dataclasses.replace(self.config, training=training)


def changed(section: ModelConfig | TrainingConfig) -> list[str]:
    """The settings of a section that differ from its defaults, as the page shows them."""
    return [
        f"{field.name} {getattr(section, field.name)}"
        for field in dataclasses.fields(section)
        if getattr(section, field.name) != field.default
    ]


def _training(epochs: int, **more: Any) -> TrainingConfig:
    """Training with cosine decay to the last epoch, without early stopping."""
    return TrainingConfig(epochs=epochs, patience=epochs, schedule="cosine", **more)


def _dense(units: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return {"network": "dense", "widths": units, **more}


def _recipe(name: str, model: ModelConfig, epochs: int, score: str, seeds: int = 5) -> Recipe:
    config = Configuration(
        model,
        preprocessing=_FULL_RANGE,
        training=_training(epochs),
        scoring=ScoringConfig(scores=_scores(model), primary=score or None),
    )
    return Recipe(name, config, score, seeds)


def _scores(model: ModelConfig) -> tuple[str, ...]:
    """All scores except likelihood regret, which costs a hundred times as much."""
    config = Configuration(model, preprocessing=_FULL_RANGE)
    return tuple(
        name
        for name, score in SCORES.items()
        if model.kind in score.kinds
        and score.refusal(config) is None
        and name != "likelihood_regret"
    )


_ERASING = DenoisingConfig(**_dense((1024, 512), corruption="cutout", loss="bce"))
_TURNING = DenoisingConfig(**_dense((512, 256), corruption="rotation", loss="bce"))
_PLAIN = AutoencoderConfig(**_dense((512, 256), loss="bce"))
_VARIATIONAL = VariationalConfig(**_dense((512, 256)))
_LEVELS = VariationalConfig(
    **_dense((512, 256), likelihood="discretised_logistic", min_scale=0.001)
)

_PLAIN_ROW = _recipe("plain AE", _PLAIN, 20, "latent_mahalanobis", seeds=1)
_VARIATIONAL_ROW = _recipe("VAE", _VARIATIONAL, 20, "negative_elbo", seeds=1)

_SMALL_ERASING = DenoisingConfig(**_dense((512, 256), corruption="cutout", loss="bce"))

RECIPES: dict[str, tuple[Recipe, ...]] = {
    "one-class MNIST": (
        _recipe("DAE, erased rectangles", _ERASING, 20, "reconstruction_smoothed"),
        _PLAIN_ROW,
        _VARIATIONAL_ROW,
    ),
    "one-class Fashion-MNIST": (
        _recipe("DAE, erased rectangles", _ERASING, 20, "reconstruction_smoothed", seeds=1),
        _recipe("DAE, erased rectangles", _ERASING, 20, "reconstruction_relative", seeds=1),
        _PLAIN_ROW,
        _VARIATIONAL_ROW,
    ),
}
_TURNED_COLOUR: dict[str, Any] = {"corruption": "rotation", "loss": "bce", "latent_dim": 64}
_TURNED_CONVOLUTIONAL = DenoisingConfig(widths=(32, 64, 128), **_TURNED_COLOUR)
RECIPES["one-class CIFAR-10, JPEG copy"] = (
    *(
        _recipe(
            "DAE, turned by k·90°, convolutional",
            _TURNED_CONVOLUTIONAL,
            epochs,
            "rotation_contrast",
            seeds=1,
        )
        for epochs in (30, 80)
    ),
    _recipe(
        "DAE, turned by k·90°",
        DenoisingConfig(**_dense((512, 256), **_TURNED_COLOUR)),
        20,
        "rotation_contrast",
        seeds=1,
    ),
)

DENOISING = Recipe(
    "DAE, noise of any strength",
    Configuration(
        DenoisingConfig(
            **_dense(
                (1024,),
                latent_dim=256,
                corruption="random_gaussian_noise:0.8+clip",
                loss="bce",
            )
        ),
        preprocessing=_FULL_RANGE,
        training=_training(25),
    ),
    "PSNR",
    seeds=1,
)
OUT_OF_DISTRIBUTION = (_recipe("DAE, turned by k·90°", _TURNING, 10, "typicality"),)
VALIDITY = (
    _recipe("DAE, turned by k·90°", _TURNING, 4, "restoration_mse"),
    _recipe("VAE, discretised logistic", _LEVELS, 4, "negative_elbo"),
)
PRIMARY = (
    _recipe("AE", _PLAIN, 16, "", seeds=1),
    _recipe("DAE, erased rectangles", _SMALL_ERASING, 16, "", seeds=1),
    _recipe("DAE, turned by k·90°", _TURNING, 16, "", seeds=1),
    _recipe("VAE, Bernoulli", _VARIATIONAL, 16, "", seeds=1),
    _recipe("VAE, discretised logistic", _LEVELS, 16, "", seeds=1),
)
CLASSES = _recipe("VAE", _VARIATIONAL, 20, "", seeds=3)
CLUSTERS = Recipe(
    "AE",
    Configuration(
        AutoencoderConfig(**_dense((500, 500, 2000), latent_dim=10, loss="bce")),
        preprocessing=_FULL_RANGE,
        training=_training(25, optimizer="muon", learning_rate=0.005, batch_size=1024),
    ),
    "",
)
