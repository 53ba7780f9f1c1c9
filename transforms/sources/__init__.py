"""The kinds of input, one per module; the path of an `--input` determines which is used."""

from transforms.sources.options import USUAL, ReadOptions
from transforms.sources.resolve import resolve_inputs
from transforms.sources.source import Listing, Source

__all__ = ["USUAL", "Listing", "ReadOptions", "Source", "resolve_inputs"]
