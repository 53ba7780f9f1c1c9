"""Small files of every kind that holds several records, to be mutated."""

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

_RECORDS = 12
_MASK = 0xA282EAD8


def container_seeds(images: list[bytes]) -> dict[str, list[tuple[str, bytes]]]:
    """By kind, the files' endings and contents. Images are taken from `images`, over and over."""
    several = [images[index % len(images)] for index in range(_RECORDS)]
    records = [example(image, index) for index, image in enumerate(several)]
    pixels = np.arange(_RECORDS * 64, dtype=np.uint8).reshape(_RECORDS, 8, 8)
    tar = _tar(several, tarfile.GNU_FORMAT)
    return {
        "tfrecord": [
            (".tfrecord", tfrecord(records)),
            (".tfrecord.gz", gzip.compress(tfrecord(records), mtime=0)),
        ],
        "parquet": [
            *((".parquet", _parquet(several, **options)) for options in _PARQUETS),
            (".parquet", _raw_parquet(pixels)),
        ],
        "tar": [
            (".tar", tar),
            (".tar", _tar(several, tarfile.PAX_FORMAT)),
            (".tar.gz", gzip.compress(tar, mtime=0)),
        ],
        "npz": [(".npz", _npz(save, pixels)) for save in (np.savez, np.savez_compressed)],
    }


def example(image: bytes, number: int) -> bytes:
    """A serialised tf.Example."""
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
        "image/filename": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[f"{number}.png".encode()])
        ),
        "weight": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def tfrecord(records: list[bytes]) -> bytes:
    """Records with their lengths and checksums."""
    return b"".join(
        head + struct.pack("<I", _masked(head)) + data + struct.pack("<I", _masked(data))
        for data in records
        for head in [struct.pack("<Q", len(data))]
    )


def _masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


_PARQUETS: list[dict] = [
    {"compression": "snappy"},
    {"compression": "zstd", "use_dictionary": False, "row_group_size": 4},
    {"compression": "none", "data_page_version": "2.0", "write_page_checksum": True},
    {"compression": "gzip", "write_page_index": True},
]


def _parquet(images: list[bytes], **options: object) -> bytes:
    table = pa.table(
        {
            "id": [f"record {index}" for index in range(len(images))],
            "image": pa.array(images, pa.binary()),
            "label": pa.array(range(len(images)), pa.int64()),
            "split": pa.array(["train", "test"] * (len(images) // 2)).dictionary_encode(),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _raw_parquet(pixels: np.ndarray) -> bytes:
    field = pa.field(
        "image", pa.binary(64), metadata={"shape": json.dumps([8, 8, 1]), "dtype": "uint8"}
    )
    column = pa.array([image.tobytes() for image in pixels], pa.binary(64))
    file = io.BytesIO()
    pq.write_table(pa.table([column], schema=pa.schema([field])), file)
    return file.getvalue()


def _tar(images: list[bytes], kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for number, image in enumerate(images):
            name = "long/" * 25 * (number % 2) + f"{number:03d}ä"
            members = {"png": image, "cls": b"%d" % number, "json": b'{"a": 1, "b": "text"}'}
            for ending, data in members.items():
                member = tarfile.TarInfo(f"{name}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


def _npz(save: Callable[..., None], pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, x=pixels, y=np.arange(len(pixels)))
    return file.getvalue()


def written(folder: Path, ending: str, data: bytes) -> str:
    """The input's path."""
    path = folder / f"fuzz{ending}"
    path.write_bytes(data)
    return str(path)
