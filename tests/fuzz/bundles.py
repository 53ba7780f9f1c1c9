"""A bundle changed in one place: a file's bytes, presence or kind, or a field of the manifest."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutations import mutated

MANIFEST = "manifest.json"
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 10**9, 10**12, 10**400, 1e308, float("nan"), float("inf")),
    *("", "x", "../../etc/passwd", "/etc/passwd", "\x1b[2J", [], {}, [[]], {"": None}),
)
_FILE_CHANGES = ("mutated", "mutated", "mutated", "removed", "link", "folder", "pipe", "empty")


def changed_bundle(bundle: Path, copy: Path, generator: np.random.Generator) -> str:
    """Makes `copy` the bundle with a change; gives what was changed."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle, copy)
    if generator.random() < 0.5:
        return changed_field(copy / MANIFEST, generator)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    if generator.random() < 0.1:
        added = copy / str(generator.choice(["x", "model.pkl", "scoring/assets/x", ".hidden"]))
        added.write_bytes(b"anything")
        return f"added {added.relative_to(copy)}"
    file = files[int(generator.integers(len(files)))]
    kind = str(generator.choice(_FILE_CHANGES))
    _change_file(file, kind, generator)
    return f"{kind} {file.relative_to(copy)}"


def _change_file(file: Path, kind: str, generator: np.random.Generator) -> None:
    data = file.read_bytes()
    if kind in ("mutated", "empty"):
        new = b"" if kind == "empty" else mutated(data, [data], generator)
        file.write_bytes(new if new != data else data + b"\0")
        return
    file.unlink()
    if kind == "link":
        file.symlink_to("/etc/passwd")
    elif kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)


def changed_field(manifest: Path, generator: np.random.Generator) -> str:
    """Another value, another name, or nothing, for one field anywhere in the manifest."""
    value = json.loads(manifest.read_text())
    path = places(value)[int(generator.integers(len(places(value))))]
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    before, choice = parent[path[-1]], int(generator.integers(4))
    if choice == 0:
        del parent[path[-1]]
    elif choice == 1 and isinstance(parent, dict):
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
    elif choice == 2 and isinstance(before, int | float):
        parent[path[-1]] = before + 1
    else:
        parent[path[-1]] = _other(before, generator)
    manifest.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    return "field " + ".".join(map(str, path))


def _other(before: Any, generator: np.random.Generator) -> Any:
    """A value that is written otherwise."""
    others = [value for value in _VALUES if json.dumps(value) != json.dumps(before)]
    return others[int(generator.integers(len(others)))]


def places(value: Any) -> list[tuple]:
    """The path of every field."""
    found: list[tuple] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        found.append((key,))
        if isinstance(child, dict | list):
            found += [(key, *path) for path in places(child)]
    return found
