"""The variational auto-encoder."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ae_models.config import VariationalConfig
from ae_models.distributions import LIKELIHOODS, DiagonalGaussian
from ae_models.image_model import ImageModel, Tensor


class VariationalOutputs(NamedTuple):
    """What `call` gives: raw parameters of q(z | x), (N, 2d), and of p(x | z), (N, H, W, ·)."""

    posterior: Tensor
    likelihood: Tensor


@keras.saving.register_keras_serializable(package="latentbeam")
class VariationalAutoencoder(ImageModel):
    """q(z | x) from the encoder, z sampled from it, p(x | z) from the decoder (Kingma and Welling
    2014); trained on the evidence lower bound with the KL term weighed by beta.

    Scores use one table of noise, drawn once from the seed and saved with the weights, in
    antithetic pairs (ε, −ε): a record's score depends on the record alone.
    """

    config_class = VariationalConfig
    config: VariationalConfig

    def _add_networks(self, seeds: Iterator[int]) -> None:
        self.likelihood = LIKELIHOODS[self.config.likelihood]()
        super()._add_networks(seeds)
        self.seed_generator = keras.random.SeedGenerator(next(seeds))
        self.noise_table = self.add_weight(
            name="noise_table",
            shape=(self.config.noise_samples, self.config.latent_dim),
            initializer=_antithetic_noise(next(seeds)),
            trainable=False,
        )

    @property
    def encoder_outputs(self) -> int:
        return DiagonalGaussian.outputs(self.config.latent_dim)

    @property
    def decoder_channels(self) -> int:
        return self.image_shape[-1] * self.likelihood.parameters_per_value

    def call(self, x: Tensor, training: bool = False) -> VariationalOutputs:
        parameters = self.encoder(x, training=training)
        posterior = DiagonalGaussian(parameters)
        noise = keras.random.normal(ops.shape(posterior.mean), seed=self.seed_generator)
        z = posterior.sample(noise)
        return VariationalOutputs(parameters, self.decoder(z, training=training))

    def training_loss(self, target: Tensor, outputs: Any) -> Tensor:
        """−log p(x | z) + β·KL, in nats, with one sample of z."""
        kl = DiagonalGaussian(outputs.posterior).kl_to_standard()
        return self.config.beta * kl - self.likelihood.log_prob(outputs.likelihood, target)

    def infer(self, x: Tensor) -> dict[str, Tensor]:
        """Adds `latent_stddev` (N, d), and in nats, (N,): `kl` and `expected_log_likelihood`,
        E_q[log p(x | z)] over the noise table."""
        posterior = DiagonalGaussian(self.encoder(x, training=False))
        log_probs = [
            self.likelihood.log_prob(
                self.decoder(posterior.sample(self.noise_table[index]), training=False), x
            )
            for index in range(self.config.noise_samples)
        ]
        return {
            "latent_mean": posterior.mean,
            "latent_stddev": posterior.stddev,
            "reconstruction": self.likelihood.mean(self.decoder(posterior.mean, training=False)),
            "kl": posterior.kl_to_standard(),
            "expected_log_likelihood": ops.mean(ops.stack(log_probs), axis=0),
        }

    def sample(self, count: int, seed: int) -> Tensor:
        """Images drawn from the model, z from N(0, I) and x from p(x | z): (count, H, W, C)."""
        seeds = keras.random.SeedGenerator(seed)
        z = keras.random.normal((count, self.config.latent_dim), seed=seeds)
        return self.likelihood.sample(self.decoder(z, training=False), seed=seeds)


def _antithetic_noise(seed: int) -> Any:
    """An initialiser of shape (samples, d): standard normal draws, then the same negated."""

    def initialise(shape: tuple[int, int], dtype: Any = None) -> np.ndarray:
        half = np.random.default_rng(seed).standard_normal((shape[0] // 2, shape[1]))
        return np.concatenate([half, -half]).astype(dtype or "float32")

    return initialise
