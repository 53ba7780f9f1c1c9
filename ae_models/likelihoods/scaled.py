"""The source of the scale, shared by the families with a location and a scale."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ae_models.likelihoods.likelihood import Likelihood
from ae_models.likelihoods.options import LikelihoodOptions
from ae_models.ops.tensor import Tensor


class ScaledLikelihood(Likelihood):
    """A family with a location m from the decoder, and a scale s for each value.

    `options.scale` selects the source of s: `per_pixel`, a softplus of as many additional decoder
    outputs; `shared`, one learned number that starts at `scale_value`; `fixed`, `scale_value`
    itself. A learned scale is at least `min_scale`, which keeps the density finite for values that
    never vary.
    """

    def _configure(self, options: LikelihoodOptions) -> None:
        self._source, self._least = options.scale, options.min_scale
        self.parameters_per_value = 2 if options.scale == "per_pixel" else 1
        self._fixed = options.scale_value
        if options.scale == "shared":
            above = options.scale_value - options.min_scale
            self._raw = self.add_weight(
                name="raw_scale",
                shape=(),
                initializer=keras.initializers.Constant(float(np.log(np.expm1(above)))),
            )

    def location(self, parameters: Tensor) -> Tensor:
        """m, (..., H, W, C)."""
        return ops.split(parameters, self.parameters_per_value, axis=-1)[0]

    def scale(self, parameters: Tensor) -> Any:
        """s, (..., H, W, C), or one number for all values."""
        if self._source == "fixed":
            return self._fixed
        if self._source == "shared":
            return self._least + ops.softplus(self._raw)
        return self._least + ops.softplus(ops.split(parameters, 2, axis=-1)[1])

    def parameters_of(self, mean: Tensor) -> Tensor:
        rest = [ops.zeros_like(mean)] * (self.parameters_per_value - 1)
        return ops.concatenate([mean, *rest], axis=-1)

    def _like_location(self, parameters: Tensor, value: Any) -> Tensor:
        """`value`, one number in total or one per value, in the shape of the image."""
        return ops.ones_like(self.location(parameters)) * value
