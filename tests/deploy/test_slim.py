"""The smaller installation: what it leaves out are dependencies that this project has."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from pipelines.beam.run import versions
from tests.support.project import PROJECT

_FOLDER = PROJECT / "deploy" / "slim"


def _overrides() -> list[Requirement]:
    lines = (_FOLDER / "overrides.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_what_is_left_out_is_locked_and_installed_nowhere() -> None:
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    overrides = _overrides()
    assert overrides
    assert {override.name for override in overrides} <= locked
    for override in overrides:
        marker = override.marker
        assert marker is None or not marker.evaluate()


def test_what_takes_their_place_has_the_versions_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {r.name: r for r in map(Requirement, project["dependencies"])}
    kept = [override for override in _overrides() if override.marker is None]
    assert kept == [wanted["apache-beam"]]  # without the extra gcp, which others ask for
    assert f"'tensorflow-cpu{wanted['tensorflow'].specifier}'" in (_FOLDER / "README.md").read_text(
        encoding="utf-8"
    )


def test_tensorflow_for_processors_alone_counts_as_tensorflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {**versions(), "tensorflow-cpu": "2.21.9"}
    del known["tensorflow"], known["python"]

    def version(name: str) -> str:
        if name not in known:
            raise importlib.metadata.PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert versions()["tensorflow"] == "2.21.9"
    del known["keras"]
    with pytest.raises(importlib.metadata.PackageNotFoundError, match="keras"):
        versions()
