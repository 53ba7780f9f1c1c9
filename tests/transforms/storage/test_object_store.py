"""Inputs, bundles and outputs on an object store: the same records, and nothing half written."""

import dataclasses
import io
import itertools
import json
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from ae_models.bundles.bundle import open_bundle
from ae_models.errors import BundleError, InputError, LatentbeamError, OutputError
from pipelines.cli import main
from pipelines.commands.demo import demo
from pipelines.commands.evaluate import evaluate
from pipelines.commands.inspect_bundle import inspect
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from tests.support.object_store import ROOT, BucketFileSystem, get, objects, put, upload
from tests.support.project import PROJECT
from tests.support.reading import in_small_tasks, listed_passed_over, passed_over_by, read_rows
from tests.support.signing import write_signed
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import Cause
from transforms.runs.finish import finish_run
from transforms.runs.ledger import RESULTS, read_ledger, result_files
from transforms.runs.output_folder import check_free
from transforms.runs.shards import Shard
from transforms.scoring.bundle_cache import local_bundle, put_bundle
from transforms.sources import ReadOptions, resolve_inputs
from transforms.storage.paths import common_root
from transforms.storage.staging import staging_folder

Bundles = Callable[[str], Path]
BUCKET = "bucket://b"
FOLDER = f"{BUCKET}/data"
MODEL = f"{BUCKET}/models/m"
RUN = f"{BUCKET}/runs/r"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty store's objects, with a new cache for copies of bundles."""
    folder = tmp_path / "objects"
    folder.mkdir()
    monkeypatch.setenv(ROOT, str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def _remove(path: str) -> None:
    BucketFileSystem(None).delete([path])


def _png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def _example(number: int) -> bytes:
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[_png(number)])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A local folder with inputs of every kind, which are also at `FOLDER`."""
    root = tmp_path / "data"
    names = ["img/cat/a.png", "img/cat/b.PNG", "img/dog/a.png", "img/dog/deep/c.png"]
    for number, name in enumerate([*names, "img-old/dog/x.png", "img.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(_png(number))
    (root / "img" / "cat" / "empty.png").write_bytes(b"")
    (root / "img" / "notes.txt").write_text("passed over")
    images = [_png(number) for number in range(7)]
    for name, part in (("a.parquet", images[:3]), ("b.parquet", images[3:])):
        table = pa.table({"image": part, "label": list(range(len(part)))})
        pq.write_table(table, root / name, row_group_size=2)
    for name, compression in (("a.tfrecord", ""), ("a.tfrecord.gz", "GZIP")):
        with tf.io.TFRecordWriter(str(root / name), compression) as writer:
            for number in range(7):
                writer.write(_example(number))
    for name in ("a.tar", "a.tar.gz"):
        with tarfile.open(root / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for number, image in enumerate(images):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = len(image)
                archive.addfile(info, io.BytesIO(image))
    pixels = np.random.default_rng(0).integers(0, 250, (5000, 4, 4), "uint8")
    np.savez(root / "a.npz", x_test=pixels, y_test=np.arange(len(pixels)))
    np.savez_compressed(root / "b.npz", x=pixels[:9], y=np.arange(9))
    upload(root, FOLDER)
    return root


INPUTS = [
    *("img", "img/", "img/cat/a.png", "img/*/a.png", "img/**.png", "img/dog/*"),
    *("a.parquet", "*.parquet", "a.tfrecord", "a.tfrecord.gz", "a.tar", "a.tar.gz"),
    *("a.npz#test", "b.npz"),
]


@pytest.mark.parametrize("uri", INPUTS)
def test_an_input_gives_the_records_of_the_same_local_one(data: Path, uri: str) -> None:
    expected, found = (read_rows(*in_small_tasks(f"{at}/{uri}")) for at in (data, FOLDER))
    assert len(found) == len(expected) > 0
    for remote, local in zip(found, expected, strict=True):
        assert remote.pop("source").removeprefix(FOLDER) == local.pop("source").removeprefix(
            str(data)
        )
        assert remote == local


def test_files_beside_a_folder_are_no_part_of_it(data: Path) -> None:
    for root in (str(data), FOLDER):
        (source,) = resolve_inputs([f"{root}/img"])
        assert passed_over_by(source) == {"other_kind": 1}
    assert [row["id"] for row in read_rows(f"{FOLDER}/img")] == [
        *("cat/a.png", "cat/b.PNG", "cat/empty.png", "dog/a.png", "dog/deep/c.png")
    ]


def test_hidden_and_excluded_objects_are_named(data: Path) -> None:
    for name in ("img/.git/a.png", "img/dog/._a.png", "img/.x.png"):
        put(f"{FOLDER}/{name}", _png(1))
    options = ReadOptions(exclude=("deep/", "cat/b.*"))
    found = listed_passed_over(f"{FOLDER}/img/", options=options)
    assert found.by_cause() == {"hidden": 3, "other_kind": 1, "excluded": 2}
    excluded = [f"{FOLDER}/img/cat/b.PNG", f"{FOLDER}/img/dog/deep/c.png"]
    assert found.names(Cause.EXCLUDED) == excluded
    rows = read_rows(f"{FOLDER}/img/", options=options)
    assert [row["id"] for row in rows] == ["cat/a.png", "cat/empty.png", "dog/a.png"]
    assert passed_over_by(f"{FOLDER}/img/*/*.png", options=options) == {"hidden": 2}
    rows = read_rows(f"{FOLDER}/img/.*/*.png", f"{FOLDER}/img/.x.png", options=options)
    assert [row["id"] for row in rows] == [".git/a.png", ".x.png"]


def test_masks_of_defects_are_passed_over_unless_they_are_asked_for(data: Path) -> None:
    masks = [f"{FOLDER}/img/ground_truth/{name}" for name in ("a_mask.png", "cut/b_mask.png")]
    for path in (*masks, f"{FOLDER}/img/ground_truth/cut/b.png"):
        put(path, _png(1))
    for given in (f"{FOLDER}/img", f"{FOLDER}/img/"):
        found = listed_passed_over(given)
        assert found.by_cause() == {"other_kind": 1, "mask": 2}
        assert found.names(Cause.MASK) == masks
        ids = [row["id"] for row in read_rows(given)]
        assert [name for name in ids if "ground_truth" in name] == ["ground_truth/cut/b.png"]
    assert listed_passed_over(f"{FOLDER}/img/*/*/*.png").names(Cause.MASK) == masks[1:]
    rows = read_rows(f"{FOLDER}/img/*/*/*.png")
    assert [row["id"] for row in rows] == ["dog/deep/c.png", "ground_truth/cut/b.png"]
    rows = read_rows(f"{FOLDER}/img/ground_truth")
    assert [row["id"] for row in rows] == ["a_mask.png", "cut/b.png", "cut/b_mask.png"]
    assert passed_over_by(f"{FOLDER}/img/ground_truth") == {}
    for path in masks:
        assert len(read_rows(path)) == 1
        assert passed_over_by(path) == {}


def test_objects_that_mark_folders_are_no_files(data: Path) -> None:
    for name in ("img/", "img/cat/", "empty/"):
        put(f"{FOLDER}/{name}", b"")
    (source,) = resolve_inputs([f"{FOLDER}/img"])
    assert passed_over_by(source) == {"other_kind": 1}
    with pytest.raises(InputError, match="no such file or folder"):
        read_rows(f"{FOLDER}/empty")


@pytest.mark.parametrize("uri", ["missing", "missing/", "missing/*.png", "im", "missing.parquet"])
def test_an_input_that_is_not_there_is_an_error(data: Path, uri: str) -> None:
    with pytest.raises(InputError, match=r"no such file or folder|no files match"):
        read_rows(f"{FOLDER}/{uri}")


def test_a_scheme_that_nobody_knows_is_an_error_of_the_user(bundle: Bundles) -> None:
    with pytest.raises(InputError, match="cannot list nowhere://b/x"):
        read_rows("nowhere://b/x")
    with pytest.raises(BundleError, match="no such model bundle: nowhere://b/m"):
        inspect("nowhere://b/m")
    with pytest.raises(InputError, match="cannot access nowhere://b/r"):
        evaluate("nowhere://b/r", "label=0")
    with pytest.raises(OutputError, match="cannot access nowhere://b/r"):
        score(["builtin:digits"], str(bundle("ae")), "nowhere://b/r")
    with pytest.raises(OutputError, match="cannot write nowhere://b/m"):
        train(["builtin:digits"], train_configuration("ae"), "nowhere://b/m")
    with pytest.raises(OutputError, match="local folder"):
        demo("nowhere://b/d")


def test_an_object_that_vanishes_is_a_reject(data: Path) -> None:
    (source,) = resolve_inputs([f"{FOLDER}/img"])
    (task,) = source.tasks()
    _remove(f"{FOLDER}/img/cat/a.png")
    (batch,) = source.read(task, BatchLimits())
    reasons = [reject and reject["reason"] for reject in batch.column("reject").to_pylist()]
    assert reasons == ["unreadable", None, "empty", None, None]
    assert "404" in batch.column("reject")[0].as_py()["message"]


@pytest.mark.parametrize("again", ["img/", "img/cat", "img/cat/a.png", "img/*/a.png"])
def test_inputs_that_hold_the_same_records_are_refused(data: Path, again: str) -> None:
    with pytest.raises(InputError, match="twice"):
        resolve_inputs([f"{FOLDER}/img", f"{FOLDER}/{again}"])


def test_inputs_in_several_folders_keep_their_ids_apart(data: Path) -> None:
    put("bucket://other/dog/z.png", _png(9))
    ids = [row["id"] for row in read_rows(f"{FOLDER}/img/cat", f"{FOLDER}/img-old")]
    assert ids == ["img/cat/a.png", "img/cat/b.PNG", "img/cat/empty.png", "img-old/dog/x.png"]
    ids = [row["id"] for row in read_rows(f"{FOLDER}/img-old", "bucket://other/dog")]
    assert ids == ["b/data/img-old/dog/x.png", "other/dog/z.png"]
    assert common_root(["gs://a/b", "gs://a/b/c"]) == "gs://a/b"
    assert common_root(["gs://a", "gs://b"]) == "gs:/"


def _images(count: int) -> str:
    for number in range(count):
        put(f"{BUCKET}/many/{number:02}.png", _png(number))
    return f"{BUCKET}/many"


def test_images_are_read_several_at_once_and_come_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = _images(12)
    barrier = threading.Barrier(4)

    def wait(_: str) -> None:
        barrier.wait(timeout=10)  # for three others: a single reader would never pass

    monkeypatch.setattr(BucketFileSystem, "on_open", wait)
    (source,) = resolve_inputs([uri])
    (task,) = source.tasks()
    (batch,) = source.read(task, BatchLimits())
    assert batch.column("reject").null_count == 12
    assert batch.column("image").to_pylist() == [_png(number) for number in range(12)]
    assert batch.column("id").to_pylist() == [f"{number:02}.png" for number in range(12)]


def test_no_more_is_read_ahead_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    uri, opened = _images(40), itertools.count(1)
    latest = 0

    def count(_: str) -> None:
        nonlocal latest
        latest = next(opened)

    monkeypatch.setattr(BucketFileSystem, "on_open", count)
    (source,) = resolve_inputs([uri])
    source = dataclasses.replace(source, read_at_once=8, bytes_ahead=3 * len(_png(0)))  # type: ignore[call-arg]
    (task,) = source.tasks()
    batches = source.read(task, BatchLimits(rows=1))
    ahead = []
    for taken, _ in enumerate(batches, start=1):
        ahead.append(latest - taken)
        if taken == 30:
            break
    batches.close()  # type: ignore[attr-defined]
    assert max(ahead[:8]) <= 8
    assert max(ahead[8:]) <= 4  # by now the size of the images is known
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


# Bundles.


def test_a_local_bundle_stays_where_it_is(tmp_path: Path) -> None:
    assert local_bundle(f"{tmp_path}/any") == f"{tmp_path}/any"


def test_a_bundle_is_copied_once_for_all_who_ask_at_once(
    bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bundle("ae"), MODEL)
    opened: list[str] = []
    monkeypatch.setattr(BucketFileSystem, "on_open", opened.append)
    start = threading.Barrier(8)

    def ask(_: int) -> str:
        start.wait(timeout=30)
        return local_bundle(MODEL)

    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(ask, range(8)))
    (path,) = paths
    assert open_bundle(path).manifest == open_bundle(bundle("ae")).manifest
    assert opened.count(f"{MODEL}/model.keras") == 1
    assert local_bundle(f"{MODEL}/") == path
    assert opened.count(f"{MODEL}/model.keras") == 1


@pytest.mark.slow
def test_processes_that_ask_at_once_share_a_copy(bundle: Bundles, tmp_path: Path) -> None:
    upload(bundle("ae"), MODEL)
    program = (
        "import sys, tests.support.object_store\n"
        "from transforms.scoring.bundle_cache import local_bundle\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(local_bundle(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", program, MODEL]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    outputs = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        outputs.append(worker.communicate(timeout=120)[0].strip())
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert set(outputs) == {local_bundle(MODEL)}


def _change(name: str) -> None:
    """Other content of the same length, which is JSON if it was before."""
    content = get(f"{MODEL}/{name}")
    put(f"{MODEL}/{name}", content.translate(bytes.maketrans(b"xy", b"yx")))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: _remove(f"{MODEL}/manifest.json"), "no such model bundle: {0}"),
        (lambda: put(f"{MODEL}/manifest.json", b"{"), "{0} is not a model bundle"),
        (lambda: _change("manifest.json"), "{0}: manifest.json was changed since"),
        (lambda: _change("model.keras"), "{0}: model.keras was changed since"),
        (lambda: put(f"{MODEL}/model.keras", b""), "{0}: model.keras was changed since"),
        (lambda: _remove(f"{MODEL}/scoring/saved_model.pb"), "{0}: cannot read scoring/saved_mod"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused_in_one_line(
    bundle: Bundles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[], None],
    message: str,
) -> None:
    upload(bundle("ae"), MODEL)
    spoil()
    arguments = ["--input", "builtin:digits", "--model", MODEL, "--output", str(tmp_path / "run")]
    for command in (["score", *arguments], ["inspect", MODEL]):
        with pytest.raises(SystemExit) as exit_:
            main(command)
        out, err = capsys.readouterr()
        assert (exit_.value.code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"latentbeam: {message.format(MODEL)}")
    assert not (tmp_path / "run").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name == "model.keras"]


@pytest.mark.parametrize(
    "name",
    ["../outside", "a/../../outside", "/tmp/outside", "..", ".", "", "a//b", "./a", "a/", "a\0b"],
)
def test_a_manifest_that_leads_out_of_its_bundle_is_refused(
    bundle: Bundles, tmp_path: Path, name: str
) -> None:
    upload(bundle("ae"), MODEL)
    put(f"{BUCKET}/models/outside", b"x")
    manifest = open_bundle(bundle("ae")).manifest
    folder = tmp_path / "signed"
    folder.mkdir()
    write_signed(folder, {**manifest, "files": {**manifest["files"], name: "0" * 64}})
    put(f"{MODEL}/manifest.json", (folder / "manifest.json").read_bytes())
    for read in (lambda: local_bundle(MODEL), lambda: open_bundle(folder)):
        with pytest.raises(BundleError, match="which is not a file of a bundle"):
            read()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "emptied", "a file"])
def test_a_damaged_copy_is_fetched_again(bundle: Bundles, damage: str) -> None:
    upload(bundle("ae"), MODEL)
    copy = Path(local_bundle(MODEL))
    model = copy / "model.keras"
    if damage == "changed":
        model.write_bytes(model.read_bytes()[:-1] + b"x")
    elif damage == "added":
        (copy / "scoring" / "more").write_bytes(b"x")
    elif damage == "removed":
        model.unlink()
    else:
        for path in sorted(copy.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if damage == "a file":
            copy.rmdir()
            copy.write_bytes(b"")
    assert local_bundle(MODEL) == str(copy)
    assert open_bundle(copy).manifest == open_bundle(bundle("ae")).manifest
    assert sorted(path.name for path in copy.parent.iterdir()) == [copy.name, f"{copy.name}.lock"]


def test_a_cache_that_cannot_be_written_gives_way_to_temporary_files(
    bundle: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bundle("ae"), MODEL)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    copy = Path(local_bundle(MODEL))
    assert copy.parent.parent == tmp_path
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(BundleError, match=f"cannot copy {MODEL} .* set XDG_CACHE_HOME"):
        local_bundle(MODEL)


def _seen(fingerprints: dict[str, str]) -> str:
    """Which of the bundles a reader finds at MODEL, "none" or "error"."""
    try:
        return fingerprints[open_bundle(local_bundle(MODEL)).fingerprint]
    except BundleError as error:
        return "none" if "no such model bundle" in str(error) else "error"


def test_nobody_sees_a_mixture_while_a_bundle_is_replaced(
    bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = open_bundle(bundle("ae")), open_bundle(bundle("vae"))
    names = {old.fingerprint: "old", new.fingerprint: "new"}
    seen: list[str] = []
    monkeypatch.setattr(BucketFileSystem, "on_change", lambda *_: seen.append(_seen(names)))
    put(f"{MODEL}/notes.txt", b"mine")
    put(f"{MODEL}-2/model.keras", b"mine")
    put_bundle(old, MODEL)
    assert set(seen) == {"none"}
    assert _seen(names) == "old"
    seen.clear()
    put_bundle(new, MODEL)
    assert [key for key, _ in itertools.groupby(seen)] == ["old", "none"]
    assert _seen(names) == "new"
    assert (get(f"{MODEL}/notes.txt"), get(f"{MODEL}-2/model.keras")) == (b"mine", b"mine")
    written = {path.removeprefix(f"{MODEL}/") for path in objects(f"{MODEL}/")}
    assert written == {*new.manifest["files"], "manifest.json", "notes.txt"}


def test_a_replacement_that_fails_anywhere_leaves_no_mixture(
    bundle: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = open_bundle(bundle("ae")), open_bundle(bundle("vae"))
    names = {old.fingerprint: "old", new.fingerprint: "new"}
    outcomes = []
    for fail_at in itertools.count(1):
        for path in objects(MODEL):
            _remove(path)
        put_bundle(old, MODEL)
        changes = itertools.count(1)

        def fail(change: str, path: str, at: int = fail_at, number: Any = changes) -> None:
            if next(number) == at:
                raise ConnectionError("gone")

        monkeypatch.setattr(BucketFileSystem, "on_change", fail)
        try:
            put_bundle(new, MODEL)
        except OutputError as error:
            assert f"cannot write {MODEL}" in str(error)  # noqa: PT017
        monkeypatch.setattr(BucketFileSystem, "on_change", None)
        outcomes.append(_seen(names))
        if outcomes[-1] == "new":
            break
    assert outcomes == ["old", *["none"] * (len(outcomes) - 2), "new"]
    assert len(outcomes) == len(old.manifest["files"]) + len(new.manifest["files"]) + 3


@pytest.mark.slow
def test_training_writes_a_bundle_there_and_keeps_it_if_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["model.network=dense", "model.latent_dim=3", "model.widths=[8]"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    put(f"{BUCKET}/models/mine/notes.txt", b"mine")
    with pytest.raises(OutputError, match=r"mine already exists: choose another folder$"):
        train(["builtin:digits"], config, f"{BUCKET}/models/mine", overwrite=True)
    with pytest.raises(OutputError, match="must not contain"):
        train(["builtin:digits"], config, f"{BUCKET}/models/*", overwrite=True)

    def fail(change: str, path: str) -> None:
        if path.endswith("manifest.json"):
            raise PermissionError("forbidden")

    monkeypatch.setattr(BucketFileSystem, "on_change", fail)
    with pytest.raises(OutputError, match="forbidden; the bundle is kept in ") as caught:
        train(["builtin:digits"], config, MODEL, where=["label=1,2"])
    kept = open_bundle(str(caught.value).rpartition("kept in ")[2])
    monkeypatch.setattr(BucketFileSystem, "on_change", None)
    for path in objects(MODEL):
        _remove(path)

    with pytest.raises(OutputError, match="an unfinished training: give --resume"):
        train(["builtin:digits"], config, MODEL, where=["label=1,2"])
    manifest = train(["builtin:digits"], config, MODEL, where=["label=1,2"], resume=True)
    assert manifest["files"].keys() == kept.manifest["files"].keys()
    assert inspect(MODEL) == manifest
    assert [path for path in objects() if "records" in path] == []
    assert not kept.path.exists(), "it has been moved to its place"
    assert list(tmp_path.glob("*latentbeam-*")) == []
    assert list(tmp_path.glob("*beam-pipeline*")) == []
    with pytest.raises(OutputError, match=r"already exists: .*, or give --overwrite"):
        train(["builtin:digits"], config, MODEL)
    put(f"{MODEL}/manifest.json", b"{}")
    with pytest.raises(OutputError, match=r"manifest\.json was changed .*not overwriting it"):
        train(["builtin:digits"], config, MODEL, overwrite=True)


# Outputs.


def _local(run: str, folder: Path) -> Path:
    """A remote run's objects as a local folder."""
    for path in objects(f"{run}/"):
        target = folder / path.removeprefix(f"{run}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(get(path))
    return folder


def _rows(run: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name != "source"}
        for kind in ("scores", "rejects")
        for row in pq.read_table(run / kind).sort_by("id").to_pylist()
    ]


