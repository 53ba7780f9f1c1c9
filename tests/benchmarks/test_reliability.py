"""The suite of faults: stored findings, its page, and that a finding can be bad."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.faults.finding import Finding, read_findings, write_findings
from benchmarks.faults.inputs import bad_by_reason, make_records
from benchmarks.faults.page import table
from benchmarks.page import put
from benchmarks.reliability import FAULTS
from pipelines.commands.score import score
from tests.support.project import PROJECT

Bundles = Callable[[str], Path]
_FINDING = Finding("killed", "goes on", tried=50, good=49, lost=3, seconds=90.0, detail="once")


def test_findings_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "findings.json"
    assert read_findings(path) == {}
    write_findings(path, {_FINDING.name: _FINDING})
    assert read_findings(path) == {_FINDING.name: _FINDING}


def test_the_page_in_the_documentation_takes_the_table(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    source = PROJECT / "docs" / "reference" / "reliability.md"
    page.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    put(page, "faults", table([_FINDING]))
    assert "| killed | goes on | 50 | **49** | 3 | 1.5 | once |" in page.read_text(encoding="utf-8")


def test_each_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)


def test_of_the_records_made_for_it_the_bad_ones_are_known(bundle: Bundles, tmp_path: Path) -> None:
    inputs = make_records(tmp_path, 2000, files=2)
    counts = score([f"{inputs}/*.parquet"], str(bundle("ae")), str(tmp_path / "run"))["records"]
    assert counts["rejected_by_reason"] == bad_by_reason(2000)
    assert (counts["scored"], counts["rejected"]) == (1980, 20)
    assert pq.read_table(tmp_path / "run" / "rejects").num_rows == 20
