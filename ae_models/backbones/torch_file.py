"""Tensors from a file of PyTorch's format before 1.6, without PyTorch and without what pickles can
do: they may name four things, and anything else is refused."""

import collections
import dataclasses
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from ae_models.errors import InputError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MOST_VALUES = 1 << 28  # of a storage
_COUNT = np.dtype("<i8")


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Values in a row, which tensors are views of."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclasses.dataclass(frozen=True)
class _View:
    """A tensor, as a part of a storage; offset and strides are in values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, values: np.ndarray) -> np.ndarray:
        """The tensor, a copy in C order."""
        last = self.offset + sum(
            (side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True)
        )
        is_within = min((self.offset, *self.strides), default=0) >= 0 and last < len(values)
        if min(self.shape, default=1) < 1 or not is_within:
            raise ValueError(f"a tensor lies outside of its storage {self.storage.key}")
        strides = tuple(stride * values.itemsize for stride in self.strides)
        part = values[self.offset :]
        return np.array(np.lib.stride_tricks.as_strided(part, self.shape, strides), order="C")


def read_tensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name.

    The file has three small pickles (a magic number, the protocol's version, facts of the machine),
    the state dict, whose tensors are views of storages, the list of storage keys, and for each of
    these an int64 count and as many values, all little-endian. Strides count: what was written by
    a program that keeps its convolutions as (H, W, I, O) is no row of (O, I, H, W).

    Args:
      data: the file's content.
      name: what errors call it.

    Raises:
      InputError: it is no such file, is cut off, or names anything but tensors of float32 and
        int64.
    """
    try:
        return _tensors(io.BytesIO(data))
    # What a damaged pickle raises is not bounded.
    except Exception as error:
        raise InputError(f"{name} is no file of tensors that can be read: {error}") from error


def _tensors(file: BinaryIO) -> dict[str, np.ndarray]:
    if (magic := _load(file)) != _MAGIC or (protocol := _load(file)) != _PROTOCOL:
        raise ValueError(f"not of the format before PyTorch 1.6: it begins with {magic!r:.40}")
    machine = _load(file)
    if not isinstance(machine, Mapping) or machine.get("little_endian") is not True:
        raise ValueError("it was not written by a little-endian machine")
    del protocol
    views = _load(file)
    if not isinstance(views, Mapping):
        raise ValueError(f"it holds no state dict but {type(views).__name__}")
    storages = {view.storage.key: view.storage for view in views.values() if _is_view(view)}
    values = {key: _values(file, storages[key]) for key in _load(file)}
    if file.read(1):
        raise ValueError("there is more after the last storage")
    return {str(name): view.of(values[view.storage.key]) for name, view in views.items()}


def _is_view(value: Any) -> bool:
    if not isinstance(value, _View):
        raise ValueError(f"its state dict holds {type(value).__name__}, which is no tensor")
    return True


def _values(file: BinaryIO, storage: _Storage) -> np.ndarray:
    found = np.frombuffer(file.read(_COUNT.itemsize), _COUNT)
    if len(found) != 1 or found[0] != storage.count or not 0 <= storage.count <= _MOST_VALUES:
        raise ValueError(f"the storage {storage.key} has not the {storage.count} values it should")
    size = storage.count * storage.dtype.itemsize
    if len(data := file.read(size)) != size:
        raise ValueError(f"it is cut off in the storage {storage.key}")
    return np.frombuffer(data, storage.dtype)


def _rebuilt(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
) -> _View:
    """What stands for `torch._utils._rebuild_tensor_v2`."""
    del requires_grad, hooks
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor of no storage")
    return _View(storage, offset, shape, strides)


_KNOWN: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    """Knows four names, of which none does anything but hold values."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no tensor needs")
        return _KNOWN[module, name]

    def persistent_load(self, identity: Any) -> _Storage:
        kind, dtype, key, _, count, view = identity
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise pickle.UnpicklingError(f"{kind!r} is no storage that is known")
        return _Storage(str(key), dtype, int(count))


def _load(file: BinaryIO) -> Any:
    return _Unpickler(file).load()
