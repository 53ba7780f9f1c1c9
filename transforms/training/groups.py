"""The column that `training.group` names: records of one of its values stay on one side of every
split."""

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.errors import ConfigError
from transforms.records.batches import ID, SOURCE, carried_name

GROUP = "group"  # of decoded records: the text that decides a record's split


def group_column(name: str) -> str:
    """The column of image records that an input's column `name` is; `source` is the record's
    file."""
    return SOURCE if name == SOURCE else carried_name(name)


def check_group(carried: pa.Schema, name: str) -> None:
    """Whether the inputs' column `name` may tell groups apart.

    Raises:
      ConfigError: there is no such column, or its values are neither text, numbers nor times.
    """
    column = group_column(name)
    if column not in (SOURCE, *carried.names):
        names = ", ".join([*carried.names, SOURCE])
        raise ConfigError(f"training.group: the inputs have no column {name!r}; known: {names}")
    kind = pa.string() if column == SOURCE else carried.field(column).type
    if not _is_text(kind):
        raise ConfigError(
            f"training.group: {name!r} must hold text, numbers or times. Received: {kind}"
        )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):  # it may be no text
        return False
    try:
        pa.nulls(1, kind).cast(pa.string())
    except pa.ArrowNotImplementedError:
        return False
    return True


def group_texts(batch: pa.RecordBatch, column: str) -> pa.Array:
    """What decides each record's split, (N,) string: its value in `column` as text; where that is
    null or NaN its id, so that it is a group of its own."""
    values = batch.column(column)
    missing = values.is_null(nan_is_null=True)
    return pc.if_else(missing, batch.column(ID), values.cast(pa.string()))
