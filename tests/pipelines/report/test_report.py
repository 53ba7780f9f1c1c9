"""The report of a run: what its page contains, and what it never does."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ae_models.bundles.bundle import open_bundle
from pipelines.commands.score import score
from pipelines.report.categories import Categories, shortened
from pipelines.report.command import report
from pipelines.report.found_images import FoundImages
from pipelines.report.run_data import read_run
from pipelines.report.sections import map_section
from tests.support.command import run_command
from tests.support.elements import read_page
from tests.support.report_rows import HOSTILE, clusters_of_run, hostile_run
from transforms.runs.ledger import read_ledger

Bundles = Callable[[str], Path]


@pytest.fixture(scope="module")
def run_of_vae(digits_run: Callable[..., Path]) -> Path:
    return digits_run("vae")


def test_a_page_of_digits(run_of_vae: Path, bundle: Bundles, tmp_path: Path) -> None:
    frame = pq.read_table(run_of_vae / "scores").to_pandas()
    clusters = clusters_of_run(tmp_path / "clusters", frame.id.to_list(), 23)
    page = tmp_path / "report.html"
    result = report(str(run_of_vae), str(bundle("vae")), str(page), clusters=clusters)
    assert result["bytes"] == page.stat().st_size < 6_000_000
    assert (result["records"], result["map_records"]) == (1797, 1797)
    assert result["flagged"] == frame.is_anomaly.sum()
    assert result["pictures"] == {"found": 1797, "missing": 0}
    found = read_page(page)
    share = re.escape(f"({frame.is_anomaly.mean():.2%})")
    assert re.search(rf"flagged {share}\s+{frame.is_anomaly.sum()}\b", found.text)
    headings = [tag for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert Counter(headings)["h2"] == 8
    top = frame.sort_values(["score", "id"], ascending=[False, True]).head(24)
    shown = re.findall(r"(\d+)\.\s+(digits/\d+)\s+score", found.text)
    assert shown == [(str(n + 1), record) for n, record in enumerate(top.id)]
    assert len(found.with_class("card")) == 24
    assert not found.with_class("missing")
    assert len(found.with_class("gallery")) == 20
    assert "23 clusters of 1,797 records; the 20 largest are shown." in found.text
    pictures = [attrs for tag, attrs in found.elements if tag == "img"]
    assert len(pictures) == 1 + 24 * 3 + 20 * 16
    assert all((attrs["src"] or "").startswith("data:image/") for attrs in pictures)
    assert all(attrs["alt"] for attrs in pictures)
    assert read_ledger(str(run_of_vae))["model"]["fingerprint"] in found.text


def test_a_page_asks_nobody_for_anything(run_of_vae: Path, bundle: Bundles, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    report(str(run_of_vae), str(bundle("vae")), str(page))
    found = read_page(page)
    links = [attrs.get(name) for _, attrs in found.elements for name in ("src", "href", "action")]
    assert {(link or "#")[:5] for link in links} <= {"data:"} | {
        f"#{name}"[:5]
        for name in ("records", "scores", "anomalies", "map", "drift", "training", "identity", "")
    }
    policies = [a["content"] or "" for _, a in found.elements if a.get("http-equiv")]
    assert policies[0].startswith("default-src 'none'; img-src data:;")
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in found.elements}


def test_rejects_are_counted_by_reason(image_folder: Path, bundle: Bundles, tmp_path: Path) -> None:
    run, page = tmp_path / "run", tmp_path / "report.html"
    ledger = score([str(image_folder)], str(bundle("ae")), str(run))
    report(str(run), str(bundle("ae")), str(page))
    found = read_page(page)
    for reason, count in ledger["records"]["rejected_by_reason"].items():
        assert re.search(rf"\b{reason}\s+{count}\b", found.text)
    for record in pq.read_table(run / "rejects")["id"].to_pylist():
        assert record in found.text
    assert len(found.with_class("bar")) == len(ledger["records"]["rejected_by_reason"])


def test_nothing_that_a_record_says_becomes_an_element(bundle: Bundles, tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "run", bundle("vae"))
    ids = pq.read_table(Path(run) / "scores")["id"].to_pylist()
    clusters = clusters_of_run(tmp_path / "clusters", ids, 3)
    page = tmp_path / "report.html"
    report(run, str(bundle("vae")), str(page), clusters=clusters)
    found = read_page(page)
    assert Counter(tag for tag, _ in found.elements)["script"] == 2
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    assert not [a for tag, a in found.elements if tag == "img" and a["src"] == "x"]
    for text in HOSTILE[:4]:
        assert text in found.text
    assert "\x1b" not in page.read_text(encoding="utf-8")
    assert "\u202e" not in page.read_text(encoding="utf-8")
    assert "49 @id" not in found.text


def test_pictures_that_are_gone(
    image_folder: Path, bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page, bundle_path = tmp_path / "run", tmp_path / "report.html", str(bundle("ae"))
    score([str(image_folder)], bundle_path, str(run))
    moved = shutil.move(image_folder, tmp_path / "moved")
    arguments = ["report", "--scores", str(run), "--model", bundle_path, "--output", str(page)]
    status, out, err = run_command([*arguments, "--json"], capsys)
    assert status == 0
    assert json.loads(out)["pictures"] == {"found": 0, "missing": 40}
    assert re.search(r"^images of 40 records were not found: .*images", err, re.MULTILINE)
    assert len(read_page(page).with_class("missing")) == 24 * 3
    (moved / "0" / "0.png").unlink()
    status, out, err = run_command([*arguments, "--input", str(moved)], capsys)
    assert (status, "pictures: 39, 1 missing" in out) == (0, True)
    assert "images of 1 records were not found\n" in err


def test_a_large_run_is_sampled(run_of_vae: Path, bundle: Bundles) -> None:
    opened = open_bundle(bundle("vae"))
    data = read_run(
        str(run_of_vae), opened, clusters=None, label=None, most=5, seed=3, map_records=100
    )
    shown = len(data.records)
    assert 100 < shown <= 105
    assert data.summary.records == 1797
    _, _, notes = map_section(data, FoundImages({}, {}, 0, ""), "pca", seed=3)
    assert f"{shown} of 1,797 records: a sample (seed 3)" in notes[0]


def test_a_run_without_latents_has_no_map(bundle: Bundles, tmp_path: Path) -> None:
    run, page = tmp_path / "run", tmp_path / "report.html"
    score(["builtin:digits"], str(bundle("vae")), str(run), outputs=["score_kl"])
    report(str(run), str(bundle("vae")), str(page))
    found = read_page(page)
    assert "no column latent_mean" in found.text
    assert not [a for _, a in found.elements if a.get("class") == "map"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "report.txt"], "must end in .html. Received: 'report.txt'"),
        (["--output", "nowhere/report.html"], "there is no folder nowhere"),
        (["--model", "OTHER"], "was scored by the model"),
        (["--label", "labl"], "has no column 'labl'.*did you mean .*label"),
        (["--scores", "nowhere"], "nowhere contains no finished run"),
        (["--clusters", "nowhere"], "nowhere contains no finished run"),
        (["--clusters", "STRANGERS"], "contains no record of"),
        (["--input", "/nowhere"], "no such file or folder: /nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(
    flags: list[str],
    message: str,
    run_of_vae: Path,
    bundle: Bundles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    strangers = clusters_of_run(tmp_path / "strangers", ["x", "y"], 2)
    given = {"OTHER": str(bundle("ae")), "STRANGERS": strangers}
    arguments = ["report", "--scores", str(run_of_vae), "--model", str(bundle("vae"))]
    arguments += ["--output", "report.html", *(given.get(flag, flag) for flag in flags)]
    status, out, err = run_command(arguments, capsys)
    assert (status, out) == (2, "")
    assert re.search(f"^latentbeam: .*{message}.*\n\\Z", err, re.MULTILINE)
    assert not Path("report.html").exists()


def test_categories_have_distinct_colours_and_an_end() -> None:
    values = [str(n % 12) for n in range(500)] + ["noise"] * 400 + ["rare"] * 2
    found = Categories.of(values, grey=("noise",))
    assert [found.names[code] for code in found.codes] == values
    assert found.names[:13] == [*(str(n) for n in range(12)), "rare"]
    assert len(set(found.colours[:13])) == 13
    assert found.colours[-1] == "#a6a6a6"
    many = Categories.of([str(n) for n in range(3000)])
    assert (len(many.names), many.names[-1]) == (1000, "other")
    assert many.codes.max() == 999
    assert many.key[-1][0] == "986 others"
    np.testing.assert_array_equal(Categories.of(["a"]).codes, [0])


def test_numbers_are_in_order_however_many_digits_they_have() -> None:
    """Python does not parse numbers of more than 4,300 digits."""
    values = ["b", "9" * 5000, "10", "007", "²", "1" + "0" * 5000, "9", "0"]
    assert Categories.of(values).names == [
        shortened(name) for name in ["0", "007", "9", "10", "9" * 5000, "1" + "0" * 5000, "b", "²"]
    ]


def test_long_ids_keep_their_ends() -> None:
    assert shortened("folder/" * 40 + "a.png", 20) == "…folder/folder/a.png"
    assert shortened("a.png", 20) == "a.png"
