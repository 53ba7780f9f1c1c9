"""Class probabilities on the way from one record to another, as lines."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipelines.drawing.text import LABEL_POINTS, TITLE_POINTS, shortened

# Okabe and Ito's (2008) colours, which the colour-blind can tell apart; yellow, faint on white, is
# left out. Markers tell them apart once more.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"
_OTHERS = "0.45"
_LEAST = 0.05  # of a class that gets a line of its own
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
    """Draws a line for each class that matters anywhere, at most six, one for all others, and one
    that says whether the points belong to any class.

    Args:
      axes: to draw into.
      positions: (S,) where the points are, in x.
      classes: C names.
      probabilities: (S, C), p(class).
      p_values: (S,), of the evidence of all classes together.
      between: of so many points one has a marker.
    """
    greatest = probabilities.max(axis=0)
    order = np.argsort(-greatest, kind="stable")
    drawn = [c for c in order[: len(_COLOURS)].tolist() if greatest[c] >= _LEAST]
    lines: list[tuple[str, Line2D]] = []
    # In the order of the classes' names: the same class has the same colour more often.
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
    axes.set_xlabel("share of the way", fontsize=LABEL_POINTS)
    axes.tick_params(labelsize=TITLE_POINTS)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(axes, lines)


def _add_legend(axes: Axes, lines: Sequence[tuple[str, Line2D]]) -> None:
    """Beside the axes. Names may be anything: one with `$` is no formula, and one that begins with
    `_` is not left out, as it would be of what matplotlib is given as labels."""
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
