"""How the report shows where records are anomalous: overlays, regions, and their order."""

import base64
import dataclasses
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ae_models.bundles.bundle import open_bundle
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.report.command import report
from pipelines.report.run_data import RunData, read_run
from tests.support.anomalous import TURNED, Anomalous, regions_of
from tests.support.backbones import tiny_backbone
from tests.support.command import run_command
from tests.support.elements import Elements, read_page
from tests.support.report_rows import HOSTILE, hostile_run

Get = Callable[[str], Anomalous]
KINDS = pytest.mark.parametrize("kind", ["whole", "tiles"])
CAPTIONS = {
    "whole": ["input", "reconstruction", "map and regions"],
    "tiles": ["input", "map and regions"],
}
CARD = re.compile(
    r" \d+\.\s+(?P<id>\S+(?: of 1\.png)?)\s+score (?P<score>\S+), p-value [^ ,]+(?:,\s+flagged)?"
    r"\s+(?P<regions>no region|\d+ regions?[:,].*?p-value \S+)\s+label"
)


def _report(found: Anomalous, page: Path, **options: Any) -> tuple[dict[str, Any], Elements]:
    result = report(str(found.run), str(found.model), str(page), **options)
    return result, read_page(page)


def _cards(page: Elements) -> list[tuple[str, str]]:
    """Ids, and the descriptions of regions."""
    return [(card["id"], card["regions"]) for card in CARD.finditer(page.text)]


def _told(run: Path) -> dict[str, str]:
    """The expected descriptions for a run's records with regions."""
    told = {}
    for record, rows in regions_of(run).items():
        first, count = rows[0], len(rows)
        which = "1 region:" if count == 1 else f"{count} regions, the highest"
        told[record] = (
            f"{which} {first['width']} × {first['height']} pixels at "
            f"({first['x']}, {first['y']}), p-value {first['p_value']:.4g}"
        )
    return told


def _pictures(page: Elements, caption: str) -> dict[str, Image.Image]:
    """The cards' pictures of a kind, by id."""
    found = {}
    for tag, attrs in page.elements:
        kind, _, record = (attrs.get("alt") or "").partition(" of ")
        if tag == "img" and kind == caption:
            head, _, data = (attrs["src"] or "").partition(";base64,")
            image = Image.open(io.BytesIO(base64.b64decode(data)))
            assert head == f"data:image/{(image.format or '').lower()}"
            found[record] = image
    return found


def _by_peak(run: Path) -> pd.DataFrame:
    """Ids with their highest peaks, in the expected order of cards."""
    files = sorted((run / "regions").glob("*.parquet"))
    rows = pd.concat([pd.read_parquet(path) for path in files])
    peaks = rows.groupby("id", as_index=False)["peak"].max()
    return peaks.sort_values(["peak", "id"], ascending=[False, True])


@KINDS
def test_cards_show_overlays_and_tell_the_regions_of_the_run(
    kind: str, anomalous: Get, tmp_path: Path
) -> None:
    found = anomalous(kind)
    result, page = _report(found, tmp_path / "report.html", anomalies=40)
    scores = pq.read_table(found.run / "scores").to_pandas()
    top = scores.sort_values(["score", "id"], ascending=[False, True]).head(40)
    told = _told(found.run)
    assert _cards(page) == [(record, told.get(record, "no region")) for record in top.id]
    assert {"no region"} < {regions for _, regions in _cards(page)}
    assert result["pictures"] == {"found": len(scores), "missing": 0}
    assert not page.with_class("missing")
    for caption in CAPTIONS[kind]:
        assert set(_pictures(page, caption)) == set(top.id)
    pictures = [attrs["alt"] or "" for tag, attrs in page.elements if tag == "img"]
    assert len(pictures) == 1 + len(CAPTIONS[kind]) * len(top)  # the first is of colours
    assert not any(alt.startswith("error") for alt in pictures)


@KINDS
def test_overlays_stand_upright_and_are_large_enough_to_be_seen(
    kind: str, anomalous: Get, tmp_path: Path
) -> None:
    found = anomalous(kind)
    _, page = _report(found, tmp_path / "report.html", anomalies=100)
    overlays = _pictures(page, "map and regions")
    assert {image.format for image in overlays.values()} == {"WEBP"}
    assert {max(image.size) for image in overlays.values()} <= set(range(200, 321))
    for record in TURNED:
        width, height = overlays[record].size
        assert (height > width) == (record in TURNED[1:])
    if kind == "tiles":  # of whole images, the reconstruction beside it is of the frame
        for record, image in _pictures(page, "input").items():
            assert image.size == overlays[record].size


