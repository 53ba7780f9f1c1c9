"""`.keras` files: a description of a network, and its weights, in a zip file."""

import json
import zipfile
from pathlib import Path
from typing import Any

_CONFIG = "config.json"
_MEMBERS = [_CONFIG, "metadata.json", "model.weights.h5"]


def read_description(path: Path, name: str, most_bytes: int) -> Any:
    """What the file would have Keras build, of which nothing is built.

    Args:
      path: the file.
      name: what errors call it.
      most_bytes: of the description.

    Raises:
      ValueError: it is no Keras file, holds something else besides, or describes too much.
    """
    text = b""
    try:
        with zipfile.ZipFile(path) as archive:
            if is_whole := sorted(archive.namelist()) == _MEMBERS:
                with archive.open(_CONFIG) as file:
                    text = file.read(most_bytes + 1)
        described = json.loads(text) if is_whole and len(text) <= most_bytes else None
    # NotImplementedError, RuntimeError: a compression or an encryption that Python does not read.
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} is no Keras file: {error}") from error
    if not is_whole:
        raise ValueError(f"{name} must hold {', '.join(_MEMBERS)}, no other files")
    if len(text) > most_bytes:
        raise ValueError(f"{name}: {_CONFIG} has more than {most_bytes} bytes")
    return described


def save_model(model: Any, path: Path) -> None:
    """Saves a network of Keras, compressed, which Keras' own files are not: a tenth less."""
    stored = path.with_stem(f"{path.stem}-stored")
    model.save(stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w") as archive:
        for member in source.infolist():
            archive.writestr(member, source.read(member), zipfile.ZIP_DEFLATED)
    stored.unlink()
