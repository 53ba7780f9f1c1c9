"""Transforms whose input or output is a named tuple of PCollections."""

from typing import Any

import apache_beam as beam
from apache_beam.typehints.decorators import IOTypeHints, get_type_hints


class Composite(beam.PTransform):
    """A transform whose annotations of `expand` are for people and type checkers only: Beam
    supports type hints of single PCollections, and would warn about all others."""

    def default_type_hints(self) -> IOTypeHints:
        return get_type_hints(type(self))


class PartlyKnown(Composite):
    """A transform whose input is a named tuple in which some members are None."""

    def _extract_input_pvalues(self, pvalueish: Any) -> Any:
        """The inputs that Beam sees: those that are not None."""
        given, inputs = super()._extract_input_pvalues(pvalueish)
        return given, {name: value for name, value in inputs.items() if value is not None}
