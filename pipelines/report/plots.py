"""The report's histograms and curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, TabPanel, Tabs
from bokeh.plotting import figure

RUN, CALIBRATION, LIMIT = "#0072b2", "#1a1a1a", "#d55e00"  # Okabe and Ito's
_HEIGHT = 360
_FEWEST_BINS, _MOST_BINS = 10, 60
_BEYOND = 0.005  # the share of a run's records that may be beyond the axis, in the end bars


def bin_edges(calibration: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """(B + 1,) float64: bins that cover all calibration scores and nearly all of a run's. Their
    number, 10 to 60, suits the smaller of the two samples (2 ∛n, Rice's rule).

    Args:
      calibration: (n,) scores.
      sample: (N,) scores of the run.
    """
    known = sample[~np.isnan(sample)].astype(np.float64)
    ends = np.quantile(known, [_BEYOND, 1 - _BEYOND]) if len(known) else calibration[[0, -1]]
    low, high = min(ends[0], calibration.min()), max(ends[1], calibration.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    rice = 2 * min(len(known), len(calibration)) ** (1 / 3)
    return np.linspace(low, high, round(np.clip(rice, _FEWEST_BINS, _MOST_BINS)) + 1)


def score_histogram(
    edges: np.ndarray,
    run: np.ndarray,
    *,
    calibration: np.ndarray,
    threshold: float,
    fpr: float,
    name: str,
) -> Tabs:
    """Shares of records per bin, the run's as bars and the calibration records' as a line, on a
    linear and on a logarithmic scale.

    Args:
      edges: (B + 1,) of the bins.
      run: (B,) counts.
      calibration: (B,) counts.
      threshold: the least score that is flagged; infinity if none is.
      fpr: the p-value of the threshold.
      name: of the score.
    """
    shares = [counts / max(1, counts.sum()) for counts in (run, calibration)]
    floor = min(share[share > 0].min(initial=1.0) for share in shares) / 2
    panels = []
    for scale in ("linear", "log"):
        bottom = floor if scale == "log" else 0.0
        plot = _figure(name, "share of records", y_axis_type=scale)
        source = ColumnDataSource(
            {"left": edges[:-1], "right": edges[1:], "run": run, "calibration": calibration}
            | {"top": np.maximum(shares[0], bottom), "bottom": np.full(len(run), bottom)}
        )
        bars = plot.quad(
            source=source, left="left", right="right", top="top", bottom="bottom",
            fill_color=RUN, fill_alpha=0.55, line_color=None, legend_label="this run",
        )  # fmt: skip
        outline = np.maximum(np.append(shares[1], shares[1][-1]), bottom)
        plot.step(edges, outline, mode="after", color=CALIBRATION, line_width=1.5,
                  legend_label="calibration records")  # fmt: skip
        if np.isfinite(threshold):
            top = 1.05 * max(share.max() for share in shares)
            plot.line(
                [threshold, threshold], [bottom, top], color=LIMIT, line_width=2,
                line_dash="dashed", legend_label=f"flagged from here (p ≤ {fpr:.3g})",
            )  # fmt: skip
        _tell(plot, bars, [("score", "@left to @right"), ("this run", "@run records"),
                           ("calibration", "@calibration records")])  # fmt: skip
        plot.yaxis.formatter = NumeralTickFormatter(format="0.[000]%")
        plot.yaxis.minor_tick_line_color = None
        title = "linear scale" if scale == "linear" else "logarithmic scale"
        panels.append(TabPanel(child=plot, title=title))
    return Tabs(tabs=panels, sizing_mode="stretch_width")


def p_value_histogram(counts: np.ndarray, fpr: float) -> figure:
    """(B,) counts of p-values from 0 to 1, and their level if all records were normal."""
    edges = np.linspace(0, 1, len(counts) + 1)
    plot = _figure("p-value", "records")
    source = ColumnDataSource({"left": edges[:-1], "right": edges[1:], "run": counts})
    bars = plot.quad(source=source, left="left", right="right", top="run", bottom=0,
                     fill_color=RUN, fill_alpha=0.55, line_color="white",
                     legend_label="this run")  # fmt: skip
    plot.line([0, 1], [counts.mean()] * 2, color=CALIBRATION, line_width=1.5,
              legend_label="expected if all are normal")  # fmt: skip
    plot.line([fpr, fpr], [0, 1.05 * counts.max()], color=LIMIT, line_width=2, line_dash="dashed",
              legend_label=f"flagged up to here (p ≤ {fpr:.3g})")  # fmt: skip
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    _tell(plot, bars, [("p-value", "@left{0.00} to @right{0.00}"), ("records", "@run{0,0}")])
    return plot


def loss_curves(curves: Mapping[str, Sequence[float | None]], best_epoch: int) -> figure:
    """The loss of each epoch from 1, the validation loss of each from 0 (before the first; None if
    there is no value to draw), and the epoch that was kept."""
    losses, validation_losses = (
        np.array(curves[name], float) for name in ("loss", "validation_loss")
    )
    positive = np.nanmin([*losses, *validation_losses]) > 0
    plot = _figure("epoch", "loss", y_axis_type="log" if positive else "linear")
    epochs = list(range(len(validation_losses)))
    plot.line(epochs[1:], losses, color=RUN, line_width=1.5, legend_label="loss")
    line = plot.line(epochs, validation_losses, color=LIMIT, line_width=1.5,
                     legend_label="validation loss")  # fmt: skip
    kept = f"epoch {best_epoch}" if best_epoch else "before training"
    plot.scatter([best_epoch], [validation_losses[best_epoch]], size=9, color=LIMIT,
                 legend_label=f"{kept} (weights kept)")  # fmt: skip
    _tell(plot, line, [("epoch", "@x"), ("validation loss", "@y{0.00000}")])
    return plot


def _figure(x_label: str, y_label: str, **settings: Any) -> figure:
    plot = figure(
        height=_HEIGHT, sizing_mode="stretch_width", tools="save", x_axis_label=x_label,
        y_axis_label=y_label, **settings,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.grid.grid_line_alpha = 0.5
    return plot


def _tell(plot: figure, bars: Any, tooltips: list[tuple[str, str]]) -> None:
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tooltips, mode="vline"))
    plot.add_layout(plot.legend[0], "above")  # so that it hides nothing
    plot.legend.border_line_color = None
    plot.legend.spacing = 0
    plot.legend.label_text_font_size = "12px"
