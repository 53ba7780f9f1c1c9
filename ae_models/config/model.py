"""The configuration of the three kinds of model."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ae_models.config.steps import Step
from ae_models.config.validated import Validated, from_mapping, key, to_mapping
from ae_models.corruptions.expression import parse_corruption
from ae_models.corruptions.families import FACTS
from ae_models.errors import ConfigError
from ae_models.likelihoods import LIKELIHOODS
from ae_models.likelihoods.options import LikelihoodOptions
from ae_models.losses.expression import LOSSES, Loss, parse_loss
from ae_models.networks import ACTIVATIONS, NETWORKS
from ae_models.posteriors import POSTERIORS
from ae_models.priors import PRIORS

LATENT_OF_PIXELS, LIKELIHOOD_OF_PIXELS = 32, "bernoulli"
KIND_MEANING = "Kind of auto-encoder: ae (plain), dae (denoising) or vae (variational)."


@dataclasses.dataclass(frozen=True)
class ModelConfig(Validated):
    """What the three kinds of model have in common."""

    section: ClassVar[str] = "model"
    kind: ClassVar[str] = ""

    network: str = key("convolutional", "Architecture of encoder and decoder.", NETWORKS)
    latent_dim: int | None = key(
        None, "Number of latent dimensions. null: 32 for pixels, 16 for features."
    )
    widths: tuple[int, ...] | None = key(
        None,
        "Filters of each stage, each of which halves the image, or units of each layer of a dense "
        "network. null: chosen for the image's shape.",
    )
    activation: str = key(
        "relu",
        "Activation of the hidden layers; glu is gated and doubles their units.",
        ACTIVATIONS,
    )

    def validate(self) -> None:
        gated = self.network == "residual" and self.activation == "glu"
        self.require(not gated, "activation", "other than glu in a residual network")
        self.require(self.latent_size >= 1, "latent_dim", "at least 1")
        widths_fit = self.widths is None or (len(self.widths) > 0 and min(self.widths) >= 1)
        self.require(widths_fit, "widths", "a list of at least one number, each at least 1")

    @property
    def latent_size(self) -> int:
        """`latent_dim`, or its default for pixels."""
        return LATENT_OF_PIXELS if self.latent_dim is None else self.latent_dim


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig(ModelConfig):
    """The plain auto-encoder.

    The linear path starts as the principal components of the training records, and the networks
    learn to add what these lack: before the first step, the model is as good as the components.
    """

    kind: ClassVar[str] = "ae"

    loss: str = key(
        "mse",
        "Training loss, [WEIGHT*]NAME joined by +, such as mse or 0.5*bce+ssim; names: "
        f"{', '.join(LOSSES)}.",
    )
    output: Literal["linear", "sigmoid"] | None = key(
        None,
        "Activation of the decoder's last layer. null: sigmoid if the loss contains bce, otherwise "
        "linear.",
    )
    linear_path: bool | None = key(
        None,
        "Add a linear path, initialised by principal components of the training records, beside "
        "encoder and decoder. null: true if the output is linear.",
    )

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
        """Whether an image is the sigmoid of the decoder's output."""
        return self.output == "sigmoid" or self.loss_terms.on_logits

    @property
    def has_linear_path(self) -> bool:
        """`linear_path`, or its default, which depends on the output."""
        return not self.sigmoid_output if self.linear_path is None else self.linear_path


_DEFAULT_CORRUPTION = "gaussian_noise:0.3"


@dataclasses.dataclass(frozen=True)
class DenoisingConfig(AutoencoderConfig):
    """The denoising auto-encoder. With `target`, it learns from given pairs; shape, channels
    and bits of the targets are those of the inputs."""

    kind: ClassVar[str] = "dae"

    corruption: str | None = key(
        None,
        "Corruptions of the input in training, NAME[:AMOUNT] joined by + and applied from left to "
        f"right, such as gaussian_noise:0.5+clip; names: {', '.join(FACTS)}. null: "
        f"{_DEFAULT_CORRUPTION}, or none with model.target.",
    )
    target: str | None = key(
        None,
        "Column with the image that each input should be turned into (pairs). null: the input "
        "itself.",
    )

    def validate(self) -> None:
        super().validate()
        self.require(self.target != "", "target", "null, or the name of a column")
        if self.corruption is not None:
            self.parsed("corruption", parse_corruption)
        collapses = self.output == "sigmoid" and not self.loss_terms.on_logits
        self.require(
            not collapses,
            "output",
            "linear, or null, without bce in model.loss: denoising models with a sigmoid and no "
            "bce were seen to produce only black images; add bce to the loss to use a sigmoid",
        )

    @property
    def corruption_steps(self) -> tuple[Step, ...]:
        """The corruptions in the order in which they are applied."""
        if self.corruption is None:
            return () if self.target else parse_corruption(_DEFAULT_CORRUPTION)
        return self.parsed("corruption", parse_corruption)


