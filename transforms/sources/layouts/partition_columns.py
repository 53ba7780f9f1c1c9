"""Columns given by the names of a file's folders: `label=good/part-0.parquet`."""

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

_SEGMENT = re.compile(r"([^=]+)=(.*)")
_INTEGER, _INT32 = re.compile(r"-?[0-9]+"), range(-(1 << 31), 1 << 31)


def partition_schema(paths: Iterable[str]) -> pa.Schema:
    """The columns of all files together: int32 if every value is a whole number, otherwise string,
    as in `pyarrow.dataset`.

    Args:
      paths: the paths of the files, relative to the folder that contains them all.

    Raises:
      pa.ArrowInvalid: a folder's name is not UTF-8 once unquoted.
    """
    whole: dict[str, bool] = {}
    for folders in dict.fromkeys(path.rpartition("/")[0] for path in paths):
        for name, value in _values(f"{folders}/x").items():
            known = whole.setdefault(name, True)
            whole[name] = known and (value is None or _is_int32(value))
    kinds = {True: pa.int32(), False: pa.string()}
    return pa.schema([(name, kinds[is_whole]) for name, is_whole in whole.items()])


def partition_values(path: str, schema: pa.Schema) -> dict[str, Any]:
    """The values of one file: null where its folders have none.

    Raises:
      pa.ArrowInvalid: a folder's name is not UTF-8 once unquoted.
    """
    values = _values(path)
    return {
        field.name: pa.scalar(values.get(field.name), pa.string()).cast(field.type)
        for field in schema
    }


def _values(path: str) -> dict[str, str | None]:
    found = map(_SEGMENT.fullmatch, path.split("/")[:-1])
    names = dict.fromkeys(match[1] for match in found if match)
    if not names:
        return {}
    partitioning = ds.HivePartitioning(pa.schema([(name, pa.string()) for name in names]))
    values = ds.get_partition_keys(partitioning.parse(path))
    return {name: values.get(name) for name in names}


def _is_int32(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and int(text) in _INT32
