"""The arguments of `latentbeam train`, and whether a bundle is their result."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ae_models.bundles.bundle import open_bundle
from ae_models.config.configuration import Configuration, configuration_to_mapping
from ae_models.errors import BundleError
from ae_models.scores import AUTO
from transforms import ReadOptions
from transforms.records.where import Where
from transforms.storage.paths import is_local


@dataclasses.dataclass(frozen=True)
class TrainingCommand:
    """The images to train on, and how. Values to be derived from them are None in `config`."""

    inputs: tuple[str, ...]
    where: tuple[str, ...]
    reading: ReadOptions
    config: Configuration

    def wheres(self) -> list[Where]:
        """The parsed conditions. Raises ConfigError for one that cannot be parsed."""
        return [Where.parse(text) for text in self.where]

    def request(self) -> dict[str, Any]:
        """All arguments, as JSON values."""
        return {
            "inputs": list(self.inputs),
            "where": list(self.where),
            "reading": json.loads(json.dumps(self.reading.given())),
            "config": configuration_to_mapping(self.config),
        }


def finished_manifest(output: str, command: TrainingCommand) -> dict[str, Any] | None:
    """The manifest of a local bundle that this command wrote, or would write; None if there is
    none."""
    if not is_local(output):
        return None
    try:
        manifest = open_bundle(output).manifest
    except BundleError:
        return None
    request, training = command.request(), manifest["training"]
    same = all(training.get(name) == request[name] for name in ("inputs", "where", "reading"))
    asked, found = request["config"], manifest["config"]
    had = [*(found["scoring"]["scores"] or ()), *training.get("left_out", ())]
    if sorted(had) == sorted(asked["scoring"]["scores"] or ()):
        asked["scoring"]["scores"] = None
    return manifest if same and _agrees(asked, found) else None


def _agrees(asked: Any, found: Any) -> bool:
    """Whether a configuration matches the request, wherever the request sets a value."""
    if isinstance(asked, Mapping):
        return isinstance(found, Mapping) and all(
            _agrees(value, found.get(name)) for name, value in asked.items()
        )
    return asked in (None, AUTO) or bool(asked == found)
