"""Records whose images have different layouts, in runs of one: a batch holds one layout alone."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

Layout = TypeVar("Layout", bound=Hashable)


def layout_runs(layouts: Sequence[Layout | None]) -> Iterator[tuple[Layout | None, int, int]]:
    """Each layout with its first row and the one behind its last. Rows without one, which have no
    image, go with those before them, or, at the beginning, with those behind."""
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
