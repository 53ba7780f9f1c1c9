"""From the text of an `--input` to its source."""

import collections
import os
from collections.abc import Sequence

from ae_models.config.family import Family
from ae_models.errors import InputError
from transforms.sources.image_files import ImageFiles
from transforms.sources.npz import split_npz
from transforms.sources.options import USUAL, ReadOptions
from transforms.sources.source import Source
from transforms.storage.files import fixed_root, is_folder
from transforms.storage.paths import common_root, is_local, matches

_BUILTIN = "builtin:"
# Imported when one is read: TFRecord takes TensorFlow, which takes seconds.
_KINDS: Family[type[Source]] = Family(
    {
        "digits": "transforms.sources.digits:Digits",
        "image_files": "transforms.sources.image_files:ImageFiles",
        "npz": "transforms.sources.npz:NpzArrays",
        "parquet": "transforms.sources.parquet:ParquetFiles",
        "tfrecord": "transforms.sources.tfrecord:TFRecordFiles",
        "webdataset": "transforms.sources.webdataset:WebDataset",
    }
)
_PATTERNS = {
    "npz": ("*.npz",),
    "parquet": ("*.parquet",),
    "webdataset": ("*.tar", "*.tar.gz"),
    "tfrecord": ("*.tfrecord", "*.tfrecord.gz", "*.tfrecord-*", "*.tfrecord*-of-*"),
}


def resolve_inputs(uris: Sequence[str], options: ReadOptions = USUAL) -> list[Source]:
    """The source of each URI.

    Ids are relative to the folder given; where the URIs lie in different folders, to the deepest
    folder that holds them all, so that they stay unique.

    Raises:
      InputError: none is given, one is of no known kind, or two plainly hold the same records.
    """
    if not uris:
        raise InputError("no input given")
    kinds = [_kind(uri) for uri in uris]
    _check_apart(uris, kinds)
    roots = [fixed_root(split_npz(uri)[0]) for uri in uris if not uri.startswith(_BUILTIN)]
    distinct = {os.path.abspath(root) if is_local(root) else root for root in roots}
    shared = common_root(roots) if len(distinct) > 1 else next(iter(roots), "")
    return [kind(uri, shared, options) for kind, uri in zip(kinds, uris, strict=True)]


def _kind(uri: str) -> type[Source]:
    if uri.startswith(_BUILTIN):
        if uri != "builtin:digits":
            raise InputError(f"unknown embedded data {uri!r}; known: builtin:digits")
        return _KINDS["digits"]
    for name, patterns in _PATTERNS.items():
        if matches(split_npz(uri)[0], patterns):
            return _KINDS[name]
    return _KINDS["image_files"]


def _check_apart(uris: Sequence[str], kinds: Sequence[type[Source]]) -> None:
    """Refuses the same path twice, and an image folder beside something in it. Patterns that
    overlap in other ways are found by `verify`."""
    paths = [os.path.abspath(uri) if is_local(uri) else uri.rstrip("/") for uri in uris]
    counts = collections.Counter(paths)
    if twice := sorted({uri for uri, path in zip(uris, paths, strict=True) if counts[path] > 1}):
        raise InputError(f"input given twice: {', '.join(twice)}")
    images = [
        (uri, path)
        for uri, path, kind in zip(uris, paths, kinds, strict=True)
        if kind is ImageFiles
    ]
    for folder, folder_path in images:
        for uri, path in images:
            if path.startswith(f"{folder_path.rstrip('/')}/") and is_folder(folder_path):
                raise InputError(f"{uri} lies in {folder}: its records would be read twice")
