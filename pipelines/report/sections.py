"""The parts of the page that show records: the most anomalous ones, the map, the clusters."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from bokeh.models import LayoutDOM

from ae_models.bundles.names import ERROR_MAP
from ae_models.bundles.scorer import Scorer
from ae_models.latents.clustering.model import NOISE
from ae_models.latents.projection import project
from pipelines.report.categories import Categories, shortened
from pipelines.report.found_images import FoundImages
from pipelines.report.latent_map import MapRecords, latent_map
from pipelines.report.page import Card, Gallery, Key
from pipelines.report.pictures import (
    Tiles,
    error_tiles,
    heat_bar,
    located_tiles,
    overlay_bar,
    tiles,
)
from pipelines.report.run_data import RunData
from pipelines.report.sentences import regions_told
from transforms.maps.locate import has_regions
from transforms.records.batches import ID
from transforms.results.cluster_members import NO_CLUSTER, Cluster
from transforms.results.reader import LATENT_MEAN, vectors
from transforms.results.summary import FLAG, P_VALUE, SCORE
from transforms.scoring.locate_records import LocatedRecord

_FITTED = 20_000
_LONGEST_ID = 120


@dataclasses.dataclass(frozen=True)
class Located:
    """Where a record is anomalous, for the page: pictures, and its regions in words."""

    tiles: Tiles
    regions: str

    @classmethod
    def of(cls, record: LocatedRecord) -> "Located":
        return cls(located_tiles(record), regions_told(record.regions, record.p_values))


@dataclasses.dataclass(frozen=True)
class Cards:
    """The most anomalous records.

    Attributes:
      cards: one per record.
      kinds: the kinds of pictures, with their captions.
      heat: the bar of colours, and the labels of its ends.
    """

    cards: list[Card]
    kinds: dict[str, str]
    heat: tuple[str, str, str]


def cards(data: RunData, images: FoundImages, located: Mapping[str, Located] | None) -> Cards:
    """The most anomalous records, with their images; `located` is None if the bundle does not
    support regions."""
    ids = data.summary.top[ID].to_pylist()
    rebuilt, worst = _tiles(data, {i: images.pixels[i] for i in ids if i in images.pixels})
    kinds = {"input": "input", "reconstruction": "reconstruction", "error": "error"}
    if data.bundle.config.features.is_on or data.is_in_tiles:
        del kinds["reconstruction"]
    if located is None:
        heat = (heat_bar(), "error: 0", f"{worst:.3g}")
        return Cards(_cards(data, ids, rebuilt, {}), kinds, heat)
    del kinds["error"]
    kinds["overlay"] = "map and regions"
    reconstructions = {record: own.reconstruction for record, own in rebuilt.items()}
    tiles_of = {
        record: dataclasses.replace(found.tiles, reconstruction=reconstructions.get(record))
        for record, found in located.items()
    }
    told = {record: found.regions for record, found in located.items()}
    heat = (overlay_bar(), "map: low", "high")
    return Cards(_cards(data, ids, tiles_of, told), kinds, heat)


def _cards(
    data: RunData, ids: Sequence[str], pictures: Mapping[str, Tiles], regions: Mapping[str, str]
) -> list[Card]:
    top = data.summary.top
    labels: Sequence[str | None] = data.labels(top) or [None] * len(ids)
    clusters: dict[str, str] = {}
    if data.clusters is not None:
        clusters = dict(zip(data.ids, data.clusters.names(), strict=True))
    numbers = (top[name].to_pylist() for name in (SCORE, P_VALUE, FLAG))
    return [
        Card(
            shortened(record, _LONGEST_ID), score, p_value, flag,
            None if label is None else shortened(label), clusters.get(record), pictures.get(record),
            regions.get(record),
        )
        for record, label, score, p_value, flag in zip(ids, labels, *numbers, strict=True)
    ]  # fmt: skip


def _tiles(data: RunData, pixels: dict[str, np.ndarray]) -> tuple[dict[str, Tiles], float]:
    """Inputs with their reconstructions and errors, or with the errors of their features; none if
    the page shows only maps."""
    is_of_features = data.bundle.config.features.is_on
    if not pixels or (has_regions(data.bundle) and is_of_features) or data.is_in_tiles:
        return {}, 0.0
    scorer, images = Scorer(data.bundle.path, data.bundle.config), np.stack(list(pixels.values()))
    if is_of_features:
        made, worst = error_tiles(images, scorer.score(images, maps=True)[ERROR_MAP])
    else:
        outputs = scorer.reconstruct(images)
        made, worst = tiles(outputs["input"], outputs["reconstruction"])
    return dict(zip(pixels, made, strict=True)), worst


def map_section(
    data: RunData, images: FoundImages, kind: Literal["pca", "umap"], seed: int
) -> tuple[dict[str, LayoutDOM], list[Key], list[str]]:
    """The map and its buttons, the keys of its colours, and notes. A run without latents has no
    map.

    Raises:
      InputError: there are too few records for UMAP, or latents are not finite.
    """
    if LATENT_MEAN not in data.records.column_names:
        note = f"There is no map: this run has no column {LATENT_MEAN} (see --outputs of score)."
        return {}, [], [note]
    projection = project(vectors(data.records[LATENT_MEAN]), kind, seed, _FITTED)
    categories = {}
    if data.clusters is not None:
        categories["cluster"] = Categories.of(data.clusters.names(), grey=("noise", "none"))
    if (labels := data.labels(data.records)) is not None:
        categories["label"] = Categories.of(labels, grey=("no label",))
    score, p_value = (data.records[name].to_numpy() for name in (SCORE, P_VALUE))
    ids = data.ids
    present = set(ids)
    thumbnails = {record: uri for record, uri in images.thumbnails.items() if record in present}
    records = MapRecords(ids, score, p_value, categories, thumbnails)
    plot, buttons = latent_map(records, projection)
    keys = [Key(name, found.key) for name, found in categories.items()]
    note = _map_note(len(ids), data.summary.records, seed)
    method = _method(kind, projection.fitted, len(ids))
    pictures = f"Hover over a point to see its image: {len(thumbnails):,} points have one."
    notes = [note, f"{method} {pictures} Hold Ctrl and scroll to zoom."]
    if data.label not in (None, "label"):
        notes.append(f"Labels are from the column {shortened(data.label or '')}.")
    return {"map": plot, "colours": buttons}, keys, notes


def _map_note(shown: int, total: int, seed: int) -> str:
    which = f"All {total:,} records of the run"
    if shown < total:
        which = f"{shown:,} of {total:,} records: a sample (seed {seed}) and the most anomalous"
    return f"{which}. Each point is a record; points near each other have similar latents."


def _method(kind: str, fitted: int, shown: int) -> str:
    name = "UMAP" if kind == "umap" else "Principal components"
    on = "" if fitted == shown else f", fitted to {fitted:,} of them"
    far = " Distances between distant groups mean little." if kind == "umap" else ""
    return f"{name} of the latents{on}.{far}"


def galleries(data: RunData, images: FoundImages) -> tuple[list[Gallery] | None, list[str]]:
    """The largest clusters with their cores and edges; None if the run has no clusters."""
    if data.clusters is None:
        return None, []
    sizes, largest = data.clusters.sizes, data.clusters.largest
    total, count = sum(sizes.values()), len(sizes) - (NOISE in sizes)
    note = f"{count:,} clusters of {total:,} records"
    note += "." if len(largest) == count else f"; the {len(largest)} largest are shown."
    if NOISE in sizes:
        note += f" {sizes[NOISE]:,} records ({sizes[NOISE] / total:.1%}) are in no cluster (noise)."
    if strangers := int((data.clusters.members == NO_CLUSTER).sum()):
        note += f" {strangers:,} records of the map were not clustered."
    note += " Core: the records nearest to the cluster's centre. Edge: those farthest from it."

    def with_pictures(ids: Sequence[str]) -> list[tuple[str, str | None]]:
        return [(shortened(i, _LONGEST_ID), images.thumbnails.get(i)) for i in ids]

    def gallery(cluster: Cluster) -> Gallery:
        share = cluster.size / total
        core, edge = with_pictures(cluster.core), with_pictures(cluster.edge)
        return Gallery(str(cluster.number), cluster.size, share, core, edge)

    return [gallery(cluster) for cluster in largest], [note]
