"""The table of faults."""

from collections.abc import Sequence

from benchmarks.faults.finding import Finding
from benchmarks.page import markdown, when_and_where

_NAMES = ["fault", "expected", "trials", "as expected", "records lost", "minutes", "details"]


def table(findings: Sequence[Finding]) -> str:
    """Markdown: when and where, and one line per fault."""
    return f"{when_and_where()}.\n\n" + markdown(_NAMES, map(_cells, findings))


def _cells(finding: Finding) -> list[str]:
    return [
        finding.name,
        finding.asked,
        f"{finding.tried:,}",
        f"**{finding.good:,}**",
        f"{finding.lost:,}",
        f"{finding.seconds / 60:.1f}",
        finding.detail or " ",
    ]