def _check_whole(run: str) -> None:
    """Checks that a finished run has exactly the objects in its ledger."""
    ledger = read_ledger(run)
    names = {path.removeprefix(f"{run}/") for path in objects(f"{run}/")}
    assert names == {"_SUCCESS", "run.json", *(file["path"] for file in ledger["files"])}


def test_everything_there_gives_the_rows_of_everything_here(
    bundle: Bundles, data: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    score([str(data / "img")], str(bundle("ae")), str(here))
    upload(bundle("ae"), MODEL)
    ledger = score([f"{FOLDER}/img"], MODEL, RUN)
    assert ledger["model"]["path"] == MODEL
    assert ledger["records"] == read_ledger(str(here))["records"]
    assert ledger["records"]["rejected_by_reason"] == {"empty": 1}
    _check_whole(RUN)
    there = _local(RUN, tmp_path / "there")
    assert _rows(there) == _rows(here)
    assert verify(RUN, [f"{FOLDER}/img"])["ok"]
    assert not verify(RUN, [f"{FOLDER}/img-old"])["ok"]
    assert evaluate(RUN, "label=cat") == evaluate(str(here), "label=cat")

    put(f"{RUN}/scores/stray.parquet", b"")
    assert verify(RUN, [f"{FOLDER}/img"])["problems"] == [
        f"{RUN}/scores/stray.parquet is not in the ledger"
    ]
    _remove(f"{RUN}/scores/stray.parquet")

    relabel(RUN, f"{RUN}-2", fpr=0.5)
    relabel(str(here), str(tmp_path / "here-2"), fpr=0.5)
    _check_whole(f"{RUN}-2")
    assert _rows(_local(f"{RUN}-2", tmp_path / "there-2")) == _rows(tmp_path / "here-2")
    with pytest.raises(OutputError, match="is inside"):
        relabel(RUN, f"{RUN}/again", fpr=0.5)


def test_results_are_replaced_only_if_that_is_wanted(bundle: Bundles, data: Path) -> None:
    model = str(bundle("ae"))
    first = score([f"{FOLDER}/img"], model, RUN)
    for output in (RUN, f"{RUN}/"):
        with pytest.raises(OutputError, match="already contains results"):
            score([f"{FOLDER}/img"], model, output)
    put(f"{RUN}-2/scores/mine.parquet", b"mine")
    put(f"{RUN}/notes.txt", b"mine")
    second = score([f"{FOLDER}/img/dog"], model, f"{RUN}/", overwrite=True)
    assert second["run_id"] != first["run_id"]
    assert second["records"]["read"] == 2
    assert (get(f"{RUN}-2/scores/mine.parquet"), get(f"{RUN}/notes.txt")) == (b"mine", b"mine")
    _remove(f"{RUN}/notes.txt")
    _check_whole(RUN)


@pytest.mark.parametrize("output", ["bucket://b/*", "bucket://b/r?", "bucket://b/[r]"])
def test_an_output_that_is_a_pattern_is_refused(bundle: Bundles, output: str) -> None:
    put("bucket://b/r1/_SUCCESS", b"")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="must not contain"):
            score(["builtin:digits"], str(bundle("ae")), output, overwrite=overwrite)
        with pytest.raises(OutputError, match="must not contain"):
            check_free(output, overwrite)
    assert objects() == ["bucket://b/r1/_SUCCESS"]


