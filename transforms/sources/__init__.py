"""The kinds of input, one a file, each found from the path of an `--input`."""

from transforms.sources.resolve import resolve_inputs
from transforms.sources.source import Listing, Source

__all__ = ["Listing", "Source", "resolve_inputs"]
