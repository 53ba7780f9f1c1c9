"""The configuration of the three kinds of model."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from ae_models.config.steps import Step
from ae_models.config.validated import Validated, from_mapping, to_mapping
from ae_models.corruptions.expression import parse_corruption
from ae_models.errors import ConfigError
from ae_models.likelihoods import LIKELIHOODS
from ae_models.likelihoods.options import LikelihoodOptions
from ae_models.losses.expression import Loss, parse_loss
from ae_models.networks import ACTIVATIONS, NETWORKS
from ae_models.posteriors import POSTERIORS
from ae_models.priors import PRIORS

LATENT_OF_PIXELS, LIKELIHOOD_OF_PIXELS = 32, "bernoulli"


@dataclasses.dataclass(frozen=True)
class ModelConfig(Validated):
    """What the three kinds of model share. `widths` None: chosen for the image's shape.
    `latent_dim` None: 32 of pixels, 16 of features."""

    section: ClassVar[str] = "model"
    kind: ClassVar[str] = ""

    network: str = "convolutional"
    latent_dim: int | None = None
    widths: tuple[int, ...] | None = None
    activation: str = "relu"

    def validate(self) -> None:
        self.require_known("network", NETWORKS)
        self.require_known("activation", ACTIVATIONS)
        gated = self.network == "residual" and self.activation == "glu"
        self.require(not gated, "activation", "another than glu in a residual network")
        self.require(self.latent_size >= 1, "latent_dim", "at least 1")
        widths_fit = self.widths is None or (len(self.widths) > 0 and min(self.widths) >= 1)
        self.require(widths_fit, "widths", "a list of at least one number, each at least 1")

    @property
    def latent_size(self) -> int:
        """What `latent_dim` says, or else that of pixels."""
        return LATENT_OF_PIXELS if self.latent_dim is None else self.latent_dim

    def require_known(self, field: str, known: Iterable[str]) -> None:
        """Raises ConfigError unless the field's value is one of `known`."""
        self.require(getattr(self, field) in known, field, f"one of {', '.join(known)}")


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig(ModelConfig):
    """The plain auto-encoder.

    `loss` is [WEIGHT*]NAME joined by `+`, such as `mse` or `0.5*bce+ssim`. `output` is what the
    decoder's last layer goes through; None: a sigmoid where `bce` is in the loss, else nothing.

    `linear_path` puts beside encoder and decoder what principal components of the training records
    make of an image, for the networks to add what these lack: it is as good as they are before the
    first step. None: where the output is linear.
    """

    kind: ClassVar[str] = "ae"

    loss: str = "mse"
    output: Literal["linear", "sigmoid"] | None = None
    linear_path: bool | None = None

    def validate(self) -> None:
        super().validate()
        on_logits = self.parsed("loss", parse_loss).on_logits
        refused = on_logits and self.output == "linear"
        self.require(not refused, "output", "sigmoid, or null, with bce in model.loss")
        bounded = bool(self.linear_path) and self.sigmoid_output
        self.require(not bounded, "linear_path", "false, or null, where the output is a sigmoid")

    @property
    def loss_terms(self) -> Loss:
        """The loss as a function."""
        return self.parsed("loss", parse_loss)

    @property
    def sigmoid_output(self) -> bool:
        """Whether an image is the sigmoid of what the decoder gives."""
        return self.output == "sigmoid" or self.loss_terms.on_logits

    @property
    def has_linear_path(self) -> bool:
        """What `linear_path` says, or else the output."""
        return not self.sigmoid_output if self.linear_path is None else self.linear_path


_DEFAULT_CORRUPTION = "gaussian_noise:0.3"


@dataclasses.dataclass(frozen=True)
class DenoisingConfig(AutoencoderConfig):
    """The denoising auto-encoder.

    `corruption` is what its input undergoes in training: NAME[:AMOUNT] joined by `+`, applied from
    left to right, such as `rotation`, `greyscale+rotation` or `gaussian_noise:0.5+clip`.

    `target` is the column that holds what each image is to become, in pairs that are given: its
    shape, channels and bits are those of the inputs. `corruption` None: none where there is a
    target, else gaussian_noise:0.3.
    """

    kind: ClassVar[str] = "dae"

    corruption: str | None = None
    target: str | None = None

    def validate(self) -> None:
        super().validate()
        self.require(self.target != "", "target", "null, or the name of a column")
        if self.corruption is not None:
            self.parsed("corruption", parse_corruption)
        collapses = self.output == "sigmoid" and not self.loss_terms.on_logits
        self.require(
            not collapses,
            "output",
            "linear, or null, without bce in model.loss: a denoising model with a sigmoid and no "
            "bce was seen to give black images alone; add bce to the loss to have a sigmoid",
        )

    @property
    def corruption_steps(self) -> tuple[Step, ...]:
        """The corruptions in the order in which they act."""
        if self.corruption is None:
            return () if self.target else parse_corruption(_DEFAULT_CORRUPTION)
        return self.parsed("corruption", parse_corruption)


