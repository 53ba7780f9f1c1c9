"""From the text of an `--input` to its source."""

import collections
import itertools
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence

from ae_models.config.family import Family
from ae_models.errors import InputError
from transforms.records.passed_over import PassedOver
from transforms.records.signatures import START_BYTES, foreign
from transforms.records.text import printable
from transforms.sources.kinds import ENDINGS, has_ending, kind_by_bytes, kind_by_name
from transforms.sources.npz import split_npz
from transforms.sources.options import FORMATS, USUAL, ReadOptions
from transforms.sources.source import Source
from transforms.storage import remote
from transforms.storage.exclusion import excluder
from transforms.storage.files import fixed_root, is_folder, list_files, open_binary
from transforms.storage.paths import common_root, is_glob, is_local
from transforms.storage.walk import Rules

_BUILTIN = "builtin:"
_EMBEDDED = ("digits", "parts")
# Imported when one is read: TFRecord imports TensorFlow, which takes seconds.
_KINDS: Family[type[Source]] = Family(
    {
        "digits": "transforms.sources.digits:Digits",
        "images": "transforms.sources.image_files:ImageFiles",
        "npz": "transforms.sources.npz:NpzArrays",
        "parquet": "transforms.sources.parquet:ParquetFiles",
        "parts": "transforms.sources.parts:Parts",
        "tfrecord": "transforms.sources.tfrecord:TFRecordFiles",
        "webdataset": "transforms.sources.webdataset:WebDataset",
    }
)
_WITH_COLUMNS = ("parquet", "tfrecord", "npz")
_MOST_LOOKED_INTO = 48  # files of one input whose first bytes are read
_MOST_REMOTE = 1000  # names of a remote folder: one page of a store's response
_TAKEN = (
    "supported inputs: image files "
    f"({', '.join(ENDINGS['images'])}), Parquet, TFRecord, tar (WebDataset), NumPy .npz and .npy; "
    f"pass --format {'|'.join(FORMATS)} if neither name nor first bytes identify the format"
)


def resolve_inputs(uris: Sequence[str], options: ReadOptions = USUAL) -> list[Source]:
    """The source of each URI. Its kind is given by `options`, otherwise by its name or content.

    Ids are relative to the folder given. If the URIs are in different folders, they are relative to
    the deepest folder that contains them all, so that they stay unique.

    Raises:
      InputError: no URI is given, one is of an unknown kind, or two clearly contain the same
        records.
    """
    if not uris:
        raise InputError("no input given")
    kinds = [_kind(uri, options) for uri in uris]
    _check_columns(uris, kinds, options)
    _check_apart(uris, kinds)
    roots = [fixed_root(split_npz(uri)[0]) for uri in uris if not uri.startswith(_BUILTIN)]
    distinct = {os.path.abspath(root) if is_local(root) else root for root in roots}
    shared = common_root(roots) if len(distinct) > 1 else next(iter(roots), "")
    return [_KINDS[kind](uri, shared, options) for kind, uri in zip(kinds, uris, strict=True)]


def _kind(uri: str, options: ReadOptions) -> str:
    if uri.startswith(_BUILTIN):
        name = uri.removeprefix(_BUILTIN)
        if name not in _EMBEDDED:
            known = ", ".join(f"{_BUILTIN}{name}" for name in _EMBEDDED)
            raise InputError(f"unknown embedded data {uri!r}; known: {known}")
        return name
    if options.format is not None:
        return options.format
    path, part = split_npz(uri)
    named = "npz" if part else kind_by_name(path)
    if is_local(path) and not is_glob(path) and os.path.isdir(path):
        return _kind_held(path, options, named)  # Spark's set.parquet is a folder of Parquet files
    if named is not None:
        return named
    # `list_files` raises if nothing is there, and recognises folders that begin with empty markers.
    if is_glob(path) or is_folder(path) or next(list_files(path), path) != path:
        return _kind_held(path, options)
    if (found := kind_by_bytes(path)) is None:
        raise InputError(f"{_what_is(path)}; {_TAKEN}")
    return found


