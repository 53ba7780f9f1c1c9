"""The state of a training on disk: complete or absent, whenever the training is interrupted."""

import contextlib
import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_models.errors import InputError
from ae_models.models.base import ImageModel

_STATE = "state"


@dataclasses.dataclass(frozen=True)
class Standing:
    """How far a training has progressed.

    Attributes:
      epoch: the number of completed epochs.
      step: the number of completed steps of the next epoch.
      best_epoch: the epoch with the best weights, counted from 1; 0: before the first.
      losses: of each completed epoch.
      validation_losses: before the first epoch, and of each completed one.
      seconds: the time spent so far.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    losses: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    seconds: float = 0.0


class Checkpoint:
    """A file that contains a training: its progress, everything that training changes, and the best
    weights.

    Args:
      path: the file, `.npz`.
    """

    def __init__(self, path: Path):
        self._path = path

    def exists(self) -> bool:
        return self._path.is_file()

    def remove(self) -> None:
        """Removes the file, if it exists."""
        self._path.unlink(missing_ok=True)

    def standing(self) -> Standing:
        """Reads the progress without a model.

        Raises:
          InputError: it cannot be read.
        """
        with self._opened() as arrays:
            return _standing(arrays)

    def save(self, model: ImageModel, standing: Standing, best: Sequence[np.ndarray]) -> None:
        """Replaces the file atomically, after the new one has reached the disk."""
        state = np.frombuffer(json.dumps(dataclasses.asdict(standing)).encode(), np.uint8)
        arrays: dict[str, Any] = {_STATE: state}
        arrays |= {f"variable_{n}": np.asarray(v) for n, v in enumerate(_variables(model))}
        arrays |= {f"best_{n}": value for n, value in enumerate(best)}
        part = self._path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)

    def restore(self, model: ImageModel) -> tuple[Standing, list[np.ndarray]]:
        """Restores a compiled model; returns the progress and the best weights.

        Raises:
          InputError: the file cannot be read, or belongs to another model.
        """
        with self._opened() as arrays:
            variables = _variables(model)
            saved = _of(arrays, "variable")
            best = _of(arrays, "best")
            shapes = [tuple(variable.shape) for variable in variables]
            weights = [tuple(weight.shape) for weight in model.weights]
            if [v.shape for v in saved] != shapes or [v.shape for v in best] != weights:
                raise InputError(f"{self._path} belongs to another model")
            for variable, value in zip(variables, saved, strict=True):
                variable.assign(value)
            return _standing(arrays), best

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self._path.open("rb") as file:
                yield np.load(file, allow_pickle=False)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"cannot resume training from {self._path}: {error}") from error


def _variables(model: ImageModel) -> list[Any]:
    """Everything that training changes: weights, random states, the optimiser's state, and the
    running sums of the epoch's losses."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", None)
    found = [*model.variables, *optimizer.variables, *(inner.variables if inner else ())]
    return [*{id(v): v for v in (*found, *model.metrics_variables)}.values()]


def _of(arrays: Any, kind: str) -> list[np.ndarray]:
    count = sum(name.startswith(f"{kind}_") for name in arrays.files)
    return [arrays[f"{kind}_{n}"] for n in range(count)]


def _standing(arrays: Any) -> Standing:
    values = json.loads(arrays[_STATE].tobytes())
    for name in ("losses", "validation_losses"):
        values[name] = tuple(values[name])
    return Standing(**values)
