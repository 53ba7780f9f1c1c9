"""Files in PyTorch's format before 1.6, written here as PyTorch wrote them."""

import collections
import io
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ae_models.backbones.torch_file import read_tensors
from ae_models.errors import InputError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MACHINE = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}


class _Stored:
    """Stands for a tensor: a view of a storage."""

    def __init__(self, key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.key, self.view = key, (offset, shape, strides)


def _file(
    tensors: dict[str, Any],
    storages: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    machine: Any = _MACHINE,
) -> bytes:
    """What `torch.save` writes for a state dict, by a pickler that uses PyTorch's names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*arguments: Any) -> None:
        raise AssertionError

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    kinds = {}
    for name, dtype in (("FloatStorage", "<f4"), ("LongStorage", "<i8"), ("ByteStorage", "u1")):
        kinds[np.dtype(dtype)] = type(name, (), {"__module__": "torch"})
        setattr(torch, name, kinds[np.dtype(dtype)])
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Storage:
        def __init__(self, key: str):
            self.key = key

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if not isinstance(value, Storage):
                return None
            values = storages[value.key]
            return ("storage", kinds[values.dtype], value.key, "cpu", len(values), None)

        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, _Stored):
                return NotImplemented
            hooks: dict[str, Any] = collections.OrderedDict()
            return _rebuild_tensor_v2, (Storage(value.key), *value.view, False, hooks)

    file = io.BytesIO()
    for value in (_MAGIC, _PROTOCOL, machine, collections.OrderedDict(tensors), [*storages]):
        Pickler(file, 2).dump(value)
    for values in storages.values():
        file.write(np.int64(len(values)).tobytes() + values.tobytes())
    return file.getvalue()


_VALUES = np.arange(24, dtype="<f4")


def test_tensors_are_views_whose_strides_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {
        "plain": _Stored("0", 0, (2, 3, 4), (12, 4, 1)),
        "turned": _Stored("0", 0, (4, 3, 2), (1, 4, 12)),
        "part": _Stored("0", 5, (2, 2), (6, 1)),
        "count": _Stored("1", 0, (), ()),
    }
    data = _file(tensors, {"0": _VALUES, "1": np.array([7], "<i8")}, monkeypatch)
    found = read_tensors(data, "file")
    whole = _VALUES.reshape(2, 3, 4)
    assert list(found) == list(tensors)
    np.testing.assert_array_equal(found["plain"], whole)
    np.testing.assert_array_equal(found["turned"], whole.transpose(2, 1, 0))
    np.testing.assert_array_equal(found["part"], [[5, 6], [11, 12]])
    assert (found["count"].shape, int(found["count"])) == ((), 7)
    assert found["turned"].flags.c_contiguous


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (_Stored("0", 0, (25,), (1,)), "beyond its storage"),
        (_Stored("0", 20, (2, 3), (3, 1)), "beyond its storage"),
        (_Stored("0", -1, (2,), (1,)), "beyond its storage"),
        (_Stored("0", 0, (2, 2), (-4, 1)), "beyond its storage"),
        (3.0, "contains float, which is not a tensor"),
        (collections.Counter("a"), "collections.Counter"),
        (os.system, "refers to posix.system"),
    ],
)
def test_what_is_no_tensor_is_refused(
    tensor: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _file({"tensor": tensor}, {"0": _VALUES}, monkeypatch)
    with pytest.raises(InputError, match=f"cannot read tensors from weights.pth: .*{message}"):
        read_tensors(data, "weights.pth")


def test_no_name_but_four_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(InputError, match=r"refers to posix.mkdir"):
        read_tensors(pickle.dumps(Runs()), "file")
    assert not (tmp_path / "made").exists()
    bytes_of_another = {"0": np.zeros(1, "u1")}
    with pytest.raises(InputError, match=r"refers to torch.ByteStorage"):
        read_tensors(
            _file({"t": _Stored("0", 0, (1,), (1,))}, bytes_of_another, monkeypatch), "file"
        )


def test_a_file_that_is_cut_off_or_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _file({"t": _Stored("0", 0, (24,), (1,))}, {"0": _VALUES}, monkeypatch)
    assert read_tensors(data, "file")["t"].tolist() == _VALUES.tolist()
    for length in range(0, len(data), 7):
        with pytest.raises(InputError, match="cannot read tensors from file"):
            read_tensors(data[:length], "file")
    with pytest.raises(InputError, match="there is more"):
        read_tensors(data + b"\0", "file")


@pytest.mark.parametrize("machine", [{"little_endian": False}, None])
def test_numbers_of_another_machine_are_refused(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _file({}, {}, monkeypatch, machine=machine)
    with pytest.raises(InputError, match="little-endian"):
        read_tensors(data, "file")
