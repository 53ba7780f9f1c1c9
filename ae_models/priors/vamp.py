"""The variational mixture of posteriors: a learned mixture prior."""

import math
from typing import Any

import keras
from keras import ops

from ae_models.ops.tensor import Tensor
from ae_models.priors.prior import Prior


class VampPrior(Prior):
    """p(z) = 1/K · Σ_k q(z | u_k), with K learned images u_k, the pseudo-inputs (Tomczak and
    Welling 2018). They start as training images."""

    family = "vamp"

    def _add_weights(self, image_shape: tuple[int, int, int]) -> None:
        self.pseudo_inputs = self.add_weight(
            name="pseudo_inputs", shape=(self._components, *image_shape), initializer="zeros"
        )

    def initialise(self, images: Any) -> None:
        """Assigns one image to each component, repeating the images of a small data set."""
        chosen = ops.arange(self._components) % len(images)
        self.pseudo_inputs.assign(ops.take(images, chosen, axis=0))

    def log_prob(self, z: Tensor) -> Tensor:
        components = self._encode(self.pseudo_inputs)
        log_probs = components.log_prob(ops.reshape(z, (-1, 1, self._latent_dim)))  # (·, K)
        mixed = ops.logsumexp(log_probs, axis=-1) - math.log(self._components)
        return ops.reshape(mixed, ops.shape(z)[:-1])

    def sample(self, count: int, seed: Any) -> Tensor:
        """Draws from every component and keeps, for each row, the draw of a random component."""
        components = self._encode(self.pseudo_inputs)
        noise = components.noise((count, self._components, self._latent_dim), seed)
        chosen = keras.random.randint((count, 1, 1), 0, self._components, seed=seed)
        drawn = components.sample(noise)
        return ops.squeeze(ops.take_along_axis(drawn, chosen, axis=1), axis=1)

    def moments(self) -> tuple[Tensor, Tensor]:
        """The mixture's moments, from the components' variances and the variance of their means."""
        components = self._encode(self.pseudo_inputs)
        within = ops.mean(ops.square(components.stddev), axis=0)
        return ops.mean(components.mean, axis=0), ops.sqrt(
            within + ops.var(components.mean, axis=0)
        )
