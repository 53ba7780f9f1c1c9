"""Formats detected from first bytes: those that writers produce, and descriptions of others."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transforms.records.signatures import START_BYTES, Kind, foreign, kind_of


def _written(write: Callable[[IO[bytes]], Any]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _saved(file_format: str, mode: str = "RGB") -> bytes:
    return _written(lambda file: Image.new(mode, (5, 3)).save(file, file_format))


def _tar(file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))


def _zip(file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"")


WRITTEN = {
    **{Kind(name.lower()): _saved(name) for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")},
    Kind.PARQUET: _written(lambda file: pq.write_table(pa.table({"a": [1]}), file)),
    Kind.NPY: _written(lambda file: np.save(file, np.zeros(3))),
    Kind.ZIP: _written(lambda file: np.savez(file, np.zeros(3))),
    Kind.TAR: _written(_tar),
    Kind.GZIP: gzip.compress(b"abc"),
}


@pytest.mark.parametrize("kind", Kind)
def test_what_writers_write_is_told(kind: Kind) -> None:
    start = WRITTEN[kind][:START_BYTES]
    assert kind_of(start) is kind
    assert (foreign(start) is None) is kind.is_image


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bitmaps_are_told_without_their_file_header(mode: str) -> None:
    assert kind_of(_saved("BMP", mode)) is kind_of(_saved("DIB", mode)) is Kind.BMP


def test_tiffs_of_either_order_are_told_and_archives_without_members() -> None:
    starts = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")  # as Pillow accepts them
    assert {kind_of(start + b"\x08\0\0\0") for start in starts} == {Kind.TIFF}
    assert kind_of(_written(lambda file: zipfile.ZipFile(file, "w").close())) is Kind.ZIP


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_a_start_that_is_cut_is_told_or_is_none(kind: Kind, data: st.DataObject) -> None:
    whole = WRITTEN[kind]
    assert kind_of(whole[: data.draw(st.integers(0, len(whole)))]) in (kind, None)


@given(st.binary(max_size=64))
def test_any_bytes_have_an_answer(start: bytes) -> None:
    kind, words = kind_of(start), foreign(start)
    assert words is None or 5 < len(words) < 120
    assert kind is None or not kind.is_image or words is None


FOREIGN = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": _saved("AVIF"),
    "JPEG 2000": _saved("JPEG2000"),
    "JPEG XL": b"\xff\n\xfa\x1f",
    "DICOM": bytes(128) + b"DICM" + bytes(100),
    "HTML": b"\xef\xbb\xbf\r\n <!DOCTYPE HTML><html><body>404 Not Found",
    "SVG": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">',
    "XML": b'<?xml version="1.0"?><annotation>',
    "PDF": _saved("PDF"),
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64,
    "gzip": WRITTEN[Kind.GZIP],
    "ZIP": _written(_zip),
    "tar": WRITTEN[Kind.TAR],
    "Photoshop": b"8BPS\0\1" + bytes(20),
    "CR2": b"II*\0\x10\0\0\0CR\2\0",
    "RAF": b"FUJIFILMCCD-RAW 0201",
    "JSON": json.dumps({"error": "not found"}).encode(),
    "text": "Größe: nicht gefunden".encode()[:3],  # truncated within a character
    "portable anymap": _saved("PPM"),
    "icon": _written(lambda file: Image.new("L", (32, 32)).save(file, "ICO")),
    "video": b"\0\0\0\x18ftypisom\0\0\2\0",
    "zero bytes": bytes(START_BYTES),
    "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X",
}


@pytest.mark.parametrize("word", FOREIGN)
def test_what_is_not_read_is_named(word: str) -> None:
    words = foreign(FOREIGN[word][:START_BYTES])
    assert words is not None
    assert word in words
    kind = kind_of(FOREIGN[word][:START_BYTES])
    assert kind is None or not kind.is_image


@pytest.mark.parametrize("start", [b"", b"\x01\x02\xfe\xff\x80", b"abc\x07\x00\x01"])
def test_what_cannot_be_told_is_not_guessed_at(start: bytes) -> None:
    assert kind_of(start) is None
    assert foreign(start) is None
