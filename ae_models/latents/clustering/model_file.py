"""A clustering as one file: a NumPy archive of plain numbers, read without pickle."""

from typing import BinaryIO

import numpy as np

from ae_models.errors import InputError
from ae_models.latents.array_file import read_arrays, write_arrays
from ae_models.latents.clustering import CLUSTERINGS
from ae_models.latents.clustering.model import Clustering

_METHOD = "method"


def write_clustering(file: BinaryIO, clustering: Clustering) -> None:
    """Writes `model.npz`: `method`, and the arrays of that."""
    write_arrays(file, {_METHOD: np.asarray(clustering.method), **clustering.arrays()})


def read_clustering(file: BinaryIO, name: str) -> Clustering:
    """The clustering of a `model.npz`.

    Args:
      file: its bytes, which can be read at any place.
      name: what errors call it.

    Raises:
      InputError: it holds no clustering.
    """
    arrays = read_arrays(file, name)
    try:
        method = str(arrays.pop(_METHOD))
        if any(np.isnan(array).any() for array in arrays.values()):
            raise ValueError("a number is missing in it")
        return CLUSTERINGS[method].from_arrays(arrays)
    except KeyError as error:
        raise InputError(f"{name} holds no clustering: there is no {error} in it") from error
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{name} holds no clustering: {error}") from error
