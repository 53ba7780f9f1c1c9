"""Choosing records by a column: `label=0,1` or `label!=0`."""

import dataclasses
import re

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError

_CONDITION = re.compile(r"^(?P<column>[^=!]+)(?P<operator>!?=)(?P<values>.*)$")


@dataclasses.dataclass(frozen=True)
class Where:
    """Records whose `column` is (or, `negated`, is not) one of `values`.

    A null is no value: `=` leaves it out, `!=` keeps it.
    """

    column: str
    values: tuple[str, ...]
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> "Where":
        """From COLUMN=VALUE[,VALUE] or COLUMN!=VALUE[,VALUE].

        Raises:
          ConfigError: `text` is of neither form.
        """
        match = _CONDITION.match(text)
        if not match or not match["values"]:
            raise ConfigError(
                f"expected COLUMN=VALUE[,VALUE] or COLUMN!=VALUE[,VALUE]. Received: {text!r}"
            )
        values = tuple(match["values"].split(","))
        return cls(match["column"], values, match["operator"] == "!=")

    def check(self, schema: pa.Schema) -> None:
        """Raises ConfigError if `schema` lacks the column or its type cannot hold the values."""
        if self.column not in schema.names:
            raise ConfigError(
                f"no column {self.column!r}{suggestion(self.column, schema.names)}"
                if schema.names
                else f"no column {self.column!r}: this input carries no columns"
            )
        kind = schema.field(self.column).type
        self._typed_values(kind.value_type if pa.types.is_dictionary(kind) else kind)

    def mask(self, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """(N,) bool without nulls."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        matches = pc.is_in(column, value_set=self._typed_values(column.type))
        return pc.invert(matches) if self.negated else matches

    def _typed_values(self, kind: pa.DataType) -> pa.Array:
        try:
            return pa.array(self.values, pa.string()).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ConfigError(
                f"column {self.column!r} is of type {kind}. Received: {','.join(self.values)!r}"
            ) from error

    def __str__(self) -> str:
        return f"{self.column}{'!=' if self.negated else '='}{','.join(self.values)}"
