"""The files of `deploy/flink`, against the schemas of those that read them."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.local.schemas import compose_schema, flink_deployment_schema

pytestmark = pytest.mark.engines

_FLINK = Path(__file__).parents[2] / "deploy" / "flink"


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((_FLINK / name).read_text())


def test_compose_reads_the_compose_file() -> None:
    jsonschema.validate(_read("compose.yaml"), compose_schema())


def test_kubernetes_takes_the_deployment() -> None:
    deployment = _read("flinkdeployment.yaml")
    assert deployment["apiVersion"] == "flink.apache.org/v1beta1"
    assert deployment["kind"] == "FlinkDeployment"
    jsonschema.validate(deployment["spec"], flink_deployment_schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["flinkVersion"], "v1_2"),
        (["taskManger"], {}),
        (["taskManager", "podTemplate", "spec", "containers", 1, "port"], []),
    ],
)
def test_the_schema_finds_what_the_operator_would_not_take(path: list[Any], value: Any) -> None:
    spec = _read("flinkdeployment.yaml")["spec"]
    inner: Any = spec
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, flink_deployment_schema())
