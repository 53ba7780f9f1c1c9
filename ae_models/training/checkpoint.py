"""Where a training stands, on disk: whole or not there, whenever it is cut off."""

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
    """How far a training is.

    Attributes:
      epoch: how many are done.
      step: how many steps of the next one are.
      best_epoch: the one with the best weights, counted from 1; 0: those before the first.
      losses: of each epoch that is done.
      validation_losses: before the first epoch, and of each that is done.
      seconds: spent so far.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    losses: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    seconds: float = 0.0


class Checkpoint:
    """A file that holds a training: the standing, all that changes as a model is trained, and the
    best weights.

    Args:
      path: of the file, `.npz`.
    """

    def __init__(self, path: Path):
        self._path = path

    def exists(self) -> bool:
        return self._path.is_file()

    def remove(self) -> None:
        """Removes the file, where it is there."""
        self._path.unlink(missing_ok=True)

    def standing(self) -> Standing:
        """What the file says, without a model.

        Raises:
          InputError: it cannot be read.
        """
        with self._opened() as arrays:
            return _standing(arrays)

    def save(self, model: ImageModel, standing: Standing, best: Sequence[np.ndarray]) -> None:
        """Replaces the file at once, by one that has reached the disk."""
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
        """Puts a compiled model where it was; gives the standing and the best weights.

        Raises:
          InputError: the file cannot be read, or is of another model.
        """
        with self._opened() as arrays:
            variables = _variables(model)
            saved = _of(arrays, "variable")
            best = _of(arrays, "best")
            shapes = [tuple(variable.shape) for variable in variables]
            weights = [tuple(weight.shape) for weight in model.weights]
            if [v.shape for v in saved] != shapes or [v.shape for v in best] != weights:
                raise InputError(f"{self._path} is of another model")
            for variable, value in zip(variables, saved, strict=True):
                variable.assign(value)
            return _standing(arrays), best

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self._path.open("rb") as file:
                yield np.load(file, allow_pickle=False)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"cannot go on with {self._path}: {error}") from error


def _variables(model: ImageModel) -> list[Any]:
    """All that training changes: weights, random states, the optimiser's, what the losses of the
    epoch so far add up to."""
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
