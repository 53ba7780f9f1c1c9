"""From the text of an `--input` to its source."""

from collections.abc import Sequence

from ae_models.errors import InputError
from transforms.files import common_root, fixed_root, matches
from transforms.sources.digits import Digits
from transforms.sources.image_files import ImageFiles
from transforms.sources.npz import NpzArrays
from transforms.sources.parquet import ParquetFiles
from transforms.sources.source import Source
from transforms.sources.tfrecord import TFRecordFiles

_BUILTIN = "builtin:"
_KINDS: tuple[tuple[type[Source], tuple[str, ...]], ...] = (
    (NpzArrays, ("*.npz", "*.npz#*")),
    (ParquetFiles, ("*.parquet",)),
    (TFRecordFiles, ("*.tfrecord", "*.tfrecord.gz", "*.tfrecord-*", "*.tfrecord*-of-*")),
)


def resolve_inputs(uris: Sequence[str]) -> list[Source]:
    """The source of each URI.

    Ids are relative to the folder given; where the URIs lie in different folders, to the deepest
    folder that holds them all, so that they stay unique.

    Raises:
      InputError: none is given, one is given twice, or is of no known kind.
    """
    if not uris:
        raise InputError("no input given")
    twice = sorted({uri for uri in uris if uris.count(uri) > 1})
    if twice:
        raise InputError(f"input given twice: {', '.join(twice)}")
    roots = [fixed_root(uri.partition("#")[0]) for uri in uris if not uri.startswith(_BUILTIN)]
    shared = common_root(roots) if len(set(roots)) > 1 else next(iter(roots), "")
    return [_kind(uri)(uri, shared) for uri in uris]


def _kind(uri: str) -> type[Source]:
    if uri.startswith(_BUILTIN):
        if uri != "builtin:digits":
            raise InputError(f"unknown embedded data {uri!r}; known: builtin:digits")
        return Digits
    if matches(uri, ("*.tar",)):
        raise InputError(f"WebDataset archives cannot be read yet: {uri}")
    for kind, patterns in _KINDS:
        if matches(uri, patterns):
            return kind
    return ImageFiles
