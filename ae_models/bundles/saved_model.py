"""The functions of a bundle's SavedModel, with NumPy input and output. Imports TensorFlow."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ae_models.bundles.names import SCORING
from ae_models.bundles.plain_path import plain_path
from ae_models.config.configuration import ImageConfig

SCORE, SCORE_WITH_MAPS, RECONSTRUCT = "score", "score_with_maps", "reconstruct"
_SCORING_SIGNATURES = (SCORE, SCORE_WITH_MAPS)
# (N, H, W, C) raw pixels → outputs of N records, by name.
Function = Callable[[np.ndarray], dict[str, np.ndarray]]


class SavedModel:
    """A bundle's SavedModel in memory, whose functions can be called as long as it is alive.

    Args:
      path: the bundle's folder.
      image: the images that its functions must accept.
      outputs: the outputs that its scoring functions must have.

    Raises:
      Exception: of any class, for a meaningless graph; KeyError, ValueError: it accepts or returns
        something else.
    """

    def __init__(self, path: Path, image: ImageConfig, outputs: Collection[str]):
        with plain_path(path) as plain:
            self._model = tf.saved_model.load(str(plain / SCORING))
        self._signatures: Mapping[str, Any] = dict(self._model.signatures)
        _check_signatures(self._signatures, image, outputs)

    def functions(self, wanted: Collection[str] | None = None) -> dict[str, Function]:
        """The functions by name. Scoring functions return only the outputs in `wanted` and compute
        nothing that these do not need; None: all outputs."""
        signatures = dict(self._signatures)
        if wanted is not None:
            for name in _SCORING_SIGNATURES:
                signatures[name] = _restricted(signatures[name], wanted)
        return {name: _of_arrays(signature) for name, signature in signatures.items()}


def _of_arrays(signature: Any) -> Function:
    def function(pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = signature(pixels=tf.constant(pixels))
        return {name: outputs[name].numpy() for name in sorted(outputs)}

    return function


def _check_signatures(
    signatures: Mapping[str, Any], image: ImageConfig, outputs: Collection[str]
) -> None:
    """Checks that they accept and return what the configuration states.

    Raises:
      KeyError, ValueError: they do not.
    """
    for signature in (*_SCORING_SIGNATURES, RECONSTRUCT):
        pixels = signatures[signature].structured_input_signature[1]["pixels"]
        if pixels.shape[1:] != image.shape or pixels.dtype.name != image.dtype:
            raise ValueError(f"{signature} accepts {pixels}, not the configured images")
    for signature in _SCORING_SIGNATURES:
        given = signatures[signature].structured_outputs
        if missing := sorted(set(outputs) - set(given)):
            raise ValueError(f"{signature} does not return {missing[0]}")


def _restricted(function: Any, names: Collection[str]) -> Any:
    """The signature with fewer outputs. TensorFlow inlines the inner call and drops whatever no
    output needs."""

    def restricted(pixels: Any) -> dict[str, Any]:
        outputs = function(pixels=pixels)
        return {name: value for name, value in outputs.items() if name in names}

    specification = function.structured_input_signature[1]["pixels"]
    return tf.function(restricted, autograph=False).get_concrete_function(pixels=specification)
