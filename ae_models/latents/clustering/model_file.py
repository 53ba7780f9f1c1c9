"""A clustering in one file: a NumPy archive of plain numbers, read without pickle."""

from typing import BinaryIO

import numpy as np

from ae_models.errors import InputError
from ae_models.latents.array_file import read_arrays, write_arrays
from ae_models.latents.clustering import CLUSTERINGS
from ae_models.latents.clustering.model import Clustering

_METHOD = "method"


def write_clustering(file: BinaryIO, clustering: Clustering) -> None:
    """Writes `model.npz`: `method`, and that method's arrays."""
    write_arrays(file, {_METHOD: np.asarray(clustering.method), **clustering.arrays()})


def read_clustering(file: BinaryIO, name: str) -> Clustering:
    """Reads the clustering in a `model.npz`.

    Args:
      file: a seekable binary file.
      name: the file's name in error messages.

    Raises:
      InputError: it contains no clustering.
    """
    arrays = read_arrays(file, name)
    try:
        method = str(arrays.pop(_METHOD))
        if any(np.isnan(array).any() for array in arrays.values()):
            raise ValueError("it contains NaN")
        return CLUSTERINGS[method].from_arrays(arrays)
    except KeyError as error:
        raise InputError(f"{name} contains no clustering: {error} is missing") from error
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{name} contains no clustering: {error}") from error
