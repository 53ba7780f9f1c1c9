"""A model's arrays as one `.npz` file, which needs no pickle to be read."""

import io
import posixpath
import zipfile
from collections.abc import Mapping

import numpy as np
from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError
from transforms.files import read_whole
from transforms.staging import output_errors

_MOST_BYTES = 1 << 30


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays of numbers and text, by name.

    Raises:
      OutputError: they cannot be written.
    """
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **dict(arrays))
    with (
        output_errors(posixpath.dirname(path)),
        FileSystems.create(path, mime_type="application/octet-stream") as file,
    ):
        file.write(content.getvalue())


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Raises:
      InputError: it cannot be read, is larger than 1 GiB, compressed, or holds Python objects.
    """
    try:
        content = io.BytesIO(read_whole(path, _MOST_BYTES))
        with zipfile.ZipFile(content) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its arrays are compressed")  # to what size, nobody knows
        with np.load(content, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read the model {path}: {error}") from error
