"""`latentbeam explore locate`, through the command: the regions that it prints, and its picture."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.explore.locate import locate
from tests.support.anomalous import BROKEN, TURNED, Anomalous, regions_of
from tests.support.command import run_command
from transforms.maps.regions import Region

Get = Callable[[str], Anomalous]
Capsys = pytest.CaptureFixture[str]
KINDS = pytest.mark.parametrize("kind", ["whole", "tiles"])


def _locate(
    found: Anomalous, output: Path, flags: Sequence[str], capsys: Capsys
) -> list[dict[str, Any]]:
    arguments = ["--model", str(found.model), "--input", str(found.images)]
    arguments += ["--output", str(output), *flags, "--json"]
    status, out, err = run_command(["explore", "locate", *arguments], capsys)
    assert status == 0, err
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        assert picture.width <= 2000
        assert len(np.unique(np.asarray(picture))) > 50  # something was drawn
    result = json.loads(out)
    assert result.keys() == {"picture", "records"}
    assert result["picture"] == str(output)
    return list(result["records"])


def _refused(arguments: Sequence[str], capsys: Capsys) -> str:
    status, out, err = run_command(["explore", *arguments], capsys)
    lines = [line for line in err.splitlines() if not line.startswith(("locating", "I0", "E0"))]
    assert (status, out, len(lines)) == (2, "", 1), err
    return lines[0]


def _told(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a run's regions in the command's form, with means in single precision."""
    told = [{name: row[name] for name in (*Region._fields, "p_value")} for row in rows]
    return [{**row, "mean": np.float32(row["mean"])} for row in told]


