"""ROC and precision-recall curves of several scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ae_models.calibration.ranking import Ranked
from pipelines.drawing.png import write_png
from pipelines.drawing.text import HEADING_POINTS, LABEL_POINTS, TITLE_POINTS, shortened, wrapped

# Okabe and Ito's (2008) colours, which the colour-blind can distinguish; black is the primary
# score's, yellow is faint on white. Dashes distinguish them too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":")
_CHANCE = "0.6"
_MOST_POINTS = 1000  # per curve, along each axis
_FIRST_POINTS = 200  # always drawn: a few records may span a long stretch
_WIDTH, _HEIGHT, _NAMES = 12.6, 4.9, 2.7  # inches


def ranking_curves(
    path: str,
    curves: Mapping[str, Ranked],
    *,
    flagged: tuple[float, float] | None,
    heading: str,
) -> None:
    """Writes a PNG: true against false positive rate, and precision against recall.

    Args:
      path: the file to write.
      curves: rankings by the scores' names, the primary score's first.
      flagged: the true and the false positive rate of flags, for a mark on the primary score's
        curves; None: no mark.
      heading: above both.

    Raises:
      OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    top = 1 - 0.75 / _HEIGHT
    room = (_WIDTH - _NAMES) / _WIDTH
    roc, precision = (
        figure.add_axes((left, 0.12, room / 2 - 0.07, top - 0.12))
        for left in (0.05, 0.05 + room / 2)
    )
    heading = wrapped(heading, _WIDTH - 0.6, HEADING_POINTS, 1)
    figure.text(0.02, 0.98, heading, fontsize=HEADING_POINTS, va="top", parse_math=False)
    lines = [_draw(roc, precision, number, ranked) for number, ranked in enumerate(curves.values())]
    first = next(iter(curves.values()))
    positive = first.anomalous_above[-1] / (first.anomalous_above[-1] + first.others_above[-1])
    roc.plot([0, 1], [0, 1], color=_CHANCE, linewidth=1)
    precision.axhline(positive, color=_CHANCE, linewidth=1)
    if flagged is not None:
        _mark(roc, precision, flagged, positive)
    _label(roc, "ROC", "false positive rate", "true positive rate (recall)")
    _label(precision, "precision and recall", "recall", "precision")
    _name(precision, lines, list(curves))
    write_png(figure, path)


def _draw(roc: Axes, precision: Axes, number: int, ranked: Ranked) -> Line2D:
    colour = _COLOURS[(number - 1) % len(_COLOURS)] if number else "black"
    dashes = _DASHES[(number - 1) // len(_COLOURS) % len(_DASHES)] if number else "-"
    width, order = (1.3, 2.5) if number else (2.4, 3)
    style: dict[str, Any] = {"color": colour, "linestyle": dashes}
    style |= {"linewidth": width, "zorder": order}
    true, false = ranked.anomalous_above, ranked.others_above
    shown = _shown(true / true[-1], false / false[-1])
    (line,) = roc.plot(
        np.append(0, false[shown] / false[-1]), np.append(0, true[shown] / true[-1]), **style
    )
    shares = true[shown] / (true[shown] + false[shown])
    recall = true[shown] / true[-1]
    precision.plot(
        np.append(0, recall), np.append(shares[0], shares), drawstyle="steps-pre", **style
    )
    return line


def _shown(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """The points of a curve to draw: the first ones, and as many as can be distinguished."""
    grid = np.linspace(0, 1, _MOST_POINTS)
    last = len(true) - 1
    places = [np.minimum(np.searchsorted(rates, grid), last) for rates in (true, false)]
    return np.unique(np.concatenate([*places, np.arange(min(len(true), _FIRST_POINTS))]))


def _mark(roc: Axes, precision: Axes, flagged: tuple[float, float], positive: float) -> None:
    true, false = flagged
    found = true * positive + false * (1 - positive)
    places = [(roc, false, true)]
    if found:
        places.append((precision, true, true * positive / found))
    for axes, x, y in places:
        axes.plot([x], [y], marker="o", color="black", markerfacecolor="white", markersize=8,
                  markeredgewidth=2, zorder=4, clip_on=False)  # fmt: skip


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=LABEL_POINTS)
    axes.set_xlabel(x, fontsize=LABEL_POINTS)
    axes.set_ylabel(y, fontsize=LABEL_POINTS)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.tick_params(labelsize=TITLE_POINTS)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, lines: Sequence[Line2D], names: Sequence[str]) -> None:
    """Adds a legend beside the axes. Names may be anything: `$` starts no formula."""
    chance = Line2D([], [], color=_CHANCE, linewidth=1)
    mark = Line2D([], [], color="black", marker="o", markerfacecolor="white", markersize=8,
                  markeredgewidth=2, linestyle="")  # fmt: skip
    legend = axes.legend(
        [*lines, chance, mark],
        ["-"] * (len(lines) + 2),
        loc="upper left",
        bbox_to_anchor=(1.02, 1.03),
        fontsize=TITLE_POINTS,
        frameon=False,
    )
    told = [*names, "chance", "flagged records"]
    told[0] = f"{names[0]} (primary)"
    for text, name in zip(legend.get_texts(), told, strict=True):
        text.set_parse_math(False)
        text.set_text(shortened(name, _NAMES - 0.6, TITLE_POINTS, 1))
