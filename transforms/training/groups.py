"""The column that `training.group` names: records with the same value stay on the same side of
every split."""

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.errors import ConfigError
from transforms.records.batches import ID, SOURCE, carried_name

GROUP = "group"  # a column of decoded records: the text that determines a record's split


def group_column(name: str) -> str:
    """The column of image records for an input's column `name`; `source` is the record's file."""
    return SOURCE if name == SOURCE else carried_name(name)


def check_group(carried: pa.Schema, name: str) -> None:
    """Checks that the inputs' column `name` can identify groups.

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
            f"training.group: {name!r} must contain text, numbers or times. Received: {kind}"
        )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):  # it may not be text
        return False
    try:
        pa.nulls(1, kind).cast(pa.string())
    except pa.ArrowNotImplementedError:
        return False
    return True


def group_texts(batch: pa.RecordBatch, column: str) -> pa.Array:
    """The text that determines each record's split, (N,) string: its value in `column` as text or,
    if that is null or NaN, its id, so that it forms a separate group."""
    values = batch.column(column)
    missing = values.is_null(nan_is_null=True)
    return pc.if_else(missing, batch.column(ID), values.cast(pa.string()))
