"""The programs' inputs: random or synthetic images in every kind of file, made once and stored."""

import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from PIL import Image

_SIDE = 28
_GROUP_ROWS = 8192
_DISTINCT_PHOTOGRAPHS, _PHOTOGRAPH_SIDE = 100, 1024
_SNAPSHOT_SIDE, _SMALL_SNAPSHOT_SIDE = 400, 224


def _images(count: int) -> Iterator[np.ndarray]:
    """Blocks of (n, 28, 28) uint8, the same for every kind of file."""
    generator = np.random.default_rng(0)
    for start in range(0, count, _GROUP_ROWS):
        rows = min(_GROUP_ROWS, count - start)
        yield generator.integers(0, 256, (rows, _SIDE, _SIDE), np.uint8)


def _npz(path: Path, count: int) -> None:
    np.savez(path, x=np.concatenate(list(_images(count))))


def _parquet(path: Path, count: int) -> None:
    """A file with a binary column and an id, uncompressed: the fastest to read row by row."""
    size = _SIDE * _SIDE
    metadata = {"shape": f"[{_SIDE}, {_SIDE}, 1]", "dtype": "uint8"}
    schema = pa.schema([("id", pa.string()), pa.field("image", pa.binary(size), metadata=metadata)])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        first = 0
        for block in _images(count):
            ids = pa.array([f"{first + row:09d}" for row in range(len(block))])
            raw = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(size), len(block), [None, pa.py_buffer(block.reshape(-1))]
            )
            writer.write_table(pa.Table.from_arrays([ids, raw], schema=schema))
            first += len(block)


def _tfrecord(path: Path, count: int) -> None:
    """Examples with a PNG and its name."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        number = 0
        for block in _images(count):
            for image in block:
                features = {
                    "image/encoded": _encoded(image, "PNG"),
                    "image/filename": b"%09d" % number,
                }
                writer.write(_example(features))
                number += 1


def _example(features: dict[str, bytes]) -> bytes:
    lists = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()


def _encoded(image: np.ndarray, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def _pngs(folder: Path, count: int) -> None:
    folder.mkdir()
    number = 0
    for block in _images(count):
        for image in block:
            (folder / f"{number:09d}.png").write_bytes(_encoded(image, "PNG"))
            number += 1


def _photographs(folder: Path, count: int, side: int = _PHOTOGRAPH_SIDE) -> None:
    """Square JPEGs: a hundred distinct ones under many names."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:09d}.jpg"
        if number < _DISTINCT_PHOTOGRAPHS:
            path.write_bytes(_encoded(_photograph(generator, side), "JPEG", quality=90))
        else:
            os.link(folder / f"{number % _DISTINCT_PHOTOGRAPHS:09d}.jpg", path)


def _photograph(generator: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) uint8 whose amplitudes fall with frequency, as in natural images (Field
    1987), with a little grain."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(generator.standard_normal((3, side, side)))
    planes = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / side), s=(side, side))
    planes[1:] = planes[:1] + planes[1:] / 4  # colours differ less than brightness
    scaled = 128 + 50 * planes / planes.std() + generator.normal(0, 2, planes.shape)
    return np.clip(scaled, 0, 255).astype(np.uint8).transpose(1, 2, 0)


MAKERS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "npz": (".npz", _npz),
    "parquet": (".parquet", _parquet),
    "tfrecord": (".tfrecord", _tfrecord),
    "pngs": ("", _pngs),
    "photographs": ("", _photographs),
    "snapshots": ("", functools.partial(_photographs, side=_SNAPSHOT_SIDE)),
    "small_snapshots": ("", functools.partial(_photographs, side=_SMALL_SNAPSHOT_SIDE)),
}


def make_input(kind: str, count: int, folder: Path) -> Path:
    """`count` images as one kind of input, in `folder`; created if it does not exist."""
    ending, make = MAKERS[kind]
    path = folder / f"{kind}-{count}{ending}"
    if not path.exists():
        partial = folder / f"partial-{os.getpid()}{ending}"
        make(partial, count)
        partial.rename(path)
    return path
