"""The kinds of input, one a file, each found from the path of an `--input`."""

from transforms.sources.options import USUAL, ReadOptions
from transforms.sources.resolve import resolve_inputs
from transforms.sources.source import Listing, Source

__all__ = ["USUAL", "Listing", "ReadOptions", "Source", "resolve_inputs"]
