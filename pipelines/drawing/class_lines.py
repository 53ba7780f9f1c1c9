"""Class probabilities on the path from one record to another, as lines."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipelines.drawing.text import LABEL_POINTS, TITLE_POINTS, shortened

# Okabe and Ito's (2008) colours, which the colour-blind can distinguish; yellow, faint on white, is
# left out. Markers distinguish them too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"
_OTHERS = "0.45"
_LEAST = 0.05  # probability of a class that gets its own line
_WIDEST_NAME = 1.3  # inches


def draw_class_lines(
    axes: Axes,
    *,
    positions: np.ndarray,
    classes: Sequence[str],
    probabilities: np.ndarray,
    p_values: np.ndarray,
    between: int,
) -> None:
    """Draws a line for each class that is probable anywhere (at most six), one for all others, and
    one that shows whether the points belong to any class.

    Args:
      axes: to draw into.
      positions: (S,), the x-coordinates of the points.
      classes: C names.
      probabilities: (S, C), p(class).
      p_values: (S,), of the evidence of all classes together.
      between: one in this many points has a marker.
    """
    greatest = probabilities.max(axis=0)
    order = np.argsort(-greatest, kind="stable")
    drawn = [c for c in order[: len(_COLOURS)].tolist() if greatest[c] >= _LEAST]
    lines: list[tuple[str, Line2D]] = []
    # In the order of names, so that a class has the same colour more often.
    for index, colour, marker in zip(sorted(drawn), _COLOURS, _MARKERS, strict=False):
        (line,) = axes.plot(positions, probabilities[:, index], color=colour, linewidth=2)
        line.set(marker=marker, markevery=between)
        lines.append((classes[index], line))
    if len(drawn) < len(classes):
        others = 1.0 - probabilities[:, drawn].sum(axis=1)
        (line,) = axes.plot(positions, others, color=_OTHERS, linestyle="--")
        lines.append(("all others", line))
    (line,) = axes.plot(positions, p_values, color="black", linestyle=":")
    lines.append(("any class: p-value", line))
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("p(class)", fontsize=LABEL_POINTS)
    axes.set_xlabel("share of the path", fontsize=LABEL_POINTS)
    axes.tick_params(labelsize=TITLE_POINTS)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(axes, lines)


def _add_legend(axes: Axes, lines: Sequence[tuple[str, Line2D]]) -> None:
    """Adds a legend beside the axes. Names may be anything: `$` starts no formula, and a leading
    `_` does not hide a name, as it would in matplotlib's labels."""
    legend = axes.legend(
        [line for _, line in lines],
        ["-"] * len(lines),
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
        fontsize=TITLE_POINTS,
        frameon=False,
    )
    for text, (name, _) in zip(legend.get_texts(), lines, strict=True):
        text.set_parse_math(False)
        text.set_text(shortened(name, _WIDEST_NAME, TITLE_POINTS, 1))
