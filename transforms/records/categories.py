"""Categories of records, from a column of names or numbers."""

import pyarrow as pa

from ae_models.errors import ConfigError


def categories_of(batch: pa.RecordBatch, column: str) -> pa.Array:
    """(N,) string: the records' categories, as text.

    Raises:
      ConfigError: there is no such column, or it is not text, numbers or booleans.
    """
    if column not in batch.schema.names:
        raise ConfigError(f"the records have no column {column!r}")
    values = batch.column(column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(
            f"column {column!r} of type {values.type} cannot be used as categories"
        ) from error
