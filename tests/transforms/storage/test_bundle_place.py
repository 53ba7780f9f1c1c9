"""Replacing a bundle: failures and crashes at each operation on the file system."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.manifest import earlier_place
from ae_models.errors import BundleError, OutputError
from pipelines.commands.train import train, train_configuration
from transforms.storage import bundle_place
from transforms.storage.bundle_place import put_local_bundle, settle

Bundles = Callable[[str], Path]

# Replaces a bundle as `train` does, repeatedly, each time in a separate process in which the n-th
# operation on the file system, of which Python notifies audit hooks beforehand, fails or is the
# last.
_PROGRAM = """
import ctypes, json, os, shutil, sys, tempfile
from pathlib import Path
from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.manifest import earlier_place
from ae_models.errors import BundleError, OutputError
from transforms.storage import bundle_place

old, new, folder = map(Path, sys.argv[1:4])
ends, exchanges = sys.argv[4] == "dies", sys.argv[5] == "exchanged"
if not exchanges:
    bundle_place._exchanged = lambda one, other: False
OPERATIONS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open", "ctypes.dlsym")

done = 0

def watch(last):
    def hook(event, arguments):
        global done
        if event in OPERATIONS and ".py" not in str(arguments[0]):
            done += 1
            if done == last:
                os._exit(7) if ends else None
                raise OSError(28, "No space left on device")
    sys.addaudithook(hook)

def replace(place, last):
    with tempfile.TemporaryDirectory(dir=place.parent, ignore_cleanup_errors=True) as work:
        shutil.copytree(new, Path(work, "bundle"))
        watch(last)
        try:
            bundle_place.put_local_bundle(Path(work, "bundle"), place)
        except OutputError:
            return 3
    return 4 if done >= last else 0

def opened(place):
    try:
        return open_bundle(place).fingerprint
    except BundleError as error:
        return str(error)

found, last, status = [], 0, None
while status != 0:
    last += 1
    place = folder / f"{last}" / "bundle"
    shutil.copytree(old, place)
    child = os.fork()
    if not child:
        status = 5
        try:
            status = replace(place, last)
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    first = opened(place)
    bundle_place.settle(place)
    # A temporary folder that could not be taken away may stay.
    beside = [path.name for path in place.parent.glob(".*")]
    found.append({"status": status, "first": first, "settled": opened(place), "beside": beside})
    shutil.rmtree(place.parent)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exchanged", "by turns"])
@pytest.mark.parametrize("end", ["fails", "dies"])
def test_either_stands_there_whatever_operation_is_the_last(
    end: str, way: str, bundle: Bundles, tmp_path: Path
) -> None:
    """There is no bundle only if folders cannot be exchanged and the process is interrupted between
    two moves: this is reported, and undone when the next bundle is put there."""
    old, new = bundle("ae"), bundle("dae")
    program = [sys.executable, "-c", _PROGRAM, old, new, tmp_path, end, way]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    fingerprints = [open_bundle(path).fingerprint for path in (old, new)]
    assert len(found) > 20
    assert {each["status"] for each in found[:-1]} <= {3, 4, 7}
    assert found[-1] == {**found[-1], "status": 0, "settled": fingerprints[1], "beside": []}
    assert all(each["settled"] in fingerprints for each in found)
    assert {each["settled"] for each in found} == set(fingerprints)
    between = [each["first"] for each in found if each["first"] not in fingerprints]
    assert len(between) == (1 if (end, way) == ("dies", "by turns") else 0)
    assert all("the bundle being replaced is in" in message for message in between)
    assert not any(each["beside"] for each in found)


def _copied(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def test_what_stood_there_is_called_earlier(bundle: Bundles, tmp_path: Path) -> None:
    place, new = _copied(bundle("ae"), tmp_path / "b"), _copied(bundle("dae"), tmp_path / "w" / "b")
    fingerprints = [open_bundle(path).fingerprint for path in (place, new)]
    put_local_bundle(new, place)
    found = [open_bundle(path).fingerprint for path in (tmp_path / "w" / "earlier", place)]
    assert found == fingerprints


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_a_place_without_a_bundle(there: str, bundle: Bundles, tmp_path: Path) -> None:
    if there == "an empty folder":
        (tmp_path / "b").mkdir()
    put_local_bundle(_copied(bundle("ae"), tmp_path / "work"), tmp_path / "b")
    assert open_bundle(tmp_path / "b").fingerprint == open_bundle(bundle("ae")).fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_link_is_replaced_and_not_what_it_leads_to(bundle: Bundles, tmp_path: Path) -> None:
    target = _copied(bundle("ae"), tmp_path / "target")
    (tmp_path / "b").symlink_to(target)
    put_local_bundle(_copied(bundle("dae"), tmp_path / "work" / "b"), tmp_path / "b")
    assert open_bundle(tmp_path / "b").fingerprint == open_bundle(bundle("dae")).fingerprint
    assert open_bundle(target).fingerprint == open_bundle(bundle("ae")).fingerprint


def test_a_move_that_fails_is_undone_and_said(
    bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, new = _copied(bundle("ae"), tmp_path / "b"), _copied(bundle("dae"), tmp_path / "new")
    moves: list[str] = []

    def rename(old: Path, new: Path) -> None:
        moves.append(old.name)
        if len(moves) == 2:
            raise OSError(30, "Read-only file system")
        os.replace(old, new)

    monkeypatch.setattr(bundle_place, "_exchanged", lambda *_: False)
    monkeypatch.setattr(bundle_place.os, "rename", rename)
    with pytest.raises(OutputError, match="Read-only file system"):
        put_local_bundle(new, place)
    monkeypatch.undo()
    assert open_bundle(place).fingerprint == open_bundle(bundle("ae")).fingerprint
    assert open_bundle(new).fingerprint == open_bundle(bundle("dae")).fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "new"]


def test_an_interrupted_replacement_is_told_and_protected(bundle: Bundles, tmp_path: Path) -> None:
    """`train` finds the earlier bundle, and does not overwrite it without being asked."""
    place = tmp_path / "b"
    earlier = _copied(bundle("ae"), earlier_place(place))
    told = f"no such model bundle: {place}; the bundle being replaced is in {earlier}:"
    with pytest.raises(BundleError, match=told):
        open_bundle(place)
    with pytest.raises(OutputError, match="already exists"):
        train(["builtin:digits"], train_configuration("ae"), str(place))
    assert open_bundle(place).fingerprint == open_bundle(bundle("ae")).fingerprint
    assert not earlier.exists()


def test_what_a_finished_replacement_left_is_taken_away(bundle: Bundles, tmp_path: Path) -> None:
    place = _copied(bundle("ae"), tmp_path / "b")
    _copied(bundle("dae"), earlier_place(place))
    settle(place)
    assert open_bundle(place).fingerprint == open_bundle(bundle("ae")).fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
