"""The same images in every layout, processed by the commands: the same scores, bit by bit."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.cli import main
from tests.support.command import run_command
from tests.support.made_once import made_once

pytestmark = pytest.mark.slow
COUNT = 160
Write = Callable[[Path], Any]


def _pixels() -> np.ndarray:
    """(160, 32, 32, 3) uint8: waves, and noise on them."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    waves = 128 + 60 * np.sin(x / 5 + 6.28 * random.random((COUNT, 1, 1))) + 40 * np.cos(y / 4)
    noisy = waves[..., None] + random.normal(0, 5, (COUNT, 32, 32, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


PIXELS = _pixels()
PNGS = [_png(image) for image in PIXELS]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROWS = [{"bytes": png, "path": f"{number}.png"} for number, png in enumerate(PNGS)]


def _images(folder: Path, ending: str = ".png") -> None:
    folder.mkdir(parents=True)
    for number, png in enumerate(PNGS):
        (folder / f"{number:03}{ending}").write_bytes(png)


def _parquet(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=16)


def _paths(folder: Path, column: pa.Array) -> None:
    _images(folder / "files")
    _parquet(folder / "a.parquet", image=column)


def _spark() -> pa.Array:
    rows = [
        {
            **{"origin": f"{number}", "height": 32, "width": 32, "nChannels": 3, "mode": 16},
            "data": image[..., ::-1].tobytes(),
        }
        for number, image in enumerate(PIXELS)
    ]
    numbers = [(name, pa.int32()) for name in ("height", "width", "nChannels", "mode")]
    return pa.array(rows, pa.struct([("origin", pa.string()), *numbers, ("data", pa.binary())]))


def _tfrecord(path: Path, **features: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for values in zip(*features.values(), strict=True):
            typed = {}
            for name, value in zip(features, values, strict=True):
                if isinstance(value, bytes):
                    kind = {"bytes_list": tf.train.BytesList(value=[value])}
                else:
                    kind = {"int64_list": tf.train.Int64List(value=[value])}
                typed[name.replace("__", "/")] = tf.train.Feature(**kind)
            example = tf.train.Example(features=tf.train.Features(feature=typed))
            writer.write(example.SerializeToString())


def _tar(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for number, png in enumerate(PNGS):
            member = tarfile.TarInfo(f"{number:03}.png")
            member.size = len(png)
            archive.addfile(member, io.BytesIO(png))


def _npz(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


RAW = {"image_raw": [image.tobytes() for image in PIXELS]}
SIDES = {"height": [32] * COUNT, "width": [32] * COUNT, "depth": [3] * COUNT}
LISTS = pa.list_(STRUCT)
NAMED_PATHS = [f"files/{number:03}.png" for number in range(COUNT)]
# By name: the function that writes the input, the path to give, and flags.
LAYOUTS: dict[str, tuple[Write, str, list[str]]] = {
    "no_endings": (lambda d: _images(d, ""), "", []),
    "other_endings": (lambda d: _images(d, ".img"), "*.img", []),
    "parquet_img": (lambda d: _parquet(d / "a.parquet", img=pa.array(ROWS, STRUCT)), "", []),
    "parquet_list": (
        lambda d: _parquet(d / "a.parquet", image=pa.array([[row] for row in ROWS], LISTS)),
        "a.parquet",
        [],
    ),
    "parquet_spark": (lambda d: _parquet(d / "a.parquet", image=_spark()), "a.parquet", []),
    "parquet_tensor": (
        lambda d: _parquet(
            d / "a.parquet", image=pa.FixedShapeTensorArray.from_numpy_ndarray(PIXELS)
        ),
        "a.parquet",
        [],
    ),
    "parquet_paths": (lambda d: _paths(d, pa.array(NAMED_PATHS)), "a.parquet", []),
    "parquet_struct_of_paths": (
        lambda d: _paths(d, pa.array([{"bytes": None, "path": it} for it in NAMED_PATHS], STRUCT)),
        "a.parquet",
        [],
    ),
    "parquet_partition": (
        lambda d: _parquet(d / "label=good" / "part-0.parquet", content=PNGS, mask=PNGS),
        "",
        ["--image_column", "content"],
    ),
    "tfrecord_records": (lambda d: _tfrecord(d / "a.record", image__encoded=PNGS), "", []),
    "tfrecord_shards": (lambda d: _tfrecord(d / "train-00000-of-00001", image=PNGS), "", []),
    "tfrecord_raw": (lambda d: _tfrecord(d / "a.tfrecords", **RAW, **SIDES), "a.tfrecords", []),
    "tfrecord_named": (
        lambda d: _tfrecord(d / "a.dat", left=PNGS, right=PNGS, n=list(range(COUNT))),
        "a.dat",
        ["--format", "tfrecord", "--image_column", "left", "--id_column", "n"],
    ),
    "tars": (lambda d: _tar(d / "in" / "a.tgz"), "", []),
    "npz_medmnist": (
        lambda d: _npz(
            d / "a.npz",
            train_images=PIXELS,
            train_labels=np.zeros((COUNT, 1), np.uint8),
            test_images=PIXELS[:3],
        ),
        "a.npz#train",
        [],
    ),
    "npz_floats": (lambda d: _npz(d / "a.npz", x_test=(PIXELS / 255).astype("f4")), "a.npz", []),
    "npz_channels_first": (
        lambda d: _npz(d / "a.npz", arr_0=np.ascontiguousarray(np.moveaxis(PIXELS, -1, 1))),
        "a.npz",
        [],
    ),
    "npy": (lambda d: (d.mkdir(), np.save(d / "a.npy", PIXELS)), "a.npy", []),
}


@pytest.fixture
def images_and_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images as files, a bundle of a small model and the images' scores."""

    def make(folder: Path) -> None:
        folder.mkdir()
        _images(folder / "images")
        flags = ["--set", "model.network=dense", "--set", "model.latent_dim=4", "--epochs", "1",
                 "--features", "none"]  # fmt: skip
        assert _status("train", "--input", folder / "images", *flags, "--model", "ae",
                       "--output", folder / "bundle") == 0  # fmt: skip
        assert _status("score", "--input", folder / "images", "--model", folder / "bundle",
                       "--output", folder / "run") == 0  # fmt: skip

    return made_once(tmp_path_factory, "layouts", make)


def _status(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_images_have_the_same_scores_in_every_layout(
    layout: str,
    images_and_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write, given, flags = LAYOUTS[layout]
    write(tmp_path / "in")
    uri, run = f"{tmp_path}/in/{given}".rstrip("/"), str(tmp_path / "run")
    inputs = ["--input", uri, *flags]
    score = ["score", *inputs, "--model", str(images_and_bundle / "bundle"), "--output", run]
    status, _, told = run_command(score, capsys)
    assert status == 0, told
    records = json.loads((tmp_path / "run" / "run.json").read_text())["records"]
    assert (records["read"], records["scored"], records["rejected"]) == (COUNT, COUNT, 0)
    found, expected = (
        np.sort(pq.read_table(folder / "scores")["score"].to_numpy())
        for folder in (tmp_path / "run", images_and_bundle / "run")
    )
    assert found.tobytes() == expected.tobytes()
    # Read like the run, without the flags.
    status, out, told = run_command(["verify", "--input", uri, "--scores", run, "--json"], capsys)
    assert status == 0, told
    assert json.loads(out)["ok"]


def test_a_run_is_explored_as_it_was_read(
    images_and_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, given, flags = LAYOUTS["tfrecord_named"]
    write(tmp_path / "in")
    uri, bundle = f"{tmp_path}/in/{given}", str(images_and_bundle / "bundle")
    run = str(tmp_path / "run")
    score = ["score", "--input", uri, *flags, "--model", bundle, "--output", run]
    assert run_command(score, capsys)[0] == 0
    common = ["--model", bundle, "--json"]
    explore = ["explore", "reconstruct", "--input", uri, *flags, *common]
    explore += ["--ids", "7", "--output", str(tmp_path / "a.png")]
    status, out, told = run_command(explore, capsys)
    assert status == 0, told
    assert json.loads(out)["records"][0]["id"] == "7"
    report = ["report", "--scores", run, *common, "--output", str(tmp_path / "a.html")]
    status, out, told = run_command(report, capsys)
    assert status == 0, told
    assert json.loads(out)["pictures"] == {"found": COUNT, "missing": 0}
