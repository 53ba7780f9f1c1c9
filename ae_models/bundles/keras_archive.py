"""`.keras` files: the description of a network and its weights, in a zip file."""

import json
import zipfile
from pathlib import Path
from typing import Any

_CONFIG = "config.json"
_MEMBERS = [_CONFIG, "metadata.json", "model.weights.h5"]


def read_description(path: Path, name: str, most_bytes: int) -> Any:
    """What Keras would build from the file, without building anything.

    Args:
      path: the file.
      name: the file's name in error messages.
      most_bytes: the size limit of the description.

    Raises:
      ValueError: it is not a Keras file, contains other files, or its description is too large.
    """
    text = b""
    try:
        with zipfile.ZipFile(path) as archive:
            if is_whole := sorted(archive.namelist()) == _MEMBERS:
                with archive.open(_CONFIG) as file:
                    text = file.read(most_bytes + 1)
        described = json.loads(text) if is_whole and len(text) <= most_bytes else None
    # NotImplementedError, RuntimeError: a compression or encryption that Python does not support.
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} is not a Keras file: {error}") from error
    if not is_whole:
        raise ValueError(f"{name} must contain {', '.join(_MEMBERS)} and no other files")
    if len(text) > most_bytes:
        raise ValueError(f"{name}: {_CONFIG} is larger than {most_bytes} bytes")
    return described


def save_model(model: Any, path: Path) -> None:
    """Saves a Keras network compressed, a tenth smaller than the files that Keras writes."""
    stored = path.with_stem(f"{path.stem}-stored")
    model.save(stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w") as archive:
        for member in source.infolist():
            archive.writestr(member, source.read(member), zipfile.ZIP_DEFLATED)
    stored.unlink()
