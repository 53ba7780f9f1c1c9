"""`latentbeam report`: a finished run as one HTML file that works offline."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from bokeh.models import LayoutDOM

from ae_models.bundles.bundle import open_bundle
from ae_models.config.extras import require
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, InputError
from pipelines.console.output_file import check_file, write_file
from pipelines.console.progress import Progress, say
from pipelines.report import sentences
from pipelines.report.found_images import FoundImages, find_images
from pipelines.report.page import Page, page_html
from pipelines.report.plots import loss_curves, p_value_histogram, score_histogram
from pipelines.report.run_data import RunData, read_run
from pipelines.report.sections import Located, cards, galleries, map_section
from transforms.maps.locate import has_regions
from transforms.records.batches import ID
from transforms.results.reject_counts import Rejects, rejects_by_reason
from transforms.results.summary import SCORE
from transforms.runs.ledger import read_ledger
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.flag_facts import flags_nothing
from transforms.scoring.locate_records import locate_records
from transforms.sources import ReadOptions, resolve_inputs

_THUMBNAILS = 10_000
_ANOMALOUS_THUMBNAILS = 1000
_EXAMPLES = 3
_MOST_ANOMALIES = 500
_PROJECTIONS = ("pca", "umap")
_ORDERS = ("score", "region")
_ADVICE = "relabel with --fpr {rate:g} or more, or train with more calibration records"


def report(
    scores: str,
    model: str,
    output: str,
    *,
    clusters: str | None = None,
    inputs: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    label: str | None = None,
    projection: Literal["pca", "umap"] = "pca",
    seed: int = 0,
    anomalies: int = 24,
    order: Literal["score", "region"] = "score",
) -> dict[str, Any]:
    """Writes the report of a finished run, replacing an existing one.

    Args:
      scores: the run folder.
      model: the bundle that scored it.
      output: the file to write, *.html.
      clusters: the folder of the run's clusters.
      inputs: the current paths of its images; empty: where `score` read them.
      reading: fields of `ReadOptions` that differ from those of the run.
      label: a column of labels; None: `label`, if there is one.
      projection: of the latents, for the map.
      seed: of the random sample.
      anomalies: how many of the most anomalous records to show.
      order: what is most anomalous: the highest scores, or the highest peaks of regions.

    Returns:
      `report`, `bytes`, `records`, `flagged`, `map_records` and `pictures`, with the numbers
      `found` and `missing`.

    Raises:
      LatentbeamError: a path, the bundle or a column cannot be used, or another model scored the
        run.
    """
    check_range(1, _MOST_ANOMALIES, anomalies=anomalies)
    check_range(0, 2**32 - 1, seed=seed)
    if projection not in _PROJECTIONS:
        known = ", ".join(_PROJECTIONS)
        raise ConfigError(f"--map must be one of {known}. Received: {projection!r}")
    if order not in _ORDERS:
        raise ConfigError(f"--order must be one of {', '.join(_ORDERS)}. Received: {order!r}")
    check_file(output, ".html", "report")
    if projection == "umap":
        require("UMAP projections", "umap")
    bundle = open_bundle(local_bundle(model))
    if not has_regions(bundle):
        bundle.check_not_in_tiles("a report without regions")
    given = ReadOptions(**(reading or {}))
    options = ReadOptions.from_ledger(read_ledger(scores)).with_given(given)
    if inputs:  # inputs that a user names must exist
        for source in resolve_inputs(inputs, options):
            next(iter(source.tasks()), None)
    data = read_run(
        scores, bundle, clusters=clusters, label=label, most=anomalies, seed=seed, order=order
    )
    images = _images(data, inputs, options)
    located = _located(data, inputs, options)
    with Progress("drawing", unit=" files") as progress:
        page = _html(data, images, located, model, projection, seed, order).encode()
        write_file(output, page, "text/html")
        progress.show(1)
    if images.missing:
        why = f": {images.reason}" if images.reason else ""
        say(f"images of {images.missing:,} records were not found{why}")
    return {
        "report": output,
        "bytes": len(page),
        "records": data.summary.records,
        "flagged": data.summary.flagged,
        "map_records": len(data.records),
        "pictures": {"found": len(images.thumbnails), "missing": images.missing},
    }


def _images(data: RunData, inputs: Sequence[str], options: ReadOptions) -> FoundImages:
    ids = data.ids
    top = data.summary.top[ID].to_pylist()
    galleried = [
        record
        for cluster in (data.clusters.largest if data.clusters else ())
        for record in (*cluster.core, *cluster.edge)
    ]
    order = np.argsort(-data.records[SCORE].to_numpy(), kind="stable")
    anomalous = [ids[row] for row in order[:_ANOMALOUS_THUMBNAILS]]
    wanted = list(dict.fromkeys([*top, *galleried, *anomalous, *ids]))  # a sample has no order
    wanted = wanted[: _THUMBNAILS + len(galleried)]
    config = data.bundle.config.image
    if data.is_in_tiles:  # thumbnails show complete images
        config = dataclasses.replace(config, tile=None, overlap=None, fit="pad")
    with Progress("finding images", len(wanted)) as progress:
        return find_images(_read(data, inputs), wanted, set(top), config, progress.show, options)


def _read(data: RunData, inputs: Sequence[str]) -> list[str]:
    return list(inputs or data.ledger.get("inputs") or ())


def _located(
    data: RunData, inputs: Sequence[str], options: ReadOptions
) -> dict[str, Located] | None:
    """Where the most anomalous records (as far as found) are anomalous, by id; None if the bundle
    does not support regions. Memory holds the maps of one batch and of one record."""
    if not has_regions(data.bundle):
        return None
    ids = data.summary.top[ID].to_pylist()
    located: dict[str, Located] = {}
    with Progress("locating", len(ids)) as progress, contextlib.suppress(InputError):  # reported
        read = _read(data, inputs)
        for found in locate_records(read, ids, data.bundle, data.regions_fpr, options):
            located[found.id] = Located.of(found)
            progress.show(len(located))
    return located


def _html(
    data: RunData,
    images: FoundImages,
    located: Mapping[str, Located] | None,
    model: str,
    kind: Literal["pca", "umap"],
    seed: int,
    order: str,
) -> str:
    summary, manifest = data.summary, data.bundle.manifest
    name, calibration = data.primary.name, data.primary.scores
    threshold = data.primary.threshold(data.fpr)
    advice = _advice(data)
    if advice is not None:
        say(f"warning: {advice}")
    edges, drift = summary.score_edges, summary.counts[SCORE].drift()
    held_out = np.histogram(calibration, edges)[0]
    flagged = summary.flagged / summary.records
    found = cards(data, images, located)
    plots, keys, map_note = map_section(data, images, kind, seed)
    clusters, clusters_note = galleries(data, images)
    drawn: dict[str, LayoutDOM] = {
        "scores": score_histogram(
            edges,
            summary.score_bins,
            calibration=held_out,
            threshold=threshold,
            fpr=data.fpr,
            name=name,
        ),
        "p_values": p_value_histogram(summary.p_value_bins, data.fpr),
        **plots,
        **_losses(manifest),
    }  # fmt: skip
    page = Page(
        title=f"Report of {data.scores}",
        counts=sentences.counts(data.ledger, summary),
        rejects=_rejects(data),
        histogram_note=[
            sentences.histogram_note(summary, name, threshold, data.fpr, len(calibration)),
            *([] if advice is None else [f"{advice[0].upper()}{advice[1:]}."]),
        ],
        anomalies_note=sentences.anomalies_note(
            len(found.cards), name, order, regions=located is not None
        ),
        cards=found.cards,
        kinds=found.kinds,
        heat=found.heat,
        map_note=map_note,
        keys=keys,
        clusters_note=clusters_note,
        galleries=clusters,
        drift_note=sentences.drift_note(drift, flagged, data.fpr, name),
        drift=sentences.drift_tables(
            summary,
            data.calibration,
            {name: data.sample[name].to_numpy() for name in data.calibration},
        ),
        training_note=sentences.training_note(manifest),
        identity=sentences.identity(data.ledger, manifest, data.scores, model),
    )
    return page_html(page, drawn)


def _losses(manifest: Mapping[str, Any]) -> dict[str, LayoutDOM]:
    """The curves of the model's training; earlier bundles contain none."""
    training = manifest.get("training", {})
    if "curves" not in training:
        return {}
    return {"losses": loss_curves(training["curves"], training["best_epoch"])}


def _advice(data: RunData) -> str | None:
    """A line if no record can be flagged, also for older runs, whose ledgers record less."""
    facts = {"fpr": data.fpr, "calibration_records": len(data.primary.scores)}
    tail = {"pareto_tail": data.primary.tail}
    return flags_nothing({**data.ledger, "model": facts | tail}, _ADVICE)


def _rejects(data: RunData) -> list[Rejects] | None:
    records = data.ledger.get("records", {})
    if records.get("rejected", 0) is None:
        return None
    return rejects_by_reason(data.scores, _EXAMPLES)