@KINDS
def test_records_are_in_the_order_of_their_ids_and_have_the_regions_of_a_run(
    kind: str, anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    """Includes records of different shapes, and one without a region."""
    found = anomalous(kind)
    regions = regions_of(found.run)
    names = [path.relative_to(found.images) for path in sorted(found.images.glob("*s/*.png"))]
    usual = next(str(name) for name in names if str(name) not in regions)
    ids = [TURNED[1], usual, TURNED[0], max(regions)]
    records = _locate(found, tmp_path / "a.png", ["--ids", ",".join(ids)], capsys)
    assert [record["id"] for record in records] == ids
    for record in records:
        assert record.keys() == {"id", "regions"}
        assert _told(record["regions"]) == _told(regions.get(record["id"], []))
    assert records[1]["regions"] == []


@KINDS
def test_the_seed_chooses_the_records_and_the_same_seed_draws_the_same_bytes(
    kind: str, anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    label = "digits" if kind == "whole" else "textures"
    chosen = []
    for seed in ("0", "0", "1"):
        flags = ["--seed", seed, "--where", f"label={label}"]
        chosen.append(_locate(found := anomalous(kind), tmp_path / "a.png", flags, capsys))
        (tmp_path / "a.png").rename(tmp_path / f"{len(chosen)}.png")
    assert chosen[0] == chosen[1] != chosen[2]
    ids = [record["id"] for records in chosen for record in records]
    assert len(ids) == 3 * 5
    assert {Path(record).parts[0] for record in ids} == {label}
    regions = regions_of(found.run)
    for record in chosen[2]:
        assert _told(record["regions"]) == _told(regions.get(record["id"], []))
    first, again, other = ((tmp_path / f"{n}.png").read_bytes() for n in (1, 2, 3))
    assert first == again != other


def test_at_a_greater_rate_there_are_more_regions(
    anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    areas = []
    for fpr in ("0.01", "0.05", "0.4"):
        flags = ["--ids", ",".join(TURNED), "--fpr", fpr]
        records = _locate(anomalous("whole"), tmp_path / "a.png", flags, capsys)
        regions = [region for record in records for region in record["regions"]]
        assert all(region["p_value"] <= float(fpr) for region in regions)
        areas.append(sum(region["area"] for region in regions))
    assert areas[0] < areas[1] < areas[2]


def test_where_no_region_is_rare_enough_the_map_alone_is_drawn(
    anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    flags = ["--ids", TURNED[0], "--fpr", "0.0001"]
    (record,) = _locate(anomalous("whole"), tmp_path / "a.png", flags, capsys)
    assert record == {"id": TURNED[0], "regions": []}


def test_records_that_cannot_be_decoded_are_left_out_and_told(
    anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    found, output = anomalous("tiles"), tmp_path / "a.png"
    arguments = ["locate", "--model", str(found.model), "--output", str(output), "--json"]
    arguments += ["--input", str(found.images)]
    some = ["--where", "label=broken,turned"]
    status, out, err = run_command(["explore", *arguments, *some], capsys)
    said = (
        "2 of 5 chosen records cannot be decoded and are left out: "
        "1 corrupt, 1 not_an_image; the first is broken/cut.png: "
    )
    assert status == 0
    assert said in err
    assert {record["id"] for record in json.loads(out)["records"]} == set(TURNED)
    output.unlink()
    line = _refused([*arguments, "--where", "label=broken"], capsys)
    assert "none of the 2 chosen records can be decoded: 1 corrupt, 1 not_an_image" in line
    line = _refused([*arguments, "--ids", f"{TURNED[0]},{BROKEN[0]}"], capsys)
    assert f"cannot find or decode the record '{BROKEN[0]}' in {found.images}: 1 corrupt" in line
    assert not output.exists()


def test_the_function_gives_what_the_command_prints(
    anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    found, ids = anomalous("whole"), ",".join(TURNED)
    records = _locate(found, tmp_path / "a.png", ["--ids", ids, "--fpr", "0.2"], capsys)
    output = str(tmp_path / "b.png")
    result = locate(str(found.model), output, inputs=[str(found.images)], ids=ids, fpr=0.2)
    assert result == {"picture": output, "records": records}
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fpr", "0"], r"fpr must be above 0 and below 1. Received: 0\.0"),
        (["--fpr", "1"], r"fpr must be above 0 and below 1. Received: 1\.0"),
        (["--fpr", "-0.5"], r"fpr must be above 0 and below 1. Received: -0\.5"),
        (["--fpr", "nan"], "fpr must be .*Received: nan"),
        (["--fpr", "much"], "'much' is not a valid float"),
        (["--count", "17"], "1 to 16 records. Received: 17"),
        (["--ids", "gone.png"], "cannot find or decode the record 'gone.png' in "),
        (["--ids", "a", "--where", "label=1"], "--ids 'a' and label=1"),
        (["--where", "label=x"], "none of the .* records .* matches label=x"),
        (["--input", "/nowhere"], "no such file or folder: /nowhere"),
        (["--model", "/nowhere"], "/nowhere"),
        (["--model", "WITHOUT"], "does not support regions: it has no map"),
        (["--output", "a.jpg"], "must end in .png"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_status_2(
    flags: list[str],
    message: str,
    anomalous: Get,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: Capsys,
) -> None:
    if "WITHOUT" in flags:
        flags = ["--model", str(request.getfixturevalue("without_map"))]
    found, output = anomalous("whole"), tmp_path / "a.png"
    arguments = ["locate", "--model", str(found.model), "--output", str(output)]
    line = _refused([*arguments, "--input", str(found.images), *flags], capsys)
    assert line.startswith("latentbeam: ")
    assert re.search(message, line), line
    assert not output.exists()


@pytest.mark.parametrize("name", ["reconstruct", "denoise", "traverse", "interpolate"])
def test_other_pictures_of_a_bundle_of_tiles_are_refused(
    name: str, anomalous: Get, tmp_path: Path, capsys: Capsys
) -> None:
    found = anomalous("tiles")
    arguments = [name, "--model", str(found.model), "--input", str(found.images)]
    arguments += ["--output", str(tmp_path / "a.png")]
    arguments += ["--from", TURNED[0], "--to", TURNED[1]] if name == "interpolate" else []
    line = _refused(arguments, capsys)
    assert "tiles" in line
    assert "explore (except explore locate)" in line
    assert not (tmp_path / "a.png").exists()