@dataclasses.dataclass(frozen=True)
class VariationalConfig(ModelConfig):
    """The variational auto-encoder.

    Objective elbo maximises E_q[log p(x | z)] − beta·KL, iwae the importance-weighted bound (Burda
    et al. 2016). `free_bits` is due to Kingma et al. 2016. The draws of `noise_samples` are a table
    that is saved with the weights; a likelihood regret optimises q(z | x) alone.
    """

    kind: ClassVar[str] = "vae"

    posterior: str = key(
        "diagonal_gaussian",
        "Family of the posterior q(z | x), the distribution over latents.",
        POSTERIORS,
    )
    prior: str = key(
        "standard",
        "Prior over latents: standard is N(0, I), vamp a mixture of the posteriors of learned "
        "images.",
        PRIORS,
    )
    prior_components: int = key(64, "Number of components of the mixture (prior vamp only).")
    likelihood: str | None = key(
        None,
        "Family of the likelihood p(x | z), the decoder's distribution over images. null: "
        f"{LIKELIHOOD_OF_PIXELS} for pixels, gaussian for features.",
        LIKELIHOODS,
    )
    scale: Literal["per_pixel", "shared", "fixed"] = key(
        "per_pixel",
        "Scale of a gaussian, laplace or discretised_logistic likelihood: per_pixel, learned for "
        "each pixel (twice the decoder outputs); shared, one learned number; fixed, "
        "model.scale_value.",
    )
    scale_value: float = key(0.1, "The fixed scale, or the initial value of a shared one.")
    min_scale: float = key(0.01, "Minimum of a learned scale.")
    likelihood_bits: int = key(
        8, "Bits of the images' levels, 8 to 16 (likelihood discretised_logistic only)."
    )
    objective: Literal["elbo", "iwae"] = key(
        "elbo",
        "Training objective: elbo, or iwae, the importance-weighted bound, for which model.beta "
        "must be 1, and model.kl_warmup_epochs and model.free_bits 0.",
    )
    samples: int = key(1, "Number of draws of z per record in training.")
    beta: float = key(1.0, "Weight of the KL term.")
    kl_warmup_epochs: int = key(
        0, "Number of epochs over which the weight of the KL term rises linearly to model.beta."
    )
    free_bits: float = key(0.0, "KL divergence, in bits per latent dimension, that costs nothing.")
    noise_samples: int = key(
        8, "Number of draws of z per record in scoring; an even number (antithetic pairs)."
    )
    regret_steps: int = key(50, "Number of optimisation steps of the score likelihood_regret.")

    def validate(self) -> None:
        super().validate()
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
        """The importance-weighted bound has no separate KL term to weigh."""
        rule = "{} with objective iwae, which has no separate KL term"
        self.require(self.beta == 1.0, "beta", rule.format(1))
        self.require(self.kl_warmup_epochs == 0, "kl_warmup_epochs", rule.format(0))
        self.require(self.free_bits == 0.0, "free_bits", rule.format(0))

    @property
    def known_likelihood(self) -> str:
        """`likelihood`, or its default for pixels."""
        return self.likelihood or LIKELIHOOD_OF_PIXELS

    @property
    def likelihood_options(self) -> LikelihoodOptions:
        return LikelihoodOptions(self.scale, self.scale_value, self.min_scale, self.likelihood_bits)


MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    config.kind: config for config in (AutoencoderConfig, DenoisingConfig, VariationalConfig)
}


def model_config_from_mapping(mapping: Any) -> ModelConfig:
    """The `model` section, as the class that its `kind` selects."""
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
    """A model section written before `linear_path` existed: models had none then."""
    if isinstance(mapping, Mapping) and mapping.get("kind") in (
        AutoencoderConfig.kind,
        DenoisingConfig.kind,
    ):
        return {"linear_path": False, **mapping}
    return mapping
