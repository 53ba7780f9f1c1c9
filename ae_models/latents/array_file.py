"""Arrays in one NumPy archive of plain numbers and text, read without pickle."""

import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ae_models.errors import InputError


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an uncompressed `.npz`."""
    named: dict[str, Any] = dict(arrays)
    np.savez(file, allow_pickle=False, **named)


def read_arrays(file: BinaryIO, name: str) -> dict[str, np.ndarray]:
    """Reads what `write_arrays` wrote.

    Args:
      file: a seekable binary file.
      name: the file's name in error messages.

    Raises:
      InputError: it contains no arrays, objects, or compressed arrays, whose size is unknown.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its arrays are compressed")
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{name} contains no readable arrays: {error}") from error
