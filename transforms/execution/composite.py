"""Transforms whose input or output is a named tuple of PCollections."""

from typing import Any

import apache_beam as beam
from apache_beam.typehints.decorators import IOTypeHints, get_type_hints


class Composite(beam.PTransform):
    """The annotations of its `expand` are for people and type checkers: Beam, which takes only
    those of single PCollections for hints of its own, would warn of each other one."""

    def default_type_hints(self) -> IOTypeHints:
        return get_type_hints(type(self))


class PartlyKnown(Composite):
    """One that takes a named tuple of which some members are None."""

    def _extract_input_pvalues(self, pvalueish: Any) -> Any:
        """Where Beam asks which inputs there are: not those that are None."""
        given, inputs = super()._extract_input_pvalues(pvalueish)
        return given, {name: value for name, value in inputs.items() if value is not None}