@dataclasses.dataclass(frozen=True)
class VariationalConfig(ModelConfig):
    """The variational auto-encoder.

    `likelihood` is the decoder's distribution over images; None: `bernoulli` of pixels, `gaussian`
    of features. Of one with a scale, `scale` says
    whether that is learned for each pixel (twice the decoder outputs), learned once for all, or
    fixed at `scale_value`; `likelihood_bits` are those of a discretised likelihood's levels.
    `prior_components` are those of a learned mixture.

    Training: `objective` elbo maximises E_q[log p(x | z)] − beta·KL, with `samples` draws of z;
    `kl_warmup_epochs` raise the weight of the KL term to beta linearly, and `free_bits` (Kingma
    et al. 2016), a dimension, are what it may reach at no cost. `iwae` maximises the
    importance-weighted bound with `samples` draws (Burda et al. 2016).

    Scores: `noise_samples` draws of z from a table that is saved with the weights, and
    `regret_steps` of optimising q(z | x) alone for a likelihood regret.
    """

    kind: ClassVar[str] = "vae"

    posterior: str = "diagonal_gaussian"
    prior: str = "standard"
    prior_components: int = 64
    likelihood: str | None = None
    scale: Literal["per_pixel", "shared", "fixed"] = "per_pixel"
    scale_value: float = 0.1
    min_scale: float = 0.01
    likelihood_bits: int = 8
    objective: Literal["elbo", "iwae"] = "elbo"
    samples: int = 1
    beta: float = 1.0
    kl_warmup_epochs: int = 0
    free_bits: float = 0.0
    noise_samples: int = 8
    regret_steps: int = 50

    def validate(self) -> None:
        super().validate()
        for field, known in _FAMILIES.items():
            if getattr(self, field) is not None:
                self.require_known(field, known)
        self.require(8 <= self.likelihood_bits <= 16, "likelihood_bits", "8 to 16")
        for field in ("prior_components", "samples", "regret_steps"):
            self.require(getattr(self, field) >= 1, field, "at least 1")
        for field in ("beta", "scale_value", "min_scale"):
            self.require(getattr(self, field) > 0, field, "greater than 0")
        for field in ("kl_warmup_epochs", "free_bits"):
            self.require(getattr(self, field) >= 0, field, "at least 0")
        shared = self.scale != "shared" or self.scale_value > self.min_scale
        self.require(shared, "scale_value", f"greater than min_scale, {self.min_scale:g}")
        even = self.noise_samples >= 2 and self.noise_samples % 2 == 0
        self.require(even, "noise_samples", "an even number (antithetic pairs), at least 2")
        if self.objective == "iwae":
            self._require_plain_bound()

    def _require_plain_bound(self) -> None:
        """The importance-weighted bound has no KL term of its own to weigh."""
        rule = "{} with objective iwae, which has no KL term by itself"
        self.require(self.beta == 1.0, "beta", rule.format(1))
        self.require(self.kl_warmup_epochs == 0, "kl_warmup_epochs", rule.format(0))
        self.require(self.free_bits == 0.0, "free_bits", rule.format(0))

    @property
    def known_likelihood(self) -> str:
        """What `likelihood` says, or else that of pixels."""
        return self.likelihood or LIKELIHOOD_OF_PIXELS

    @property
    def likelihood_options(self) -> LikelihoodOptions:
        return LikelihoodOptions(self.scale, self.scale_value, self.min_scale, self.likelihood_bits)


_FAMILIES: dict[str, Iterable[str]] = {
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "likelihood": LIKELIHOODS,
}

MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    config.kind: config for config in (AutoencoderConfig, DenoisingConfig, VariationalConfig)
}


def model_config_from_mapping(mapping: Any) -> ModelConfig:
    """The `model` section, of the class that its `kind` names."""
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"model must be a mapping with a kind. Received: {mapping!r}")
    values = dict(mapping)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in MODEL_CONFIGS:
        raise ConfigError(
            f"model.kind must be one of {', '.join(MODEL_CONFIGS)}. Received: {kind!r}"
        )
    return from_mapping(MODEL_CONFIGS[kind], values)


def model_config_to_mapping(config: ModelConfig) -> dict[str, Any]:
    """The inverse of `model_config_from_mapping`."""
    return {"kind": config.kind, **to_mapping(config)}


def as_trained(mapping: Any) -> Any:
    """A model section from before there was a `linear_path`, whatever its default is now."""
    if isinstance(mapping, Mapping) and mapping.get("kind") in (
        AutoencoderConfig.kind,
        DenoisingConfig.kind,
    ):
        return {"linear_path": False, **mapping}
    return mapping
