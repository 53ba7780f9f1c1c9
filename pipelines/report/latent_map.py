"""The map of latents: one point per record, in selectable colours, with its image on hover."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    HoverTool,
    LinearColorMapper,
    WheelZoomTool,
)
from bokeh.models.annotations import ColorBar
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.widgets import RadioButtonGroup
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

from ae_models.latents.projection import Projection
from pipelines.report.categories import Categories, shortened

_HEIGHT = 560
_ID_BYTES = 4_000_000  # of all ids together; longer ids are truncated
_ID_LENGTHS = (120, 80, 60, 40, 30, 20)
_NO_PICTURE = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='64' height='64'%3E"
    "%3Crect width='64' height='64' fill='%23eee'/%3E%3Ctext x='32' y='36' font-size='11' "
    "text-anchor='middle' font-family='sans-serif' fill='%23555'%3Eno picture%3C/text%3E%3C/svg%3E"
)
# Bokeh escapes the values; pictures are ours and contain no character that needs escaping.
_TOOLTIP = """
<div style="max-width:130px;font:12px/1.4 system-ui,sans-serif;color:#1a1a1a">
<img class="thumbnail" src="@thumbnail{custom}" alt="" width="64" height="64"
 style="width:64px;height:64px;object-fit:contain;image-rendering:pixelated">
<div style="overflow-wrap:anywhere"><b>@id</b><br>score @score{custom}<br>p-value @p_value{custom}
"""


@dataclasses.dataclass(frozen=True)
class MapRecords:
    """The values of N records on the map.

    Attributes:
      ids: of the records.
      scores: (N,) float32.
      p_values: (N,) float64.
      categories: further ways to colour them, by name (cluster and label, for example).
      thumbnails: data URIs by id, for the records that have one.
    """

    ids: Sequence[str]
    scores: np.ndarray
    p_values: np.ndarray
    categories: Mapping[str, Categories]
    thumbnails: Mapping[str, str]


def latent_map(records: MapRecords, projection: Projection) -> tuple[figure, RadioButtonGroup]:
    """The plot, and the buttons that choose its colours. If the page has an element `key-NAME` for
    a category, it is shown with that category."""
    uris = {record: place for place, record in enumerate(records.thumbnails)}
    order = np.argsort(records.scores, kind="stable")  # anomalous ones are drawn on top
    ids = _fitting([records.ids[row] for row in order])
    source = ColumnDataSource(
        {
            "x": projection.points[order, 0],
            "y": projection.points[order, 1],
            "id": ids,
            "score": records.scores[order].astype(np.float32),
            "p_value": records.p_values[order].astype(np.float32),
            "thumbnail": np.array([uris.get(records.ids[n], -1) for n in order], np.int16),
            **{name: found.codes[order] for name, found in records.categories.items()},
        }
    )
    low, high = np.quantile(records.scores, [0.01, 0.99])
    shades = LinearColorMapper(palette=Viridis256[::-1], low=float(low), high=float(high))
    plot = figure(
        height=_HEIGHT, sizing_mode="stretch_width", tools="pan,box_zoom,reset,save",
        x_axis_label=projection.axes[0], y_axis_label=projection.axes[1],
    )  # fmt: skip
    points = plot.scatter(
        "x", "y", source=source, size=_point_size(len(ids)), line_color=None, fill_alpha=0.85,
        fill_color={"field": "score", "transform": shades},
    )  # fmt: skip
    bar = ColorBar(color_mapper=shades, title="score", ticker=BasicTicker(), height=12,
                   orientation="horizontal", title_text_font_style="normal", padding=4)  # fmt: skip
    plot.add_layout(bar, "above")
    plot.add_tools(_hover(points, records), WheelZoomTool(modifiers="ctrl"))
    plot.toolbar.logo = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.grid.grid_line_alpha = 0.5
    mappers = {"score": shades, **{n: _mapper(c) for n, c in records.categories.items()}}
    return plot, _chooser(mappers, points, bar)


def _fitting(ids: Sequence[str]) -> list[str]:
    """The ids, truncated to the greatest length at which all of them fit into the page."""
    cut: list[str] = []
    for length in _ID_LENGTHS:
        cut = [shortened(record, length) for record in ids]
        if len(json.dumps(cut)) <= _ID_BYTES:
            break
    return cut


def _point_size(count: int) -> float:
    return 7.0 if count < 3_000 else 5.0 if count < 20_000 else 3.5


def _mapper(categories: Categories) -> LinearColorMapper:
    """The colours of codes, one step per name."""
    last = len(categories.names) - 0.5
    return LinearColorMapper(palette=categories.colours, low=-0.5, high=last)


def _hover(points: GlyphRenderer, records: MapRecords) -> HoverTool:
    number = CustomJSHover(code="return Number(value).toPrecision(4)")
    pictures = CustomJSHover(
        args={"uris": list(records.thumbnails.values()), "none": _NO_PICTURE},
        code="return value < 0 ? none : uris[value]",
    )
    formatters: dict[str, Any] = {"@score": number, "@p_value": number, "@thumbnail": pictures}
    rows = ""
    for name, found in records.categories.items():
        formatters[f"@{name}"] = CustomJSHover(
            args={"names": found.names}, code="return names[value]"
        )
        rows += f"<br>{name} @{name}{{custom}}"
    tooltips = f"{_TOOLTIP}{rows}</div></div>"
    return HoverTool(renderers=[points], tooltips=tooltips, formatters=formatters, limit=1)


def _chooser(
    mappers: Mapping[str, LinearColorMapper], points: GlyphRenderer, bar: ColorBar
) -> RadioButtonGroup:
    names = list(mappers)
    buttons = RadioButtonGroup(labels=names, active=0)
    code = """
        const name = names[cb_obj.active]
        points.glyph.fill_color = {field: name, transform: mappers[cb_obj.active]}
        bar.visible = name == "score"
        for (const other of names) {
            const key = document.getElementById("key-" + other)
            if (key != null) key.hidden = other != name
        }
    """
    arguments = {"names": names, "mappers": list(mappers.values()), "points": points, "bar": bar}
    buttons.js_on_change("active", CustomJS(args=arguments, code=code))
    return buttons
