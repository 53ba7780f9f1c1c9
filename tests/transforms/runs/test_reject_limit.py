"""`--max_rejects`: a failing run stops, and reports its counts."""

import dataclasses
import functools
import io
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.utils.shared import Shared
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binom

from ae_models.errors import ConfigError, TooManyRejectsError
from pipelines.cli import main
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from transforms import ReadImages, ScoreImages, WriteScores
from transforms.parts.checkpoints import committed
from transforms.parts.partition import Part
from transforms.parts.write_part import WritePart
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import PassedOver
from transforms.records.rejects import REJECTS_SCHEMA
from transforms.records.tallies import tally
from transforms.runs.ledger import REJECTS
from transforms.runs.reject_limit import RejectLimit
from transforms.runs.reject_watch import RejectWatch, WatchRejects
from transforms.runs.run_lock import held
from transforms.runs.shards import rejected_by_reason
from transforms.scoring.score import ScoredRecords

Bundles = Callable[[str], Path]


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        ("1000", RejectLimit(count=1000), "1000"),
        (1, RejectLimit(count=1), "1"),
        (0, RejectLimit(count=0), "0"),
        ("0", RejectLimit(count=0), "0"),
        ("1%", RejectLimit(share=Fraction(1, 100)), "1%"),
        ("0.5%", RejectLimit(share=Fraction(1, 200)), "0.5%"),
        ("100%", RejectLimit(share=Fraction(1)), "100%"),
        (0.01, RejectLimit(share=Fraction(1, 100)), "1%"),
        (" .29 ", RejectLimit(share=Fraction(29, 100)), "29%"),
        ("0.0", RejectLimit(share=Fraction(0)), "0%"),
        (RejectLimit(count=3), RejectLimit(count=3), "3"),
    ],
)
def test_counts_and_shares(value: Any, limit: RejectLimit, text: str) -> None:
    assert RejectLimit.parse(value) == limit
    assert str(limit) == text
    assert RejectLimit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    "value",
    [
        *("", "many", "1.5", 1.0, "-1", -1, "101%", "-1%", "nan", "inf", "nan%", True, "1 000"),
        *("9" * 5000, "1e999999999%", "1e-999999999%", "1e-999999999"),
    ],
)
def test_what_is_neither_is_refused_by_its_value(value: Any) -> None:
    with pytest.raises(ConfigError, match="Received: "):
        RejectLimit.parse(value)


