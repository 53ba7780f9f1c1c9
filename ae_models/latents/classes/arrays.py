"""Checks of the arrays of a class model, wherever they come from."""

from collections.abc import Mapping

import numpy as np

from ae_models.errors import InputError


def check_class_arrays(values: Mapping[str, np.ndarray]) -> None:
    """Raises InputError unless these are the arrays of a model."""
    classes, owners = values["classes"], values["owners"]
    if classes.ndim != 1 or classes.dtype.kind != "U" or not len(classes):
        raise InputError("a class model's classes must be a list of names")
    if owners.ndim != 1 or values["means"].ndim != 2:
        raise InputError("a class model's owners and means have the wrong shape")
    count, size = len(owners), values["means"].shape[1]
    shapes = {
        "counts": ((len(classes),), np.int64),
        "owners": ((count,), np.int64),
        "weights": ((count,), np.float64),
        "means": ((count, size), np.float64),
        "covariances": ((count, size, size), np.float64),
        "calibration": ((values["calibration"].size,), np.float32),
    }
    for name, (shape, kind) in shapes.items():
        array = values[name]
        if array.shape != shape or array.dtype != kind:
            raise InputError(
                f"a class model's {name} must be {shape} {np.dtype(kind)}. "
                f"Received: {array.shape} {array.dtype}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"a class model's {name} contains a number that is not finite")
    _check_numbers(values)


def _check_numbers(values: Mapping[str, np.ndarray]) -> None:
    classes, owners, weights = values["classes"], values["owners"], values["weights"]
    covariances = values["covariances"]
    rules = {
        "means": values["means"].size > 0,
        "classes": (classes[1:] > classes[:-1]).all(),
        "counts": (values["counts"] > 0).all(),
        "owners": (np.unique(owners).tolist() == list(range(len(classes))))
        and (np.diff(owners) >= 0).all(),
        "calibration": (np.diff(values["calibration"]) >= 0).all(),
        "covariances": _positive_definite(covariances),
        "weights": (weights > 0).all()
        and np.allclose(np.bincount(owners.clip(0, len(classes)), weights)[: len(classes)], 1),
    }
    for name, holds in rules.items():
        if not holds:
            raise InputError(f"a class model's {name} contains values that no model has")


def _positive_definite(matrices: np.ndarray) -> bool:
    rounding = 1e-9 * float(np.abs(matrices).max(initial=0))
    if not np.allclose(matrices, np.swapaxes(matrices, -1, -2), atol=rounding):
        return False
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return False
    return True