def test_the_legend_is_that_of_maps(anomalous: Get, tmp_path: Path) -> None:
    _, page = _report(anomalous("whole"), tmp_path / "report.html")
    ((_, bar),) = [item for item in page.elements if "colours from" in (item[1].get("alt") or "")]
    assert bar["alt"] == "colours from map: low to high"
    note = (
        "The heat over an image is its anomaly map: orange is the threshold, red about twice as "
        "much."
    )
    assert f"The 24 records with the highest reconstruction_smoothed, highest first. {note}" in (
        page.text
    )
    assert "The error is the absolute difference" not in page.text


def test_of_a_bundle_without_a_map_errors_are_shown(without_map: Path, tmp_path: Path) -> None:
    found = Anomalous(Path(), without_map, tmp_path / "run")
    score(["builtin:digits"], str(without_map), str(found.run), where=["label=1"])
    _, page = _report(found, tmp_path / "report.html", anomalies=3)
    kinds = Counter((attrs.get("alt") or "").split()[0] for t, attrs in page.elements if t == "img")
    assert kinds == {"colours": 1, "input": 3, "reconstruction": 3, "error": 3}
    assert "The error is the absolute difference between input and reconstruction" in page.text
    assert "error: 0" in page.text
    assert " region" not in page.text.replace("whose regions", "")


