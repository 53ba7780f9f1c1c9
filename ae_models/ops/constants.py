"""Large constants of an exported graph, stored once beside it."""

import contextlib
import contextvars
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from ae_models.ops.tensor import Tensor

_LARGE_BYTES = 64 << 10  # TensorFlow folds smaller ones into what is computed from them


class KeptConstants:
    """Variables that stand for large constants.

    In a graph, each use of a constant in each function is a copy in the graph's file, which is read
    into memory and limited in size: for an image 2,048 pixels wide, the matrix of a filter takes
    16 MiB. Variables are stored once, in a separate file.
    """

    def __init__(self) -> None:
        self._variables: dict[tuple[Any, ...], tf.Variable] = {}

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables used so far; an exported module must hold them."""
        return list(self._variables.values())

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Within this context, `constant` returns these variables."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def tensor(self, values: np.ndarray) -> Tensor:
        """Reads the variable with these values."""
        values = np.ascontiguousarray(values)
        key = (values.shape, values.dtype.str, hashlib.sha256(values.data).digest())
        if key not in self._variables:
            with tf.init_scope():  # outside the function that is being traced
                self._variables[key] = tf.Variable(values, trainable=False, name="constant")
        return self._variables[key].value()


_current = contextvars.ContextVar[KeptConstants | None]("kept_constants", default=None)


def constant(values: Any, dtype: str = "float32") -> Tensor:
    """`values` as a tensor; large ones become variables in a graph that is exported."""
    array, kept = np.asarray(values, dtype), _current.get()
    if kept is None or array.nbytes < _LARGE_BYTES:
        return ops.convert_to_tensor(array)
    return kept.tensor(array)
