"""Selects records by the values of a column: `label=0,1` or `label!=0`."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError

QUOTING = {"where_quoting": "csv"}  # marks ledgers whose conditions use the quoting of `parse`
_QUOTED = r'"(?P<quoted>(?:[^"]|"")*)"'
_COLUMN = rf"(?:{_QUOTED}|(?P<plain>[^=!]+))"
_CONDITION = re.compile(rf"{_COLUMN}(?P<operator>!?=)(?P<values>.+)", re.DOTALL)
_VALUE = re.compile(rf'(?:{_QUOTED}|(?P<plain>(?!")[^,]*))(?=,|\Z)')
_PLAIN_COLUMN = re.compile(r'[^=!"][^=!]*')
_LITERAL = re.compile(r"^(?P<column>[^=!]+)(?P<operator>!?=)(?P<values>.+)$")
_LONGEST_SHOWN = 200


@dataclasses.dataclass(frozen=True)
class Where:
    """Selects records whose `column` is (or, if `negated`, is not) one of `values`.

    A null is not a value: `=` excludes it, `!=` includes it.
    """

    column: str
    values: tuple[str, ...]
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> "Where":
        """Parses COLUMN=VALUE[,VALUE] or COLUMN!=VALUE[,VALUE].

        Values are quoted as in CSV: a value that contains a comma is enclosed in double quotes, and
        a double quote within them is doubled. A column name that contains `=` or `!` is quoted in
        the same way. A quote that is not the first character stands for itself.

        Raises:
          ConfigError: `text` has neither form.
        """
        match = _CONDITION.fullmatch(text)
        if not match:
            raise ConfigError(
                "expected COLUMN=VALUE[,VALUE] or COLUMN!=VALUE[,VALUE]. "
                f"Received: {_shortened(text)!r}"
            )
        return cls(_unquoted(match), split_values(match["values"]), match["operator"] == "!=")

    def check(self, schema: pa.Schema) -> None:
        """Raises ConfigError if `schema` lacks the column or its type cannot have the values."""
        if self.column not in schema.names:
            name = _shortened(self.column)
            raise ConfigError(
                f"no column {name!r}{suggestion(name, schema.names)}"
                if schema.names
                else f"no column {name!r}: the input has no carried columns"
            )
        kind = schema.field(self.column).type
        self._typed_values(kind.value_type if pa.types.is_dictionary(kind) else kind)

    def mask(self, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """(N,) bool, without nulls: which rows are selected."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        matches = pc.is_in(column, value_set=self._typed_values(column.type))
        return pc.invert(matches) if self.negated else matches

    def _typed_values(self, kind: pa.DataType) -> pa.Array:
        try:
            return pa.array(self.values, pa.string()).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeError) as error:
            raise ConfigError(
                f"values of column {self.column!r} must be of type {kind}. "
                f"Received: {_shortened(joined_values(self.values))!r}"
            ) from error

    def __str__(self) -> str:
        column = self.column if _PLAIN_COLUMN.fullmatch(self.column) else _quoted(self.column)
        return f"{column}{'!=' if self.negated else '='}{joined_values(self.values)}"


def conditions(ledger: Mapping[str, Any]) -> list[Where]:
    """The conditions of a run. Releases without quoting treated quotes as ordinary characters;
    their ledgers have versions, but no `QUOTING`.

    Raises:
      ConfigError: a condition has an invalid form.
    """
    texts = ledger.get("where", [])
    if "versions" in ledger and not QUOTING.items() <= ledger.items():
        return [_literal(text) for text in texts]
    return [Where.parse(text) for text in texts]


def _literal(text: str) -> Where:
    match = _LITERAL.match(text)
    if match is None:
        return Where.parse(text)
    return Where(match["column"], tuple(match["values"].split(",")), match["operator"] == "!=")


def split_values(text: str) -> tuple[str, ...]:
    """Splits `a,"b,c"` into `a` and `b,c`, like a line of CSV in which line breaks are ordinary
    characters.

    Raises:
      ConfigError: a quote is not closed, or is followed by something other than a comma.
    """
    values, start = [], 0
    while start <= len(text):
        match = _VALUE.match(text, start)
        if match is None:
            raise ConfigError(
                'a value that begins with a double quote must end with one: "a,b",c. '
                f"Received: {_shortened(text)!r}"
            )
        values.append(_unquoted(match))
        start = match.end() + 1
    return tuple(values)


def joined_values(values: Iterable[str]) -> str:
    """The inverse of `split_values`; values are quoted only if necessary."""
    return ",".join(
        _quoted(value) if "," in value or value[:1] == '"' or not value else value
        for value in values
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _unquoted(match: re.Match[str]) -> str:
    quoted = match["quoted"]
    return match["plain"] if quoted is None else quoted.replace('""', '"')


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
