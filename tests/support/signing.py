"""Manifests as one who knows their format would forge them."""

import hashlib
import json
from pathlib import Path
from typing import Any


def write_signed(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes `manifest.json` with a fingerprint that fits."""
    facts = {key: value for key, value in manifest.items() if key != "fingerprint"}
    digest = hashlib.sha256((json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())
    signed = {**facts, "fingerprint": digest.hexdigest()}
    text = json.dumps(signed, indent=2, sort_keys=True) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
