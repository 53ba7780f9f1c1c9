"""Choosing records by a column: `label=0,1` or `label!=0`."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError

QUOTING = {"where_quoting": "csv"}  # in a ledger: its conditions are written as `parse` reads them
_QUOTED = r'"(?P<quoted>(?:[^"]|"")*)"'
_COLUMN = rf"(?:{_QUOTED}|(?P<plain>[^=!]+))"
_CONDITION = re.compile(rf"{_COLUMN}(?P<operator>!?=)(?P<values>.+)", re.DOTALL)
_VALUE = re.compile(rf'(?:{_QUOTED}|(?P<plain>(?!")[^,]*))(?=,|\Z)')
_PLAIN_COLUMN = re.compile(r'[^=!"][^=!]*')
_LITERAL = re.compile(r"^(?P<column>[^=!]+)(?P<operator>!?=)(?P<values>.+)$")
_LONGEST_SHOWN = 200


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

        Values are quoted as in a CSV file: one that holds a comma stands between double quotes, in
        which a double quote is doubled. A column whose name holds `=` or `!` is quoted so too. A
        quote that does not come first stands for itself.

        Raises:
          ConfigError: `text` is of neither form.
        """
        match = _CONDITION.fullmatch(text)
        if not match:
            raise ConfigError(
                "expected COLUMN=VALUE[,VALUE] or COLUMN!=VALUE[,VALUE]. "
                f"Received: {_shortened(text)!r}"
            )
        return cls(_unquoted(match), split_values(match["values"]), match["operator"] == "!=")

    def check(self, schema: pa.Schema) -> None:
        """Raises ConfigError if `schema` lacks the column or its type cannot hold the values."""
        if self.column not in schema.names:
            name = _shortened(self.column)
            raise ConfigError(
                f"no column {name!r}{suggestion(name, schema.names)}"
                if schema.names
                else f"no column {name!r}: this input carries no columns"
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
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeError) as error:
            raise ConfigError(
                f"column {self.column!r} is of type {kind}. "
                f"Received: {_shortened(joined_values(self.values))!r}"
            ) from error

    def __str__(self) -> str:
        column = self.column if _PLAIN_COLUMN.fullmatch(self.column) else _quoted(self.column)
        return f"{column}{'!=' if self.negated else '='}{joined_values(self.values)}"


def conditions(ledger: Mapping[str, Any]) -> list[Where]:
    """Those that a run was made under. A run of a release before there were quotes took them for
    characters; its ledger tells versions, and has no `QUOTING`.

    Raises:
      ConfigError: one is of no known form.
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
    """`a,"b,c"` as `a` and `b,c`: one line of a CSV file, in which ends of lines are characters.

    Raises:
      ConfigError: a quote is not closed, or something follows a closed one.
    """
    values, start = [], 0
    while start <= len(text):
        match = _VALUE.match(text, start)
        if match is None:
            raise ConfigError(
                'a value that begins with a double quote ends with one: "a,b",c. '
                f"Received: {_shortened(text)!r}"
            )
        values.append(_unquoted(match))
        start = match.end() + 1
    return tuple(values)


def joined_values(values: Iterable[str]) -> str:
    """What `split_values` takes apart again; quotes stand only where they are needed."""
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
