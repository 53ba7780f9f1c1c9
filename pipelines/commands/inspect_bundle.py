"""`latentbeam inspect`: describes a model bundle, after checking that it is complete."""

from typing import Any

import yaml

from ae_models.bundles.bundle import open_bundle
from transforms.scoring.bundle_cache import local_bundle


def inspect(bundle: str) -> dict[str, Any]:
    """The manifest of a bundle whose files match it.

    Raises:
      BundleError: the bundle is missing or has been modified.
    """
    return open_bundle(local_bundle(bundle)).manifest


def summary(manifest: dict[str, Any]) -> str:
    """The manifest for people, as YAML: everything except the files' digests."""
    shown = {key: value for key, value in manifest.items() if key != "files"}
    return yaml.safe_dump(shown, sort_keys=False).rstrip()
