"""A clustering as one file: a NumPy archive of plain numbers, read without pickle."""

import zipfile
from typing import Any, BinaryIO

import numpy as np

from ae_models.clustering import CLUSTERINGS
from ae_models.clustering.model import Clustering
from ae_models.errors import InputError

_METHOD = "method"


def write_clustering(file: BinaryIO, clustering: Clustering) -> None:
    """Writes `model.npz`: `method`, and the arrays of that."""
    arrays: dict[str, Any] = {_METHOD: np.asarray(clustering.method), **clustering.arrays()}
    np.savez(file, **arrays)


def read_clustering(file: BinaryIO, name: str) -> Clustering:
    """The clustering of a `model.npz`.

    Args:
      file: its bytes, which can be read at any place.
      name: what errors call it.

    Raises:
      InputError: it holds no clustering.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {member: archive[member] for member in archive.files}
        method = str(arrays.pop(_METHOD))
        if any(np.isnan(array).any() for array in arrays.values()):
            raise ValueError("a number is missing in it")
        return CLUSTERINGS[method].from_arrays(arrays)
    except KeyError as error:
        raise InputError(f"{name} holds no clustering: there is no {error} in it") from error
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{name} holds no clustering: {error}") from error
