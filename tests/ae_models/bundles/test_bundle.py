"""Opening a bundle: every change since it was written is refused."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ae_models.bundles.bundle import open_bundle
from ae_models.errors import BundleError
from tests.support.signing import write_signed

Bundles = Callable[[str], Path]
FILES = [
    "calibration.parquet",
    "curves.png",
    "model.keras",
    "model_card.md",
    "scoring/fingerprint.pb",
    "scoring/saved_model.pb",
    "scoring/variables/variables.data-00000-of-00001",
    "scoring/variables/variables.index",
    "transform_fn/transform_fn/fingerprint.pb",
    "transform_fn/transform_fn/saved_model.pb",
    "transform_fn/transform_fn/variables/variables.data-00000-of-00001",
    "transform_fn/transform_fn/variables/variables.index",
    "transform_fn/transformed_metadata/schema.pbtxt",
]


@pytest.fixture
def copy(bundle: Bundles, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(bundle("ae"), tmp_path / "copy"))


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def _tree(path: Path) -> set[str]:
    return {f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file()}


@pytest.mark.parametrize("kind", ["ae", "dae", "vae"])
def test_a_bundle_is_opened_whole_wherever_it_lies(
    bundle: Bundles, kind: str, tmp_path: Path
) -> None:
    original = open_bundle(bundle(kind))
    moved = open_bundle(str(shutil.copytree(bundle(kind), tmp_path / "moved")))
    assert moved.config == original.config
    assert moved.config.model.kind == kind
    assert moved.fingerprint == original.fingerprint == original.manifest["fingerprint"]
    assert set(original.manifest["files"]) == _tree(original.path) - {"manifest.json"}
    for name, digest in original.manifest["files"].items():
        assert hashlib.sha256((original.path / name).read_bytes()).hexdigest() == digest
    assert sorted(original.manifest["files"]) == FILES, "a file that the tests below leave out"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("position", [0, -1])
def test_one_changed_bit_of_a_file_is_refused(copy: Path, name: str, position: int) -> None:
    _flip(copy / name, position)
    with pytest.raises(
        BundleError, match=re.escape(f"{name} was changed since the bundle was written")
    ):
        open_bundle(copy)


def test_any_changed_byte_of_the_manifest_is_refused(
    copy: Path, generator: np.random.Generator
) -> None:
    manifest = copy / "manifest.json"
    content = manifest.read_bytes()
    for position in generator.permutation(len(content))[:300]:
        _flip(manifest, position)
        with pytest.raises(BundleError):
            open_bundle(copy)
        manifest.write_bytes(content)
    open_bundle(copy)


FIELDS = ["calibration", "config", "files", "fingerprint", "format_version", "training", "versions"]


def test_every_field_of_the_manifest_is_tried(copy: Path) -> None:
    assert sorted(open_bundle(copy).manifest) == FIELDS


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("change", ["other", "removed"])
def test_a_changed_field_of_the_manifest_is_refused(copy: Path, field: str, change: str) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    value = manifest.pop(field)
    if change == "other":
        manifest[field] = {**value, "more": 1} if isinstance(value, dict) else "0"
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json was changed"):
        open_bundle(copy)


REWRITES: dict[str, Callable[[bytes], bytes]] = {
    "a blank at the end": lambda text: text + b" ",
    "no newline at the end": lambda text: text[:-1],
    "another indentation": lambda text: json.dumps(json.loads(text), sort_keys=True).encode(),
    "a key given twice": lambda text: text.replace(b"{\n", b'{\n  "format_version": 1,\n', 1),
    "another order": lambda text: json.dumps(dict(reversed(json.loads(text).items()))).encode(),
    "DOS line ends": lambda text: text.replace(b"\n", b"\r\n"),
    "a carriage return": lambda text: text.replace(b"\n", b"\r", 1),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "no mapping": lambda _: b"[]\n",
    "no JSON": lambda _: b"{",
    "not UTF-8": lambda _: b"\xff\xfe{}",
    "nothing": lambda _: b"",
    "deep nesting": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_rewritten_manifest_is_refused(copy: Path, rewrite: str) -> None:
    manifest = copy / "manifest.json"
    manifest.write_bytes(REWRITES[rewrite](manifest.read_bytes()))
    with pytest.raises(BundleError, match=re.escape(str(copy))):
        open_bundle(copy)


@pytest.mark.parametrize(
    "name",
    ["x", ".hidden", "scoring/assets/x", "scoring/saved_model.pbtxt", "scoring/manifest.json"],
)
def test_an_added_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"")
    with pytest.raises(BundleError, match=re.escape(f"{name} is not in manifest.json")):
        open_bundle(copy)


def test_an_added_link_to_a_folder_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"anything")
    (copy / "scoring" / "assets.extra").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"scoring/assets\.extra"):
        open_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=re.escape(f"{name} is missing")):
        open_bundle(copy)


def test_what_is_no_bundle_is_refused(copy: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", copy / "manifest.json"):
        with pytest.raises(BundleError, match=re.escape(f"no such model bundle: {path}")):
            open_bundle(path)
    with pytest.raises(BundleError, match=r"is not a model bundle: it has no manifest\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format_version", 2, "unsupported format version 2, not 1"),
        ("format_version", None, "unsupported format version None, not 1"),
        ("files", ["model.keras"], "lists no files"),
        ("config", {"model": {"kind": "gan"}}, "model.kind must be one of .*'gan'"),
        ("config", None, "must be a mapping"),
    ],
)
def test_a_signed_manifest_must_still_make_sense(
    copy: Path, field: str, value: object, message: str
) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    write_signed(copy, manifest)
    open_bundle(copy)
    write_signed(copy, {**manifest, field: value})
    with pytest.raises(BundleError, match=message):
        open_bundle(copy)


def test_a_bundle_from_before_reduced_decoding_decodes_in_full(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    assert open_bundle(copy).config.image.reduce
    del manifest["config"]["image"]["reduce"]
    write_signed(copy, manifest)
    assert not open_bundle(copy).config.image.reduce


def test_files_are_read_once_until_one_is_changed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def digest(content: Any, algorithm: str) -> Any:
        read.append(Path(content.name).name)
        return file_digest(content, algorithm)

    file_digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", digest)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    # A second write within one tick of the file system's clock would leave no trace.
    for times in (1, 2):
        open_bundle(copy)
        assert len(read) == times * len(FILES)
    monkeypatch.setattr(time, "time_ns", lambda: now + 60_000_000_000)
    read.clear()
    assert open_bundle(copy).fingerprint == open_bundle(copy).fingerprint
    assert len(read) == len(FILES)
    (copy / "model_card.md").touch()
    open_bundle(copy)
    assert len(read) == 2 * len(FILES)


def test_a_change_between_two_openings_is_noticed_whatever_its_times_say(copy: Path) -> None:
    file = copy / "scoring" / "variables" / "variables.index"
    before = file.stat()
    open_bundle(copy)
    _flip(file, 40)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(BundleError, match=r"variables\.index was changed"):
            open_bundle(copy)
    _flip(file, 40)
    assert open_bundle(copy).path == copy