def _kind_held(uri: str, options: ReadOptions, named: str | None = None) -> str:
    """The kind of the files of a folder or pattern: images if one is an image, otherwise the only
    kind found; the kind that the folder's name indicates if none is found."""
    found: dict[str, str] = {}
    others: list[str] = []
    count = looked_into = 0
    passed_over = PassedOver()
    for path in _listed(uri, options, passed_over):
        kind = kind_by_name(path)
        if kind is None and not has_ending(path) and looked_into < _MOST_LOOKED_INTO:
            looked_into += is_local(path)
            kind = kind_by_bytes(path) if is_local(path) else None
        if kind == "images":
            return kind
        if kind is not None:
            found.setdefault(kind, path)
        elif len(others) < _MOST_LOOKED_INTO:
            others.append(path)
        count += 1
    if not found and is_glob(uri):  # files with an unrecognised ending: all of one kind, or none
        found = _by_bytes(others if is_local(uri) else others[:1])
    if len(found) > 1:
        held = ", ".join(f"{kind} ({printable(path)})" for kind, path in sorted(found.items()))
        raise InputError(f"{uri} contains several kinds of input: {held}; choose one with --format")
    kind = next(iter(found), named)
    if kind is None:
        such = f", for example {_what_is(others[0])}" if others else ""
        raise InputError(
            f"no input found in {uri}: {count} files{such}{passed_over.in_brackets()}; {_TAKEN}"
        )
    return kind


def _by_bytes(paths: Iterable[str]) -> dict[str, str]:
    kinds = ((kind_by_bytes(path), path) for path in paths)
    return {kind: path for kind, path in kinds if kind is not None}


def _listed(uri: str, options: ReadOptions, passed_over: PassedOver) -> Iterator[str]:
    """The files of a folder or pattern that would be read; of many remote files, the first."""
    if is_local(uri) or is_glob(uri):
        files = list_files(
            uri, passed_over, exclude=options.exclude, follow_links=options.follow_links
        )
        return itertools.islice(files, None if is_local(uri) else _MOST_REMOTE)
    try:
        found = remote.matched(remote.below(uri), _MOST_REMOTE)
    except OSError as error:
        raise InputError(f"cannot list {uri}: {error}") from error
    if not found:
        return list_files(uri)
    rules, root = Rules(excluder(options.exclude)), uri.rstrip("/")
    paths = sorted(file.path for file in found)
    return (path for path in paths if rules.cause(path[len(root) + 1 :]) is None)


def _what_is(path: str) -> str:
    """Describes a file that is not an input, as far as its first bytes allow."""
    try:
        with open_binary(path) as file:
            start = file.read(START_BYTES)
    except OSError as error:
        return f"cannot read {path}: {error}"
    told = "an empty file" if not start else foreign(start) or "unrecognised format"
    return f"{printable(posixpath.basename(path))} ({told})"


def _check_columns(uris: Sequence[str], kinds: Sequence[str], options: ReadOptions) -> None:
    """Rejects column options for inputs whose kind has no named columns."""
    names = ("image_column", "id_column", "label_column")
    for uri, kind in zip(uris, kinds, strict=True):
        for name in names:
            if (value := getattr(options, name)) is not None and kind not in _WITH_COLUMNS:
                raise InputError(
                    f"--{name} applies to Parquet columns, TFRecord features and .npz arrays, "
                    f"but {uri} is read as {kind}. Received: {value!r}"
                )


def _check_apart(uris: Sequence[str], kinds: Sequence[str]) -> None:
    """Rejects the same path twice, and a folder together with something in it. `verify` finds
    patterns that overlap in other ways."""
    paths = [os.path.abspath(uri) if is_local(uri) else uri.rstrip("/") for uri in uris]
    counts = collections.Counter(paths)
    if twice := sorted({uri for uri, path in zip(uris, paths, strict=True) if counts[path] > 1}):
        raise InputError(f"input given twice: {', '.join(twice)}")
    inputs = list(zip(uris, paths, kinds, strict=True))
    for folder, folder_path, kind in inputs:
        for uri, path, other in inputs:
            within = kind == other and path.startswith(f"{folder_path.rstrip('/')}/")
            if within and is_folder(folder_path):
                raise InputError(f"{uri} is inside {folder}: its records would be read twice")
