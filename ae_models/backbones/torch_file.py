"""Reads tensors from a file in PyTorch's format before 1.6, without PyTorch and without running
arbitrary pickles: four names are allowed, and all others are refused."""

import collections
import dataclasses
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from ae_models.errors import InputError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MOST_VALUES = 1 << 28  # in a storage
_COUNT = np.dtype("<i8")


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A contiguous array of values, of which tensors are views."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclasses.dataclass(frozen=True)
class _View:
    """A tensor as a view of a storage; offset and strides are in values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, values: np.ndarray) -> np.ndarray:
        """The tensor, copied in C order."""
        last = self.offset + sum(
            (side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True)
        )
        is_within = min((self.offset, *self.strides), default=0) >= 0 and last < len(values)
        if min(self.shape, default=1) < 1 or not is_within:
            raise ValueError(f"a tensor extends beyond its storage {self.storage.key}")
        strides = tuple(stride * values.itemsize for stride in self.strides)
        part = values[self.offset :]
        return np.array(np.lib.stride_tricks.as_strided(part, self.shape, strides), order="C")


def read_tensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name.

    The file contains three small pickles (a magic number, the protocol version, facts about the
    machine), the state dict, whose tensors are views of storages, the list of storage keys, and
    for each key an int64 count and that many values, all little-endian. Strides matter: a
    convolution stored as (H, W, I, O) is not contiguous as (O, I, H, W).

    Args:
      data: the file's content.
      name: the file's name in error messages.

    Raises:
      InputError: it is not such a file, is truncated, or names anything but float32 and int64
        tensors.
    """
    try:
        return _tensors(io.BytesIO(data))
    # A damaged pickle can raise anything.
    except Exception as error:
        raise InputError(f"cannot read tensors from {name}: {error}") from error


def _tensors(file: BinaryIO) -> dict[str, np.ndarray]:
    if (magic := _load(file)) != _MAGIC or (protocol := _load(file)) != _PROTOCOL:
        raise ValueError(f"not in the format before PyTorch 1.6: it begins with {magic!r:.40}")
    machine = _load(file)
    if not isinstance(machine, Mapping) or machine.get("little_endian") is not True:
        raise ValueError("it was not written by a little-endian machine")
    del protocol
    views = _load(file)
    if not isinstance(views, Mapping):
        raise ValueError(f"it contains {type(views).__name__} instead of a state dict")
    storages = {view.storage.key: view.storage for view in views.values() if _is_view(view)}
    values = {key: _values(file, storages[key]) for key in _load(file)}
    if file.read(1):
        raise ValueError("there is more after the last storage")
    return {str(name): view.of(values[view.storage.key]) for name, view in views.items()}


def _is_view(value: Any) -> bool:
    if not isinstance(value, _View):
        raise ValueError(f"its state dict contains {type(value).__name__}, which is not a tensor")
    return True


def _values(file: BinaryIO, storage: _Storage) -> np.ndarray:
    found = np.frombuffer(file.read(_COUNT.itemsize), _COUNT)
    if len(found) != 1 or found[0] != storage.count or not 0 <= storage.count <= _MOST_VALUES:
        raise ValueError(f"storage {storage.key} does not have the expected {storage.count} values")
    size = storage.count * storage.dtype.itemsize
    if len(data := file.read(size)) != size:
        raise ValueError(f"it is truncated in storage {storage.key}")
    return np.frombuffer(data, storage.dtype)


def _rebuilt(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
) -> _View:
    """Stands in for `torch._utils._rebuild_tensor_v2`."""
    del requires_grad, hooks
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    return _View(storage, offset, shape, strides)


_KNOWN: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    """Recognises four names, all of which only hold values."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no tensor needs")
        return _KNOWN[module, name]

    def persistent_load(self, identity: Any) -> _Storage:
        kind, dtype, key, _, count, view = identity
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise pickle.UnpicklingError(f"{kind!r} is not a supported storage")
        return _Storage(str(key), dtype, int(count))


def _load(file: BinaryIO) -> Any:
    return _Unpickler(file).load()