@pytest.mark.parametrize("limit", [{}, {"count": 1, "share": Fraction(1, 2)}, {"count": -1}])
def test_a_limit_is_one_of_the_two(limit: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Received: "):
        RejectLimit(**limit)


@given(st.integers(0, 100), st.integers(0, 3000), st.integers(0, 3000))
def test_a_share_is_exact_and_waits_for_records(percent: int, rejected: int, more: int) -> None:
    """0.29 * 100 is less than 29 in floating point."""
    read = rejected + more
    limit = RejectLimit.parse(f"0.{percent:02d}" if percent < 100 else "100%")
    too_many = 100 * rejected > percent * read
    assert limit.is_exceeded(rejected, read, finished=True) == too_many
    if limit.is_exceeded(rejected, read, finished=False):
        assert too_many
        assert read >= 1000
        assert binom.sf(rejected - 1, read, percent / 100) < 1e-3
    elif read >= 1000 and 0 < percent < 100:
        assert binom.sf(rejected - 1, read, percent / 100) > 1e-8
    count = RejectLimit(count=percent)
    assert count.is_exceeded(rejected, read, finished=False) == (rejected > percent)


@pytest.fixture(scope="module")
def bad_rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    """3,000 images: every tenth is not an image, and the last ten have zero bytes."""
    file = io.BytesIO()
    Image.new("L", (8, 8), 99).save(file, "PNG")
    images = [b"no image" if row % 10 == 0 else file.getvalue() for row in range(2990)]
    table = pa.table({"image": pa.array([*images, *[b""] * 10], pa.binary())})
    path = tmp_path_factory.mktemp("bad") / "set.parquet"
    pq.write_table(table, path, row_group_size=100)
    return str(path)


def _run(
    bundle: Bundles, bad_rows: str, output: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> tuple[int, str]:
    arguments = ["score", "--input", bad_rows, "--model", str(bundle("ae"))]
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--output", str(output), *flags])
    progress, *lines = capsys.readouterr().err.splitlines()
    assert progress == "scoring ..."
    return int(exit_.value.code or 0), "\n".join(lines)


def _assert_no_result(output: Path) -> dict[str, Any]:
    """Checks that nothing could be mistaken for a result, and returns the contents of
    `failed.json`."""
    names = {path.name for path in output.iterdir() if not path.name.startswith(".staging-")}
    assert names == {"failed.json"}
    return json.loads((output / "failed.json").read_text())


@pytest.mark.parametrize("limit", ["30", "2%"])
def test_a_run_with_too_many_rejects_ends_early_with_one_line(
    bundle: Bundles, bad_rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    output = tmp_path / "run"
    status, error = _run(bundle, bad_rows, output, capsys, "--max_rejects", limit)
    assert status == 1
    pattern = (
        rf"latentbeam: (\d+) of (\d+) records were rejected, more than max_rejects = {limit} "
        rf"\(\d+ not_an_image\); examples are in failed\.json of {output}"
    )
    found = re.fullmatch(pattern, error)
    assert found, error
    rejected, read = map(int, found.groups())
    assert 30 < rejected < read < 3000
    failed = _assert_no_result(output)
    assert failed["records"] == {
        "read": read,
        "scored": read - rejected,
        "rejected": rejected,
        "rejected_by_reason": {"not_an_image": rejected},
    }
    assert not failed["complete"]
    assert failed["max_rejects"] == limit
    assert failed["inputs"] == [bad_rows]
    assert len(failed["examples"]) == 20
    assert failed["examples"][1] == {
        "id": "set.parquet#10",
        "source": bad_rows,
        "stage": "decode",
        "reason": "not_an_image",
        "message": "text, not an image",
    }


@pytest.mark.parametrize("limit", ["308", "10.2%"])
def test_the_last_rejects_are_counted_before_anything_is_moved(
    bundle: Bundles,
    bad_rows: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    limit: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """309 of 3,000: here the workers, which count too, do not see them."""
    monkeypatch.setattr(WatchRejects, "process", lambda self, batch: ())
    output = tmp_path / "run"
    status, error = _run(bundle, bad_rows, output, capsys, "--max_rejects", limit)
    assert status == 1
    assert f"309 of 3000 records were rejected, more than max_rejects = {limit} " in error
    assert "(299 not_an_image, 10 empty)" in error
    failed = _assert_no_result(output)
    assert failed["complete"]
    assert failed["records"]["rejected_by_reason"] == {"empty": 10, "not_an_image": 299}
    assert len(failed["examples"]) == 20
    assert failed["examples"][0]["stage"] == "decode"


@pytest.mark.parametrize("limit", ["309", "10.3%"])
def test_a_run_within_its_limit_succeeds_and_takes_the_failure_away(
    bundle: Bundles, bad_rows: str, tmp_path: Path, limit: str
) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "failed.json").write_text("{}")
    ledger = score([bad_rows], str(bundle("ae")), str(output), max_rejects=limit)
    assert ledger["records"]["rejected"] == 309
    assert sorted(path.name for path in output.iterdir()) == [
        *("_SUCCESS", "passed_over", "regions", "rejects", "run.json", "scores")
    ]
    assert verify(str(output), [bad_rows])["ok"]


def test_a_run_in_parts_is_held_to_one_limit_and_goes_on_with_another(
    bundle: Bundles, bad_rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here too, only rejects of finished parts are counted: 50 each."""
    monkeypatch.setattr(WatchRejects, "process", lambda self, batch: ())
    output = tmp_path / "run"
    run = functools.partial(
        score, [bad_rows], str(bundle("ae")), str(output), checkpoint_every=500, resume=True
    )
    with pytest.raises(TooManyRejectsError, match="150 of 1500 records were rejected"):
        run(max_rejects=149)
    assert json.loads((output / "failed.json").read_text())["complete"] is False
    assert not (output / "_SUCCESS").exists()
    with pytest.raises(TooManyRejectsError, match="309 of 3000 records were rejected"):
        run(max_rejects="10.2%")
    assert run(max_rejects=309)["records"]["rejected"] == 309
    assert verify(str(output), [bad_rows])["ok"]
    assert not (output / "failed.json").exists()


def test_a_bad_start_is_no_bad_share(bundle: Bundles, tmp_path: Path) -> None:
    """The first 50 records of 1,200 are bad: 4.2%."""
    file = io.BytesIO()
    Image.new("L", (8, 8), 99).save(file, "PNG")
    images = [b"no image"] * 50 + [file.getvalue()] * 1150
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet", row_group_size=50)
    for limit in ("4.2%", "4%"):
        pipeline = beam.Pipeline("FnApiRunner")
        read = pipeline | ReadImages(str(tmp_path / "a.parquet"), limits=BatchLimits(rows=25))
        scored = read | ScoreImages(str(bundle("ae")))
        scored | WriteScores(str(tmp_path / limit), max_rejects=limit)
        if limit == "4%":
            with pytest.raises(TooManyRejectsError, match=r"^50 of 1200 .* max_rejects = 4% "):
                pipeline.run()
        else:
            pipeline.run().wait_until_finish()
    assert (tmp_path / "4.2%" / "_SUCCESS").exists()
    assert not (tmp_path / "4%" / "_SUCCESS").exists()


@pytest.mark.slow
def test_two_worker_processes_are_held_to_the_limit_together(
    bundle: Bundles, bad_rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    output = tmp_path / "run"
    status, error = _run(bundle, bad_rows, output, capsys, "--max_rejects", "300", *flags)
    assert status == 1
    assert "max_rejects = 300" in error
    _assert_no_result(output)


def test_a_limit_needs_rejects_and_a_value(bundle: Bundles, bad_rows: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1\.5"):
        score([bad_rows], str(bundle("ae")), str(tmp_path / "run"), max_rejects=1.5)
    assert not (tmp_path / "run").exists()
    pipeline = beam.Pipeline("FnApiRunner")
    scored = pipeline | ReadImages(bad_rows) | ScoreImages(str(bundle("ae")))
    with pytest.raises(ConfigError, match="needs the rejects, but scores alone are written"):
        scored.scores | WriteScores(str(tmp_path / "run"), max_rejects=1)


def _rejects(count: int) -> pa.RecordBatch:
    values = [["a"] * count, ["f"] * count, ["read"] * count, ["empty"] * count, [""] * count]
    return pa.RecordBatch.from_arrays(list(map(pa.array, values)), schema=REJECTS_SCHEMA)


def test_a_bundle_that_is_tried_again_is_counted_once(tmp_path: Path) -> None:
    watch, seen = RejectWatch(RejectLimit(count=10), str(tmp_path), {}), Shared()

    def attempt(count: int, fails: bool) -> None:
        """Processes a bundle in a new instance, as after a failure."""
        stage = WatchRejects(watch, REJECTS, seen)
        stage.setup()
        stage.start_bundle()
        try:
            list(stage.process(_rejects(count)))
            if not fails:
                stage.finish_bundle()
        finally:
            stage.teardown()

    for _ in range(4):
        attempt(6, fails=True)
    attempt(6, fails=False)
    attempt(4, fails=False)
    for _ in range(2):
        with pytest.raises(TooManyRejectsError, match="11 of 11 records"):
            attempt(1, fails=False)


def test_a_part_that_failed_and_is_tried_again_in_this_process_is_counted_once(
    tmp_path: Path,
) -> None:
    """The first attempt sees six rejects, then fails in its last stage because of a broken part."""
    watch = RejectWatch(RejectLimit(count=10), str(tmp_path), {})
    part = Part(0, (), passed_over=PassedOver(), records=6, files=())
    broken = dataclasses.replace(part, passed_over="broken")  # type: ignore[arg-type]

    def attempt(part: Part) -> None:
        with beam.Pipeline("FnApiRunner") as pipeline:
            scores = pipeline | "Scores" >> beam.Create([], reshuffle=False)
            rejects = pipeline | "Rejects" >> beam.Create([_rejects(3), _rejects(3)])
            tallies = pipeline | "Tallies" >> beam.Create([tally(read=6)])
            scored = ScoredRecords(scores, rejects, tallies)
            scored | WritePart(str(tmp_path), "one", part=part, watch=watch)

    for _ in range(2):
        with pytest.raises(AttributeError, match="no attribute"):
            attempt(broken)
    attempt(part)
    result = committed(str(tmp_path), "one", 0)
    assert result is not None
    assert rejected_by_reason(result.shards) == {"empty": 6}


def test_a_run_that_begins_takes_the_last_failure_away(tmp_path: Path) -> None:
    (tmp_path / "failed.json").write_text("{}")
    with held(str(tmp_path)):
        assert not (tmp_path / "failed.json").exists()