def test_of_features_there_is_no_reconstruction_to_be_seen(tmp_path: Path) -> None:
    """Colour images of several shapes, which are resized to squares."""
    generator = np.random.default_rng(0)
    for number in range(60):
        pixels = generator.integers(60, 120, (40, 48 + number % 3 * 8, 3)).astype(np.uint8)
        if number % 10 == 9:
            pixels[8:20, 8:24] = (255, 0, 0)
        folder = tmp_path / ("odd" if number % 10 == 9 else "usual")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    overrides = [f"features.backbone={tiny_backbone(tmp_path)}", "features.size=32"]
    overrides += ["model.network=dense", "model.latent_dim=4", "scoring.fpr=0.1"]
    overrides += ["training.calibration_share=0.3"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    found = Anomalous(tmp_path, tmp_path / "model", tmp_path / "run")
    train([str(tmp_path / "usual")], config, str(found.model))
    inputs = [str(tmp_path / name) for name in ("usual", "odd")]
    score(inputs, str(found.model), str(found.run))
    _, page = _report(found, tmp_path / "report.html", order="region")
    told, ids = _told(found.run), _by_peak(found.run).id.head(24).to_list()
    assert _cards(page) == [(record, told[record]) for record in ids] != []
    kinds = Counter((attrs.get("alt") or "").split()[0] for t, attrs in page.elements if t == "img")
    assert kinds == {"colours": 1, "input": len(ids), "map": len(ids)}
    inputs_shown, overlays = (_pictures(page, caption) for caption in CAPTIONS["tiles"])
    assert set(inputs_shown) == set(overlays) == set(ids)
    for record, image in inputs_shown.items():
        assert image.size == overlays[record].size


@KINDS
def test_cards_are_in_the_order_of_the_highest_peaks(
    kind: str, anomalous: Get, tmp_path: Path
) -> None:
    """Ties (twins) are ordered by id; records without a region are excluded."""
    found = anomalous(kind)
    expected = _by_peak(found.run)
    assert expected.peak.duplicated().any()
    told = _told(found.run)
    second = int(expected.peak.duplicated().to_numpy().argmax())
    for most in (second, 500):  # between two of one peak, and more than there are
        page = _report(found, tmp_path / "a.html", order="region", anomalies=most)[1]
        ids = expected.id.head(most).to_list()
        assert _cards(page) == [(record, told[record]) for record in ids]
        assert f"The {len(ids)} records whose regions have the highest peaks, highest first." in (
            page.text
        )
        assert set(_pictures(page, "map and regions")) == set(ids)
    scores = pq.read_table(found.run / "scores").to_pandas().set_index("id").score
    values = [card["score"] for card in CARD.finditer(page.text)]
    assert values == [f"{scores[record]:.4g}" for record in expected.id]


def test_the_command_orders_by_region(
    anomalous: Get, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, page = anomalous("whole"), tmp_path / "report.html"
    arguments = ["report", "--scores", str(found.run), "--model", str(found.model)]
    arguments += ["--output", str(page), "--anomalies", "5", "--order", "region", "--json"]
    status, out, err = run_command(arguments, capsys)
    assert status == 0, err
    assert json.loads(out)["report"] == str(page)
    expected = _by_peak(found.run).id.head(5).to_list()
    assert [record for record, _ in _cards(read_page(page))] == expected


def test_where_no_record_has_a_region_none_is_shown(anomalous: Get, tmp_path: Path) -> None:
    found = anomalous("whole")._replace(run=tmp_path / "run")
    score([str(found.images)], str(found.model), str(found.run), fpr=0.001)
    _, page = _report(found, tmp_path / "a.html", order="region")
    assert not page.with_class("card")
    assert "No record has a region." in page.text
    _, page = _report(found, tmp_path / "b.html", anomalies=3)
    assert [regions for _, regions in _cards(page)] == ["no region"] * 3


@pytest.mark.parametrize("order", ["score", "region"])
def test_a_run_without_regions_has_no_order_of_them(
    order: str,
    anomalous: Get,
    without_map: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a bundle without a map, and with one with a map whose run was written before there were
    regions."""
    score(["builtin:digits"], str(without_map), str(tmp_path / "run"), where=["label=1"])
    earlier = hostile_run(tmp_path / "earlier", anomalous("whole").model)
    for run, model in ((tmp_path / "run", without_map), (earlier, anomalous("whole").model)):
        page = tmp_path / "report.html"
        arguments = ["report", "--scores", str(run), "--model", str(model), "--output", str(page)]
        status, out, err = run_command([*arguments, "--order", order], capsys)
        if order == "score":
            assert status == 0, err
            page.unlink()
            continue
        assert (status, out) == (2, "")
        line = f"latentbeam: {run} has no regions by which to order records"
        assert err.splitlines()[-1] == line
        assert sum(told.startswith("latentbeam: ") for told in err.splitlines()) == 1
        assert not page.exists()


@KINDS
def test_inputs_that_are_gone_and_found_elsewhere(
    kind: str, anomalous: Get, tmp_path: Path
) -> None:
    whole = anomalous(kind)
    found = Anomalous(tmp_path / "images", whole.model, tmp_path / "run")
    for record in (*TURNED, f"{'digits' if kind == 'whole' else 'textures'}/0.png"):
        path = found.images / record
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole.images / record, path)
    score([str(found.images)], str(found.model), str(found.run))
    before = _report(found, tmp_path / "a.html", order="region")[1]
    moved = shutil.move(found.images, tmp_path / "moved")
    result, page = _report(found, tmp_path / "b.html")
    assert result["pictures"] == {"found": 0, "missing": 4}
    assert len(page.with_class("card")) == 4
    assert len(page.with_class("missing")) == 4 * len(CAPTIONS[kind])
    assert " pixels at (" not in page.text
    assert " no region" not in page.text  # it is not known
    _, page = _report(found, tmp_path / "c.html", inputs=[str(moved)], order="region")
    assert _cards(page) == _cards(before) != []
    (moved / TURNED[0]).write_text("no image any more")
    result, page = _report(found, tmp_path / "d.html", inputs=[str(moved)])
    assert result["pictures"] == {"found": 3, "missing": 1}
    assert len(page.with_class("missing")) == len(CAPTIONS[kind])
    assert TURNED[0] in page.text


@KINDS
def test_a_relabelled_run_shows_the_regions_that_it_had(
    kind: str, anomalous: Get, tmp_path: Path
) -> None:
    found = anomalous(kind)
    _, before = _report(found, tmp_path / "a.html", order="region")
    for rule in ({"fpr": 0.6}, {"fpr": 0.001}, {"fdr": 0.0001}):
        run = tmp_path / "new"
        relabel(str(found.run), str(run), overwrite=True, **rule)
        result, page = _report(found._replace(run=run), tmp_path / "b.html", order="region")
        assert result["flagged"] == pq.read_table(run / "scores")["is_anomaly"].to_numpy().sum()
        assert _cards(page) == _cards(before) != []
        for caption in CAPTIONS[kind]:
            one, other = (_pictures(own, caption) for own in (page, before))
            assert set(other) == {record for record, _ in _cards(before)}
            assert {i: p.tobytes() for i, p in one.items()} == {
                i: p.tobytes() for i, p in other.items()
            }


def _data(found: Anomalous, ledger: dict[str, Any]) -> RunData:
    bundle = open_bundle(found.model)
    data = read_run(str(found.run), bundle, clusters=None, label=None, most=3, seed=0)
    return dataclasses.replace(data, ledger=ledger)


def test_the_rate_of_regions_is_the_ledgers(anomalous: Get) -> None:
    """For runs from before it was recorded: the rate of flags, or else the bundle's."""
    data = _data(anomalous("whole"), {"model": {"fpr": 0.2}, "relabelled": {"regions_fpr": 0.03}})
    assert (data.fpr, data.regions_fpr) == (0.2, 0.03)
    data = dataclasses.replace(data, ledger={"model": {"fpr": 0.2}})
    assert (data.fpr, data.regions_fpr) == (0.2, 0.2)
    data = dataclasses.replace(
        data, ledger={"model": {"fpr": 0.0}, "relabelled": {"from": {"fpr": 0.1}}}
    )
    assert (data.fpr, data.regions_fpr) == (0.0, 0.1)
    for ledger in ({}, {"model": {}}, {"model": {"fpr": None}, "relabelled": {"from": None}}):
        data = dataclasses.replace(data, ledger=ledger)
        assert (data.fpr, data.regions_fpr) == (0.05, 0.05)


def test_a_ledger_without_the_rate_of_regions_is_that_of_a_run_as_it_was_scored(
    anomalous: Get, tmp_path: Path
) -> None:
    found = anomalous("whole")._replace(run=tmp_path / "run")
    score([str(found.images)], str(found.model), str(found.run), fpr=0.2)
    assert "relabelled" not in json.loads((found.run / "run.json").read_text())
    _, page = _report(found, tmp_path / "report.html", order="region")
    told = _told(found.run)
    expected = _by_peak(found.run).id.head(24)
    assert _cards(page) == [(record, told[record]) for record in expected]
    assert told != _told(anomalous("whole").run)


@pytest.mark.parametrize("kept", [0.05, None])
def test_a_run_of_which_no_record_is_flagged_any_more_has_a_report(
    kept: float | None, anomalous: Get, tmp_path: Path
) -> None:
    """The threshold is 0 if the Benjamini-Hochberg rule flags none; a run that an earlier version
    relabelled has neither regions nor their rate."""
    found = anomalous("whole")._replace(run=tmp_path / "run")
    ledger = relabel(str(anomalous("whole").run), str(found.run), fdr=0.0001)
    assert ledger["model"]["fpr"] == 0
    assert ledger["relabelled"]["regions_fpr"] == 0.05
    if kept is None:
        del ledger["relabelled"]["regions_fpr"], ledger["regions"]
        ledger["files"] = [f for f in ledger["files"] if not f["path"].startswith("regions/")]
        shutil.rmtree(found.run / "regions")
        (found.run / "run.json").write_text(json.dumps(ledger))
    result, page = _report(found, tmp_path / "report.html")
    assert result["flagged"] == 0
    assert len(page.with_class("card")) == 24


@KINDS
@pytest.mark.parametrize("order", ["score", "region"])
def test_nothing_that_a_record_says_becomes_an_element(
    kind: str, order: str, anomalous: Get, tmp_path: Path
) -> None:
    whole = anomalous(kind)
    found = whole._replace(run=tmp_path / "run")
    images = [(whole.images / TURNED[0]).read_bytes()] * len(HOSTILE)
    table = pa.table({"id": HOSTILE, "image": images, "label": HOSTILE[::-1]})
    pq.write_table(table, tmp_path / "images.parquet")
    score([str(tmp_path / "images.parquet")], str(found.model), str(found.run))
    _, page = _report(found, tmp_path / "report.html", order=order)
    cards = page.with_class("card")
    assert len(cards) == len(HOSTILE)
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["script"] == 2
    assert tags["img"] == 1 + len(HOSTILE) * len(CAPTIONS[kind])
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert not [a for tag, a in page.elements if tag == "img" and a["src"] == "x"]
    for text in HOSTILE[:4]:
        assert text in page.text
        assert text in _pictures(page, "map and regions")
    written = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in written
    assert "\u202e" not in written
    assert "49 @id" not in page.text


def test_pictures_of_the_same_run_are_the_same(anomalous: Get, tmp_path: Path) -> None:
    pages = [_report(anomalous("tiles"), tmp_path / f"{n}.html")[1] for n in range(2)]
    sources = [[a["src"] for tag, a in page.elements if tag == "img"] for page in pages]
    assert sources[0] == sources[1]
    overlays = _pictures(pages[0], "map and regions")
    assert len({image.tobytes() for image in overlays.values()}) == len(overlays) - 1  # twins
    assert all(np.asarray(image).std() > 5 for image in overlays.values())
