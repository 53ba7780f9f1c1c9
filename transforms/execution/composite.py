"""Transforms whose input or output is a named tuple of PCollections."""

import apache_beam as beam
from apache_beam.typehints.decorators import IOTypeHints, get_type_hints


class Composite(beam.PTransform):
    """The annotations of its `expand` are for people and type checkers: Beam, which takes only
    those of single PCollections for hints of its own, would warn of each other one."""

    def default_type_hints(self) -> IOTypeHints:
        return get_type_hints(type(self))
