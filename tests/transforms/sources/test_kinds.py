"""The kind of an input: by its name, by its content, or as the user states."""

import gzip
import io
import shutil
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

from ae_models.errors import InputError
from tests.support.reading import passed_over_by, read_rows
from transforms.sources import ReadOptions, Source, resolve_inputs
from transforms.sources.kinds import IMAGE_ENDINGS, has_ending, kind_by_name


def _image(kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), 9).save(file, kind)
    return file.getvalue()


def _images(path: Path) -> None:
    path.write_bytes(_image())


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"image": [_image()]}), path)


def _tfrecord(path: Path) -> None:
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[_image()]))
    example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": value}))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())


def _webdataset(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(_image())
        archive.addfile(member, io.BytesIO(_image()))


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.zeros((1, 4, 4), np.uint8))


def _npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((1, 4, 4), np.uint8))


def _packed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def written(path: Path) -> None:
        write(path)
        path.write_bytes(gzip.compress(path.read_bytes()))

    return written


WRITERS = {
    "images": [_images],
    "parquet": [_parquet],
    "tfrecord": [_tfrecord, _packed(_tfrecord)],
    "webdataset": [_webdataset, _packed(_webdataset)],
    "npz": [_npz, _npy],
}
EACH = [(kind, write) for kind, writers in WRITERS.items() for write in writers]
CLASSES = {
    "images": "ImageFiles",
    "parquet": "ParquetFiles",
    "tfrecord": "TFRecordFiles",
    "webdataset": "WebDataset",
    "npz": "NpzArrays",
}


def _source(uri: str | Path, **options: Any) -> Source:
    (source,) = resolve_inputs([str(uri)], ReadOptions(**options))
    return source


@pytest.mark.parametrize(("kind", "write"), EACH)
@pytest.mark.parametrize(
    "name", ["noending", "train-00000-of-00001", "2021.03.04", "x.jpg?size=large", "a.dat"]
)
def test_a_file_is_of_the_kind_that_its_first_bytes_say(
    tmp_path: Path, kind: str, write: Callable[[Path], None], name: str
) -> None:
    write(tmp_path / name)
    source = _source(tmp_path / name)
    assert type(source).__name__ == CLASSES[kind]
    (row,) = read_rows(source)
    assert row["reject"] is None
    assert row["id"].startswith(name)


@pytest.mark.parametrize(("kind", "write"), EACH)
def test_a_folder_is_of_the_kind_of_its_files(
    tmp_path: Path, kind: str, write: Callable[[Path], None]
) -> None:
    folder = tmp_path / "in"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("x")
    (folder / ".cache").mkdir()
    _images(folder / ".cache" / "a.png")
    write(folder / "data" / "train-00000-of-00001")
    for uri in (folder, f"{folder}/", f"{folder}/data/*", f"{folder}/*/train-*"):
        source = _source(uri)
        assert type(source).__name__ == CLASSES[kind]
        assert len(read_rows(source)) == 1
    assert passed_over_by(folder)["hidden"] == 1


def test_a_pattern_that_names_an_ending_means_all_files_of_it(tmp_path: Path) -> None:
    for name in ("a.raw", "b.raw", "c.txt"):
        _parquet(tmp_path / name)
    assert [row["id"] for row in read_rows(tmp_path / "*.raw")] == ["a.raw#0", "b.raw#0"]


def test_images_count_before_other_kinds_and_two_of_these_are_refused(tmp_path: Path) -> None:
    _parquet(tmp_path / "a.parquet")
    _npz(tmp_path / "b.npz")
    with pytest.raises(InputError, match=r"npz \(.*b\.npz\), parquet \(.*a\.parquet\); .*--format"):
        _source(tmp_path)
    assert [row["id"] for row in read_rows(_source(tmp_path, format="parquet"))] == ["a.parquet#0"]
    assert [row["id"] for row in read_rows(_source(tmp_path, format="npz"))] == ["b.npz#0"]
    _images(tmp_path / "z")
    source = _source(tmp_path)
    assert [row["id"] for row in read_rows(source)] == ["z"]
    assert passed_over_by(source) == {"other_kind": 2}


