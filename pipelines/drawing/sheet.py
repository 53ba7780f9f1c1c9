"""Images in rows and columns, with a label beside each row and scales for the shades."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.drawing.text import (
    HEADING_POINTS,
    LABEL_POINTS,
    TITLE_POINTS,
    shortened,
    width_of,
    wrapped,
)
from transforms.maps.overlay import HEAT

# In inches.
_WIDEST, _HIGHEST, _RIGHT, _EDGE = 16.0, 12.0, 1.05, 0.12
_LARGEST, _SMALLEST, _GAP, _LINE, _HEADING_LINE = 1.6, 0.6, 0.06, 0.155, 0.22
_BAR, _LONGEST_BAR = 0.11, 2.4
_WIDEST_LABEL = 1.7
_AXES_GAP, _AXES_TEXT = 0.12, 0.45  # above axes; for the text below them
_FLATTEST, _TALLEST = 0.25, 2.5  # height of an image divided by its width
_MOST_LINES = 3
_CLOSE = 0.02  # of a range
_GREY = "gray"
_FRAME = "0.75"


@dataclasses.dataclass(frozen=True)
class Strip:
    """A row of images.

    Args:
      label: a label beside the row.
      images: (N, H, W, C) pixel values, or (N, H, W) to show as heat.
      titles: one above each image; none if empty.
      unit: of the heat.
    """

    label: str
    images: np.ndarray
    titles: Sequence[str] = ()
    unit: str = ""

    @property
    def is_heat(self) -> bool:
        """Whether the values are shown as heat."""
        return self.images.ndim == 3


class Sheet:
    """A figure of strips below one another, all with N columns.

    Grey images are shown in grey. With 3 or 4 channels, the first three are red, green and blue;
    with any other number, the first is shown. All images share one range of shades, and all heat
    maps of a strip share another; a bar beside them explains the shades.

    Args:
      strips: from the top.
      titles: one above each column, of up to three lines; none if empty.
      heading: above everything.
      unit: of pixel values.
      shades: the values shown black and white; by default the least and the greatest of the images.
      below: room for axes below the images, in inches.
      largest: the maximum width of an image, in inches.
    """

    def __init__(
        self,
        strips: Sequence[Strip],
        titles: Sequence[str],
        *,
        heading: str,
        unit: str,
        shades: tuple[float, float] | None = None,
        below: float = 0.0,
        largest: float = _LARGEST,
    ):
        self._strips, self._unit, self._below = strips, unit, below
        self._columns, height, width = strips[0].images.shape[:3]
        pictures = [strip.images for strip in strips if not strip.is_heat]
        self._low, self._high = shades or shades_of(*pictures)
        self._labels = [shortened(s.label, _WIDEST_LABEL, LABEL_POINTS) for s in strips]
        lines = [line for label in self._labels for line in label.split("\n")]
        self._margin = 2 * _EDGE + max(width_of(line, LABEL_POINTS) for line in lines)
        room = (_WIDEST - self._margin - _RIGHT) / self._columns - _GAP
        shape = min(max(height / width, _FLATTEST), _TALLEST)
        high = max(_HIGHEST / len(strips), _SMALLEST)
        self._cell = min(largest, room, high / shape)
        self._tall = self._cell * shape
        self._width = self._margin + self._columns * (self._cell + _GAP) + _RIGHT
        self._titles = [shortened(t, self._cell, TITLE_POINTS, _MOST_LINES) for t in titles]
        across = self._width - 2 * _EDGE
        self._heading = wrapped(heading, across, HEADING_POINTS, _MOST_LINES)
        tops, bottom = self._tops()
        self._height = bottom + _EDGE
        self.figure = Figure(figsize=(self._width, self._height))
        self._draw(tops)

    def _tops(self) -> tuple[list[float], float]:
        """Where each strip begins, in inches from the top, and where the last one ends."""
        top = _EDGE + _HEADING_LINE * (1 + self._heading.count("\n")) + _EDGE
        top += _LINE * max((1 + title.count("\n") for title in self._titles), default=0)
        tops = []
        for strip in self._strips:
            top += _LINE + 0.02 if strip.titles else 0.0
            tops.append(top)
            top += self._tall + _GAP
        return tops, top + self._below

    def axes_below(self, first: int, last: int) -> Axes:
        """Axes below the images from one column to another, counted from 0; x is the column's
        number, at its centre."""
        top = self._height - _EDGE - self._below + _AXES_GAP
        left, width = self._left(first) - _GAP / 2, (last + 1 - first) * (self._cell + _GAP)
        axes = self._axes(left, top, width, self._below - _AXES_GAP - _AXES_TEXT)
        axes.set_xlim(first - 0.5, last + 0.5)
        return axes

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes placed in inches from the upper left corner."""
        bottom = self._height - top - height
        return self.figure.add_axes(
            (
                left / self._width,
                bottom / self._height,
                width / self._width,
                height / self._height,
            )
        )

    def _text(self, left: float, top: float, text: str, points: float, **alignment: Any) -> None:
        position = (left / self._width, 1.0 - top / self._height)
        self.figure.text(*position, text, fontsize=points, parse_math=False, **alignment)

    def _draw(self, tops: list[float]) -> None:
        self._text(_EDGE, _EDGE, self._heading, HEADING_POINTS, va="top")
        for column, title in enumerate(self._titles):
            self._title(column, tops[0] - (_LINE if self._strips[0].titles else 0.0), title)
        for top, label, strip in zip(tops, self._labels, self._strips, strict=True):
            middle = top + self._tall / 2
            self._text(self._margin - _EDGE, middle, label, LABEL_POINTS, va="center", ha="right")
            self._draw_strip(top, strip)
        ordered = zip(tops, self._strips, strict=True)
        for is_heat, group in itertools.groupby(ordered, lambda pair: pair[1].is_heat):
            members = list(group)
            if is_heat:
                for top, strip in members:
                    span = (0.0, _hottest(strip))
                    self._bar(top, top + self._tall, HEAT, span, strip.unit)
            else:
                bottom = members[-1][0] + self._tall
                beyond = self._beyond([strip.images for _, strip in members])
                span = (self._low, self._high)
                self._bar(members[0][0], bottom, _GREY, span, self._unit, extend=beyond)

    def _draw_strip(self, top: float, strip: Strip) -> None:
        for column, image in enumerate(strip.images):
            axes = self._axes(self._left(column), top, self._cell, self._tall)
            if strip.is_heat:
                axes.imshow(image, cmap=HEAT, vmin=0.0, vmax=_hottest(strip))
            else:
                axes.imshow(self._displayed(image), cmap=_GREY, vmin=0.0, vmax=1.0)
            axes.set(xticks=(), yticks=())
            axes.spines[:].set_color(_FRAME)
            if strip.titles:
                self._title(
                    column, top, shortened(strip.titles[column], self._cell, TITLE_POINTS, 1)
                )

    def _left(self, column: int) -> float:
        return self._margin + column * (self._cell + _GAP)

    def _title(self, column: int, bottom: float, text: str) -> None:
        middle = self._left(column) + self._cell / 2
        self._text(middle, bottom - 0.04, text, TITLE_POINTS, va="bottom", ha="center")

    def _bar(
        self,
        top: float,
        bottom: float,
        colours: str,
        span: tuple[float, float],
        unit: str,
        *,
        extend: str = "neither",
    ) -> None:
        height = min(bottom - top, _LONGEST_BAR)
        left = self._left(self._columns) + _EDGE / 2
        axes = self._axes(left, top, _BAR, height)
        shades = ScalarMappable(Normalize(*span), matplotlib.colormaps[colours])
        bar = self.figure.colorbar(shades, cax=axes, ticks=MaxNLocator(4), extend=extend)
        bar.ax.tick_params(labelsize=TITLE_POINTS)
        bar.set_label(unit, fontsize=TITLE_POINTS)

    def _beyond(self, pictures: Sequence[np.ndarray]) -> str:
        """At which ends of the bar values lie beyond it, in matplotlib's terms."""
        slack = 0.01 * (self._high - self._low)
        below = any(images.min() < self._low - slack for images in pictures)
        above = any(images.max() > self._high + slack for images in pictures)
        return {0: "neither", 1: "min", 2: "max", 3: "both"}[below + 2 * above]

    def _displayed(self, image: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, 3) between 0 and 1."""
        unit = np.clip((image - self._low) / (self._high - self._low), 0.0, 1.0)
        return unit[..., :3] if unit.shape[-1] in (3, 4) else unit[..., 0]


def shades_of(
    *images: np.ndarray, within: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """The least and the greatest value of images, clipped to the range `within`, and made distinct
    if all values are equal. A value close to an end of the range becomes that end."""
    ends = [min(float(i.min()) for i in images), max(float(i.max()) for i in images)]
    low, high = np.clip(ends, *within).tolist()
    close = _CLOSE * (high - low)
    low = within[0] if low - within[0] < close else low
    high = within[1] if within[1] - high < close else high
    return low, high if high > low else low + 1.0


def _hottest(strip: Strip) -> float:
    return max(float(strip.images.max()), 1e-12)
