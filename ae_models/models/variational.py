"""The variational auto-encoder."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ae_models.config.model import VariationalConfig
from ae_models.likelihoods import LIKELIHOODS
from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference
from ae_models.models.posterior_optimisation import optimised_gain
from ae_models.networks import NETWORKS
from ae_models.ops.tensor import Tensor
from ae_models.posteriors import POSTERIORS
from ae_models.posteriors.posterior import Posterior
from ae_models.priors import PRIORS


class VariationalOutputs(NamedTuple):
    """The result of `call` for S samples of z: raw parameters of q(z | x), (N, ·), z, (S, N, d),
    and raw parameters of p(x | z), (S, N, H, W, ·)."""

    posterior: Tensor
    z: Tensor
    likelihood: Tensor


@keras.saving.register_keras_serializable(package="latentbeam")
class VariationalAutoencoder(ImageModel):
    """q(z | x) from the encoder, z sampled from it, p(x | z) from the decoder (Kingma and Welling
    2014); the configuration names the families of posterior, prior and likelihood.

    Scores use one table of noise, drawn once from the seed and saved with the weights, in
    antithetic pairs (ε, −ε), so that a record's score depends on that record alone.
    """

    config_class = VariationalConfig
    config: VariationalConfig

    def _add_networks(self, seeds: Iterator[int]) -> None:
        config = self.config
        self._family = POSTERIORS[config.posterior]
        self.likelihood = LIKELIHOODS[config.known_likelihood](config.likelihood_options)
        super()._add_networks(seeds)
        self.seed_generator = keras.random.SeedGenerator(next(seeds))
        self.noise_table = self.add_weight(
            name="noise_table",
            shape=(config.noise_samples, config.latent_size),
            initializer=_antithetic(self._family, next(seeds)),
            trainable=False,
        )
        self.kl_weight = self.add_weight(
            name="kl_weight",
            shape=(),
            initializer=keras.initializers.Constant(config.beta),
            trainable=False,
        )
        self.prior = PRIORS[config.prior](
            config.latent_size, config.prior_components, self.image_shape, self.encode
        )

    @property
    def encoder_outputs(self) -> int:
        return self._family.outputs(self.config.latent_size)

    @property
    def decoder_channels(self) -> int:
        return self.image_shape[-1] * self.likelihood.parameters_per_value

    def encode(self, x: Tensor) -> Posterior:
        """q(z | x) for images (N, H, W, C)."""
        return self._posterior(self.encoder(x, training=False))

    def _posterior(self, parameters: Tensor) -> Posterior:
        return self._family(parameters, self.config.latent_size)

    @property
    def first_seen(self) -> int:
        return 1024

    def initialise(self, images: Tensor, targets: Tensor = None) -> None:
        """Starts the decoder at the mean image: one that has to find it first learns to ignore the
        latent, and many dimensions never recover."""
        del targets
        self.prior.initialise(images)
        mean = self.likelihood.parameters_of(ops.mean(images, axis=0))
        NETWORKS[self.config.network].start_at(self.decoder, mean)

    @property
    def warmup_epochs(self) -> int:
        return self.config.kl_warmup_epochs

    def begin_epoch(self, epoch: int) -> None:
        done = (epoch + 1) / max(1, self.warmup_epochs)
        self.kl_weight.assign(self.config.beta * min(1.0, done))

    def call(self, x: Tensor, training: bool = False) -> VariationalOutputs:
        parameters = self.encoder(x, training=training)
        posterior = self._posterior(parameters)
        z, images = self._drawn(posterior, self.config.samples, self.seed_generator, training)
        return VariationalOutputs(parameters, z, images)

    def _drawn(
        self, posterior: Posterior, samples: int, seed: Any, training: bool
    ) -> tuple[Tensor, Tensor]:
        """z drawn from q(z | x), (S, N, d), and raw parameters of p(x | z), (S, N, H, W, ·)."""
        shape = (samples, *ops.shape(posterior.mean))
        z = posterior.sample(posterior.noise(shape, seed))
        decoded = self.decoder(ops.reshape(z, (-1, shape[-1])), training=training)
        return z, ops.reshape(decoded, (*shape[:2], *decoded.shape[1:]))

    def training_loss(self, target: Tensor, outputs: Any, training: bool = False) -> Tensor:
        """In nats: −E_q[log p(x | z)] + β·KL, or −log 1/S·Σ p(x | z)·p(z) / q(z | x)."""
        posterior = self._posterior(outputs.posterior)
        log_likelihood = self.likelihood.log_prob(outputs.likelihood, target)
        if self.config.objective == "iwae":
            log_weights = log_likelihood + self._log_ratio(posterior, outputs.z)
            return math.log(self.config.samples) - ops.logsumexp(log_weights, axis=0)
        kl = self._kl(posterior, outputs.z)
        if self.config.free_bits:
            dimensions = self.config.latent_size // kl.shape[-1]
            floor = self.config.free_bits * math.log(2.0) * dimensions
            kl = ops.maximum(ops.mean(kl, axis=0, keepdims=True), floor)
        weight = self.kl_weight if training else self.config.beta
        return weight * ops.sum(kl, axis=-1) - ops.mean(log_likelihood, axis=0)

    def _kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        """KL(q(z | x) ‖ p(z)), (N, d) or (N, 1): in closed form, or its mean over z, (S, N, d)."""
        exact = self.prior.kl_from(posterior)
        if exact is not None:
            return exact
        return -ops.mean(self._log_ratio(posterior, z), axis=0)[:, None]

    def _log_ratio(self, posterior: Posterior, z: Tensor) -> Tensor:
        """log p(z) / q(z | x) of z (S, N, d): (S, N)."""
        return self.prior.log_prob(z) - posterior.log_prob(z)

    def infer(self, x: Tensor) -> Inference:
        """Adds `latent_stddev` (N, d); and in nats: `kl`, `expected_log_likelihood`, which is
        E_q[log p(x | z)], and `elbo_gain`, from optimising q per record, (N,); `log_weights`,
        log p(x, z) / q(z | x), (K, N); `log_likelihood_per_value`, log p(x | z) at the posterior's
        mean, (N, H, W, C). Expectations are over the K rows of the noise table."""
        parameters = self.encoder(x, training=False)
        posterior = self._posterior(parameters)
        noise = self.noise_table[:, None, :]  # (K, 1, d)
        return Inference(
            {
                "latent_mean": lambda _: posterior.mean,
                "latent_stddev": lambda _: posterior.stddev,
                "parameters": lambda _: self.decoder(posterior.mean, training=False),
                "reconstruction": lambda own: self.likelihood.mean(own["parameters"]),
                "log_likelihood_per_value": lambda own: self.likelihood.log_prob_per_value(
                    own["parameters"], x
                ),
                "z": lambda _: posterior.sample(noise),
                "kl": lambda own: ops.sum(self._kl(posterior, own["z"]), axis=-1),
                "log_likelihoods": lambda own: self._log_likelihoods(x, own["z"]),
                "expected_log_likelihood": lambda own: ops.mean(own["log_likelihoods"], axis=0),
                "log_weights": lambda own: (
                    own["log_likelihoods"] + self._log_ratio(posterior, own["z"])
                ),
                "elbo_gain": lambda _: optimised_gain(
                    lambda free: self._elbo(x, free, noise), parameters, self.config.regret_steps
                ),
            }
        )

    def log_weights(self, x: Tensor, samples: int, seed: Any) -> Tensor:
        """log p(x, z) / q(z | x), in nats, for fresh draws of z from q(z | x): (samples, N)."""
        posterior = self.encode(x)
        z, images = self._drawn(posterior, samples, seed, training=False)
        return self.likelihood.log_prob(images, x) + self._log_ratio(posterior, z)

    def decode(self, latent: Tensor) -> Tensor:
        """The mean of p(x | z)."""
        return self.likelihood.mean(self.decoder(latent, training=False))

    def _log_likelihoods(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) of each sample, (K, N), computed one at a time to save memory."""
        return ops.stack(
            [
                self.likelihood.log_prob(self.decoder(z[index], training=False), x)
                for index in range(self.config.noise_samples)
            ]
        )

    def _elbo(self, x: Tensor, parameters: Tensor, noise: Tensor) -> Tensor:
        """The evidence lower bound, in nats, (N,), for a posterior with these raw parameters."""
        posterior = self._posterior(parameters)
        z = posterior.sample(noise)
        kl = ops.sum(self._kl(posterior, z), axis=-1)
        return ops.mean(self._log_likelihoods(x, z), axis=0) - kl

    def sample(self, count: int, seed: int) -> Tensor:
        """Images drawn from the model, z from p(z) and x from p(x | z): (count, H, W, C)."""
        seeds = keras.random.SeedGenerator(seed)
        return self.draw(self.prior.sample(count, seeds), seeds)

    def draw(self, latent: Tensor, seed: Any) -> Tensor:
        """Images drawn from p(x | z), whereas `decode` returns its mean: (N, H, W, C)."""
        return self.likelihood.sample(self.decoder(latent, training=False), seed=seed)


def _antithetic(family: type[Posterior], seed: int) -> Any:
    """An initialiser of shape (samples, d): draws from the family's noise, then the same draws
    negated, since that noise is symmetric."""

    def initialise(shape: tuple[int, int], dtype: Any = None) -> np.ndarray:
        half = family.noise_table((shape[0] // 2, shape[1]), np.random.default_rng(seed))
        return np.concatenate([half, -half]).astype(dtype or "float32")

    return initialise
