"""Arrays as one NumPy archive of plain numbers and text, read without pickle."""

import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ae_models.errors import InputError


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an `.npz`, not compressed."""
    named: dict[str, Any] = dict(arrays)
    np.savez(file, allow_pickle=False, **named)


def read_arrays(file: BinaryIO, name: str) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Args:
      file: its bytes, which can be read at any place.
      name: what errors call it.

    Raises:
      InputError: it holds no arrays, compressed ones (to what size, nobody knows) or objects.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its arrays are compressed")
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{name} holds no arrays: {error}") from error
