"""The report as one HTML file that asks nobody for anything."""

import base64
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.embed import components
from bokeh.models import LayoutDOM
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.console.escape import shown
from pipelines.report.pictures import Tiles
from transforms.results.reject_counts import Rejects


@dataclasses.dataclass(frozen=True)
class Card:
    """One of the most anomalous records; `tiles` is None where its image was not found, `regions`
    where they are not known."""

    id: str
    score: float
    p_value: float
    flagged: bool
    label: str | None
    cluster: str | None
    tiles: Tiles | None
    regions: str | None = None


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A cluster's core and edge: ids, each with its thumbnail, None where it was not found."""

    name: str
    size: int
    share: float
    core: Sequence[tuple[str, str | None]]
    edge: Sequence[tuple[str, str | None]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text; `caption` tells what it is."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Key:
    """What colours of the map mean: names and colours."""

    name: str
    entries: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Page:
    """What the report says. Every text may be a stranger's: the template escapes all of them.

    Attributes:
      title: of the page.
      counts: what was counted, and how much.
      rejects: by reason; None where the run did not write them.
      histogram_note, anomalies_note, map_note, clusters_note, drift_note, training_note:
        sentences.
      cards: the most anomalous records.
      kinds: of their pictures, by fields of `Tiles`, and what is written below each.
      heat: the bar of the colours of errors or maps, and what its ends are.
      keys: of the map's colours.
      galleries: of the largest clusters; None where the run has no clusters.
      drift: tables.
      identity: by heading, names and values.
    """

    title: str
    counts: Sequence[tuple[str, str]]
    rejects: Sequence[Rejects] | None
    histogram_note: Sequence[str]
    anomalies_note: str
    cards: Sequence[Card]
    kinds: Mapping[str, str]
    heat: tuple[str, str, str]
    map_note: Sequence[str]
    keys: Sequence[Key]
    clusters_note: Sequence[str]
    galleries: Sequence[Gallery] | None
    drift_note: Sequence[str]
    drift: Sequence[Table]
    training_note: Sequence[str]
    identity: Mapping[str, Sequence[tuple[str, str]]]


def page_html(page: Page, plots: Mapping[str, LayoutDOM]) -> str:
    """The file's text.

    Its content security policy lets only its own two scripts run and nothing be fetched: were a
    text of a record ever taken for HTML, it could do nothing.

    Args:
      page: what is said.
      plots: `scores`, `p_values`, `map` and `colours` if there is a map, and `losses` if the bundle
        has them.
    """
    drawing, places = components(dict(plots), wrap_script=False)
    library = "\n".join(_resources().js_raw)
    environment = Environment(
        loader=PackageLoader("pipelines.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    return environment.get_template("page.html.j2").render(
        page=page,
        places=places,
        scripts=[library, drawing],
        digests=[_digest(script) for script in (library, drawing)],
    )


def _resources() -> Resources:
    """What draws; not WebGL, which without a GPU takes twice as long for 100,000 points."""
    resources = Resources(mode="inline", log_level="error")
    resources.components = ["bokeh", "bokeh-widgets"]
    return resources


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def number(value: Any) -> str:
    """A count with its thousands apart, or a share or score of four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