def _staged(run_id: str, scores: int, rejects: int) -> list[Shard]:
    """Staged objects that contain the id of their run."""
    shards = []
    for number, kind in enumerate(["scores"] * scores + ["rejects"] * rejects):
        path = f"{staging_folder(RUN, run_id)}/{kind}-{number}.parquet"
        put(path, run_id.encode())
        shards.append(Shard(kind, path, 10 + number, f"r{number}", {}))
    put(f"{staging_folder(RUN, run_id)}/scores-of-a-failed-attempt.parquet", b"")
    return shards


def _check_consistent() -> None:
    """Whoever sees `_SUCCESS` sees the objects of one run, all of them."""
    if f"{RUN}/_SUCCESS" not in objects():
        return
    ledger = json.loads(get(f"{RUN}/run.json"))
    listed = {f"{RUN}/{file['path']}" for file in ledger["files"]}
    assert {*objects(f"{RUN}/scores/"), *objects(f"{RUN}/rejects/")} == listed
    assert {get(path).decode() for path in listed} == {ledger["run_id"]}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_at_any_point_leaves_no_mixture_and_a_second_call_finishes(
    monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    for fail_at in itertools.count(1):
        for path in objects():
            _remove(path)
        if overwrite:
            finish_run(RUN, "old", shards=_staged("old", scores=3, rejects=1), facts={})
        shards = _staged("new", scores=1, rejects=2)
        changes = itertools.count(1)

        def fail(change: str, path: str, at: int = fail_at, number: Any = changes) -> None:
            _check_consistent()
            if next(number) == at:
                raise ConnectionError("gone")

        monkeypatch.setattr(BucketFileSystem, "on_change", fail)
        try:
            finish_run(RUN, "new", shards=shards, facts={}, overwrite=overwrite)
        except (OSError, LatentbeamError):
            failed = True
        else:
            failed = False
        monkeypatch.setattr(BucketFileSystem, "on_change", None)
        _check_consistent()
        assert (
            finish_run(RUN, "new", shards=shards, facts={}, overwrite=overwrite)["run_id"] == "new"
        )
        _check_consistent()
        _check_whole(RUN)
        assert len(result_files(RUN, "scores", "rejects")) == 3
        if not failed:
            break
    assert fail_at == (20 if overwrite else 14)  # each of the changes has failed once


def test_finishing_asks_the_store_little_more_for_many_files_than_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requests(run_id: str, count: int) -> Counter[str]:
        shards, found = _staged(run_id, count - 1, 1), Counter[str]()
        with monkeypatch.context() as patch:
            patch.setattr(BucketFileSystem, "on_request", lambda name: found.update([name]))
            finish_run(RUN, run_id, shards=shards, facts={}, overwrite=True)
        _check_whole(RUN)
        return found

    few, many = requests("few", 2), requests("many", 1000)
    assert few.pop("rename") == 3  # each file, and the ledger
    assert many.pop("rename") == 16 + 1  # sixteen lists at once
    # As on gs://, deleting queries each of the few files that the first run has left.
    assert few["list"] <= 2.5 * len(RESULTS)  # two or three per name that a run folder may have
    assert many["list"] <= few["list"]
    assert many["exists"] < few["exists"] + 10
    assert many["delete"] < few["delete"] + 10


@pytest.mark.slow
def test_worker_processes_read_score_and_write_there(
    bundle: Bundles, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bundle("ae"), MODEL)
    # Beam's local engine passes no options to its worker processes, not even --beam_plugins.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import tests.support.object_store\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{PROJECT}")
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    score([f"{FOLDER}/img"], MODEL, RUN, beam_flags=flags)
    _check_whole(RUN)
    score([str(data / "img")], str(bundle("ae")), str(tmp_path / "here"))
    assert _rows(_local(RUN, tmp_path / "there")) == _rows(tmp_path / "here")
    assert verify(RUN, [f"{FOLDER}/img"])["ok"]
