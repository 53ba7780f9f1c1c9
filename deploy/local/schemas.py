"""The published schemas against which the files of `deploy/flink` are checked."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import yaml

from deploy.local.artifacts import FetchError, fetched, run_client

_OPERATOR = "org.apache.flink:flink-kubernetes-operator-api:1.10.0"
_OPERATOR_SHA256 = "b1f44814e17514fa8395c61b329a3ee9087123a5bda5b21fe1a495d5182c30b6"
_RESOURCES = "META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
_COMPOSE = "github.com/compose-spec/compose-go/v2@v2.16.2"


def flink_deployment_schema() -> dict[str, Any]:
    """The JSON schema of `spec` in a FlinkDeployment of Flink's Kubernetes operator, v1beta1.

    Kubernetes drops unknown fields; with this schema, they are errors.

    Raises:
      FetchError: the operator's jar cannot be fetched, or is not the pinned one.
    """
    folder = fetched("flink-operator", _OPERATOR_SHA256.encode(), _fetch_operator)
    (jar,) = folder.glob("*.jar")
    with zipfile.ZipFile(jar) as archive:
        definition = yaml.safe_load(archive.read(_RESOURCES))
    versions = {version["name"]: version for version in definition["spec"]["versions"]}
    return _closed(versions["v1beta1"]["schema"]["openAPIV3Schema"]["properties"]["spec"])


def compose_schema() -> dict[str, Any]:
    """The compose specification's schema, from the module with which `docker compose` reads files;
    Go verifies it with its checksum database.

    Raises:
      FetchError: it cannot be fetched.
    """
    folder = fetched("compose-schema", _COMPOSE.encode(), _fetch_compose)
    return json.loads((folder / "compose-spec.json").read_text())


def _fetch_operator(folder: Path) -> None:
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
    maven = ["mvn", "--quiet", "--batch-mode", plugin]
    run_client([*maven, f"-Dartifact={_OPERATOR}", f"-DoutputDirectory={folder}"])
    (jar,) = folder.iterdir()
    if hashlib.sha256(jar.read_bytes()).hexdigest() != _OPERATOR_SHA256:
        raise FetchError(f"{jar.name} is not the pinned one")


def _fetch_compose(folder: Path) -> None:
    module = json.loads(run_client(["go", "mod", "download", "-json", _COMPOSE]))
    found = Path(module["Dir"]) / "schema" / "compose-spec.json"
    (folder / found.name).write_bytes(found.read_bytes())


def _closed(schema: Any) -> Any:
    """A schema that allows only listed properties, and both types for Kubernetes' int-or-string."""
    if isinstance(schema, list):
        return [_closed(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
    return closed
