"""Splits records into runs with one image layout each, as a batch can have only one layout."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

Layout = TypeVar("Layout", bound=Hashable)


def layout_runs(layouts: Sequence[Layout | None]) -> Iterator[tuple[Layout | None, int, int]]:
    """Each layout with its first row and the row after its last. Rows without a layout, which have
    no image, join the run before them or, at the beginning, the run after them."""
    known = next((layout for layout in layouts if layout is not None), None)
    filled = []
    for layout in layouts:
        known = known if layout is None else layout
        filled.append(known)
    start = 0
    for layout, run in itertools.groupby(filled):
        end = start + len(list(run))
        yield layout, start, end
        start = end
