"""`deploy/dataflow`: the template's parameters, its entry point, and what the image copies."""

import json
import re
import runpy
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import ContainerSpec

from pipelines.beam.flags import check_beam_flags
from pipelines.cli import cli
from tests.support.project import PROJECT

_FOLDER = PROJECT / "deploy" / "dataflow"


def _metadata() -> dict[str, Any]:
    return json.loads((_FOLDER / "metadata.json").read_text())


def test_the_specification_is_one_that_the_service_takes() -> None:
    # In the form that `gcloud dataflow flex-template build` creates.
    parts = {"image": "registry.example/latentbeam:1", "sdkInfo": {"language": "PYTHON"}}
    spec = ContainerSpec.from_json(json.dumps({**parts, "metadata": _metadata()}))
    names = [parameter.name for parameter in spec.metadata.parameters]
    assert len(set(names)) == len(names) > 5
    required = {found.name for found in spec.metadata.parameters if not found.is_optional}
    assert required == {"input", "model", "output", "sdk_container_image"}
    for parameter in spec.metadata.parameters:
        assert parameter.label
        assert parameter.help_text
        assert all(re.compile(regex) for regex in parameter.regexes)


def test_every_parameter_is_a_flag_and_every_required_flag_a_parameter() -> None:
    own = cli.commands["score"].params
    names = {parameter["name"] for parameter in _metadata()["parameters"]}
    known = {option.removeprefix("--") for parameter in own for option in parameter.opts}
    check_beam_flags([f"--{name}=x" for name in names - known], own)
    assert {"input", "model", "output"} <= names & known
    needed = {parameter.opts[0] for parameter in own if parameter.required}
    assert {name.removeprefix("--") for name in needed} <= names


def test_the_entry_builds_the_graph_from_the_launcher_s_arguments(
    bundle: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parameters = [
        "--input=builtin:digits",
        f"--model={bundle('vae')}",
        "--output=gs://some-bucket/run",
        "--sdk_container_image=registry.example/latentbeam:1",
        "--portable_schema=true",
        "--runner=DataflowRunner",
        "--project=a-project",
        "--region=europe-west4",
        "--job_name=scoring",
        "--temp_location=gs://some-bucket/temp",
        "--no_auth",
        "--dry_run=True",
    ]
    monkeypatch.setattr("sys.argv", ["main.py", *parameters])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(_FOLDER / "main.py"), run_name="__main__")
    assert not exit_.value.code
    assert "checked: the graph of job scoring" in capsys.readouterr().out


def test_switches_are_given_or_left_out() -> None:
    arguments = runpy.run_path(str(_FOLDER / "main.py"))["score_arguments"]
    given = ["--input=gs://b/a", "--portable_schema=true", "--error_maps=false"]
    found = arguments(given)
    assert found[:3] == ["score", "--input=gs://b/a", "--portable_schema"]
    assert not any("error_maps" in argument for argument in found)


def test_the_image_copies_what_is_there_and_has_the_beam_of_the_lock() -> None:
    text = (_FOLDER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    paths = [path for line in copied for path in line.split()]
    assert {"requirements.lock", "setup.py", "deploy/dataflow/main.py"} <= set(paths)
    # The packages may be installed instead of being beside the tests.
    missing = [path for path in paths if not (PROJECT / path).exists()]
    assert [path for path in missing if find_spec(path) is None] == []
    (locked,) = re.findall(
        r"^apache-beam==(\S+)", (PROJECT / "requirements.lock").read_text(), re.MULTILINE
    )
    assert f"apache/beam_python3.11_sdk:{locked} " in text
    assert "--no-deps --require-hashes -r requirements.lock" in text