def test_a_folder_named_as_a_file_is_what_it_holds(tmp_path: Path) -> None:
    for name, write in (("set.parquet", _images), ("photos.tar", _parquet)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a")
    assert type(_source(tmp_path / "set.parquet")).__name__ == "ImageFiles"
    assert type(_source(tmp_path / "photos.tar")).__name__ == "ParquetFiles"


def test_the_format_that_is_said_counts(tmp_path: Path) -> None:
    _parquet(tmp_path / "a.tfrecord")
    (row,) = read_rows(_source(tmp_path / "a.tfrecord", format="parquet"))
    assert row["image"] == _image()
    _images(tmp_path / "b.dat")
    (tmp_path / "c.dat").write_text("none")
    assert [row["id"] for row in read_rows(_source(tmp_path, format="images"))] == ["b.dat"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"a.{ending}", "images") for ending in IMAGE_ENDINGS),
        *((f"A.{ending.upper()}", "images") for ending in IMAGE_ENDINGS),
        *((f"a.{ending}", "parquet") for ending in ("parquet", "parq", "pq", "snappy.parquet")),
        *((f"a.{ending}", "tfrecord") for ending in ("tfrecord", "tfrecords", "tfrec", "record")),
        *((f"a.{ending}", "tfrecord") for ending in ("tfrecords.gz", "tfrecord-1-of-2")),
        *((f"a.{ending}", "webdataset") for ending in ("tar", "tar.gz", "tgz")),
        *(("a.npz", "npz"), ("a.npy", "npz")),
        *((name, None) for name in ("png", ".png", "a.png.gz", "a.txt", "a", "a.gz", "parquet")),
    ],
)
def test_endings_say_the_kind(name: str, kind: str | None) -> None:
    assert kind_by_name(f"folder.png/{name}") == kind


def test_every_ending_that_pillow_has_of_the_formats_is_known() -> None:
    Image.init()
    formats = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF")
    theirs = {
        ending[1:] for ending, kind in Image.registered_extensions().items() if kind in formats
    }
    assert theirs <= set(IMAGE_ENDINGS)


@pytest.mark.parametrize(
    ("name", "has"),
    [
        *(("a.txt", True), ("a.b.NEF", True), ("a.jpg~", True), ("a.h5", True)),
        *(("a", False), (".a", False), ("a.", False), ("v1.2", False), ("a.jpg?x=1", False)),
    ],
)
def test_what_is_an_ending(name: str, has: bool) -> None:
    assert has_ending(f"x.txt/{name}") == has


@pytest.mark.parametrize("name", ["noending", "a.dib", "b.jfif", "c.JPE", "photo.jpg_large"])
def test_image_files_are_read_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    kind = {"a.dib": "BMP", "b.jfif": "JPEG", "c.JPE": "JPEG"}.get(name, "PNG")
    (tmp_path / name).write_bytes(_image(kind))
    (tmp_path / "text").write_text("none")
    (tmp_path / "negative.nef").write_bytes(_image("TIFF"))  # camera files begin like a TIFF
    source = _source(tmp_path)
    assert [row["id"] for row in read_rows(source)] == [name]
    assert passed_over_by(source) == {"other_kind": 2}


def test_what_is_no_input_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("<!DOCTYPE html><html>")
    with pytest.raises(
        InputError, match=r"page \(an HTML page, not an image\); supported inputs: .*--format"
    ):
        _source(page)
    with pytest.raises(
        InputError, match=r"no input found in .*: 1 files, for example page \(an HTML page"
    ):
        _source(tmp_path)
    page.write_bytes(b"")
    with pytest.raises(InputError, match=r"page \(an empty file\)"):
        _source(page)
    with pytest.raises(InputError, match="no such file or folder"):
        _source(tmp_path / "nothing")


@pytest.mark.parametrize("option", ["image_column", "id_column", "label_column"])
@pytest.mark.parametrize("write", [_images, _webdataset])
def test_columns_of_what_has_none_are_refused(
    tmp_path: Path, write: Callable[[Path], None], option: str
) -> None:
    write(tmp_path / "a")
    with pytest.raises(InputError, match=rf"--{option} applies to Parquet columns.*'name'"):
        _source(tmp_path, **{option: "name"})


def test_a_shard_whose_first_bytes_are_damaged_is_not_passed_over(tmp_path: Path) -> None:
    for number in range(2):
        _tfrecord(tmp_path / f"train-0000{number}-of-00002")
    damaged = tmp_path / "train-00001-of-00002"
    damaged.write_bytes(b"\xff" + damaged.read_bytes()[1:])
    rows = read_rows(tmp_path)
    assert [row["reject"] and row["reject"]["reason"] for row in rows] == [None, "unreadable"]


def test_a_folder_of_an_input_beside_it_is_refused(tmp_path: Path) -> None:
    _parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="twice"):
        resolve_inputs([str(tmp_path), str(tmp_path / "a.parquet")])


def test_what_is_left_out_says_no_kind(tmp_path: Path) -> None:
    _images(tmp_path / "preview.png")
    _parquet(tmp_path / "a.parquet")
    source = _source(tmp_path, exclude=("*.png",))
    assert [row["id"] for row in read_rows(source)] == ["a.parquet#0"]
    assert passed_over_by(source) == {"excluded": 1}


def test_only_some_files_are_looked_into(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:03}").write_text("none")
    _images(tmp_path / "z.png")
    assert type(_source(tmp_path)).__name__ == "ImageFiles"
    shutil.move(tmp_path / "z.png", tmp_path / "z")
    with pytest.raises(InputError, match=r"no input found in .*: 101 files"):
        _source(tmp_path)
