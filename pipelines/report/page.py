"""The report as one self-contained HTML file."""

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
    """One of the most anomalous records; `tiles` is None if its image was not found, `regions` if
    they are not known."""

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
    """A cluster's core and edge: ids, each with its thumbnail (None if not found)."""

    name: str
    size: int
    share: float
    core: Sequence[tuple[str, str | None]]
    edge: Sequence[tuple[str, str | None]]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text, with a caption."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Key:
    """The key of the map's colours: names and colours."""

    name: str
    entries: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Page:
    """The report's content. Any text may come from a stranger: the template escapes all of them.

    Attributes:
      title: of the page.
      counts: names and counts.
      rejects: by reason; None if the run did not write them.
      histogram_note, anomalies_note, map_note, clusters_note, drift_note, training_note:
        sentences.
      cards: the most anomalous records.
      kinds: the captions of their pictures, by fields of `Tiles`.
      heat: the bar of the colours of errors or maps, and the labels of its ends.
      keys: of the map's colours.
      galleries: of the largest clusters; None if the run has no clusters.
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

    Its content security policy allows only its own two scripts to run, and nothing to be fetched:
    a record's text that was ever interpreted as HTML could do nothing.

    Args:
      page: the content.
      plots: `scores`, `p_values`, `map` and `colours` if there is a map, and `losses` if the bundle
        contains them.
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
    """Bokeh's scripts. WebGL is off: without a GPU it takes twice as long for 100,000 points."""
    resources = Resources(mode="inline", log_level="error")
    resources.components = ["bokeh", "bokeh-widgets"]
    return resources


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def number(value: Any) -> str:
    """A count with thousands separators, or a share or score with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
