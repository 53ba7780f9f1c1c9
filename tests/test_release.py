"""The files that describe a release agree."""

import re
import tomllib

import yaml

from tests.support.project import PROJECT


def test_version_and_date_are_the_same_everywhere() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\S+) - (\d{4}-\d{2}-\d{2})$", changes, re.MULTILINE)
    assert released[0] == (project["version"], citation["date-released"])
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert [date for _, date in released] == sorted((date for _, date in released), reverse=True)


def test_changes_are_of_the_kinds_of_keep_a_changelog() -> None:
    changes = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^### (.+)$", changes, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
