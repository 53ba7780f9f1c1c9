"""Malicious archives, configurations and text: rejects, a one-line error, or harmless text."""

import gzip
import io
import json
import os
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ae_models.config.configuration import read_mapping, with_overrides
from ae_models.errors import ConfigError, InputError
from pipelines.cli.options import print_result
from pipelines.console.escape import shown
from pipelines.drawing.reconstruction import reconstruction_grid
from tests.fuzz.containers import example, tfrecord
from transforms.records.batches import BatchLimits
from transforms.sources import resolve_inputs


def _image() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), 7).save(file, "PNG")
    return file.getvalue()


PNG = _image()


def _rows(path: Path | str, limits: BatchLimits | None = None) -> list[dict[str, Any]]:
    started = time.process_time()
    (source,) = resolve_inputs([str(path)])
    source.carried()
    batches = (b for task in source.tasks() for b in source.read(task, limits or BatchLimits()))
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert time.process_time() - started < 5
    return rows


def _reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["reject"] and row["reject"]["reason"] for row in rows]


def test_image_files_beyond_the_limit_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.png").write_bytes(bytes(5000))
    with (tmp_path / "c.png").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no space
    os.mkfifo(tmp_path / "d.png")
    (tmp_path / "e.png").symlink_to("/dev/zero")  # leads out of the folder, so it is passed over
    rows = _rows(tmp_path, BatchLimits(record_bytes=4999))
    assert _reasons(rows) == [None, "too_large", "too_large", "unreadable"]
    assert "5000 bytes; the limit is 4999" in rows[1]["reject"]["message"]
    assert _reasons(_rows(tmp_path))[:3] == [None, None, "too_large"]


def test_a_tfrecord_of_endless_length_is_not_read(tmp_path: Path) -> None:
    records = [example(PNG, number) for number in range(3)]
    head = struct.pack("<Q", 1 << 60)
    forged = head + tfrecord([head])[12 + 8 : 12 + 8 + 4]  # a length with its checksum
    data = tfrecord(records) + forged + bytes(1000)
    (tmp_path / "a.tfrecord").write_bytes(data)
    (tmp_path / "b.tfrecord.gz").write_bytes(gzip.compress(data))
    (tmp_path / "c.tfrecord").write_bytes(tfrecord([records[0], example(bytes(5000), 1)]))
    for name in ("a.tfrecord", "b.tfrecord.gz"):
        rows = _rows(tmp_path / name)
        assert _reasons(rows) == [None, None, None, "too_large"]
        assert f"a record of {1 << 60} bytes" in rows[3]["reject"]["message"]
    limited = _rows(tmp_path / "c.tfrecord", BatchLimits(record_bytes=4999))
    assert _reasons(limited) == [None, "too_large"]


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], tail: bytes = b"") -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for member, data in members:
            member.size = member.size or len(data)
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    if tail:
        content = path.read_bytes().rstrip(b"\0")
        path.write_bytes(content.ljust(-(-len(content) // 512) * 512, b"\0") + tail)
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def _header(kind: bytes, size: int, name: str = "x.png") -> bytes:
    member = _member(name, kind)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def test_a_tar_writes_nothing_and_follows_nothing(tmp_path: Path) -> None:
    """Names are only ids: no member is extracted, no link or device opened."""
    before = set(tmp_path.parent.rglob("*"))
    path = _tar(
        tmp_path / "a.tar",
        (_member("../../escaped.png"), PNG),
        (_member("/absolute.png"), PNG),
        (_member("link.png", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (_member("hard.png", tarfile.LNKTYPE, "../../../etc/passwd"), b""),
        (_member("device.png", tarfile.CHRTYPE), b""),
        (_member("pipe.png", tarfile.FIFOTYPE), b""),
    )
    rows = _rows(path)
    assert _reasons(rows) == [None, None, *["no_image"] * 4]
    assert [row["image"] for row in rows[:2]] == [PNG, PNG]
    assert set(tmp_path.parent.rglob("*")) - before == {path}


def test_members_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    path = _tar(tmp_path / "a.tar", (_member("a.png"), PNG), (_member("b.png"), bytes(5000)),
                (_member("c.png"), PNG), (_member("c.json"), b" " * (5 << 20)),
                (_member("d.png"), PNG))  # fmt: skip
    rows = _rows(path, BatchLimits(record_bytes=4999))
    assert _reasons(rows) == [None, "too_large", "too_large", None]


HEADERS = {
    "a name of a terabyte": _header(tarfile.GNUTYPE_LONGNAME, 1 << 40),
    "a name of gigabytes": _header(tarfile.GNUTYPE_LONGNAME, 5 << 30),
    "an extended header of a terabyte": _header(tarfile.XHDTYPE, 1 << 40),
    "extended headers without end": (_header(tarfile.XHDTYPE, 0)) * 3000,
    "names without end": (_header(tarfile.GNUTYPE_LONGNAME, 1) + bytes(512)) * 3000,
    "an extended header of digits": _header(tarfile.XHDTYPE, 1 << 20) + b"1" * (1 << 20),
    "a negative size": _header(tarfile.REGTYPE, -1024),
    "a negative size by an extended header": _header(tarfile.XHDTYPE, 512)
    + b"15 size=-10240\n".ljust(512, b"\0")
    + _header(tarfile.REGTYPE, 0),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_a_tar_of_forged_headers_ends(tmp_path: Path, name: str, ending: str) -> None:
    members = [(_member("a.png"), PNG), (_member("b.png"), PNG)]
    path = _tar(tmp_path / "a.tar", *members, tail=HEADERS[name] + bytes(1024))
    data = path.read_bytes()
    path = tmp_path / f"b{ending}"
    path.write_bytes(gzip.compress(data) if ending == ".tar.gz" else data)
    first, *others = _reasons(_rows(path))
    assert first is None
    assert set(others) == {"unreadable"}
    assert len(others) < 1000, "not each of 6,000 endless headers is read again"


def test_a_sample_of_endless_members_ends(tmp_path: Path) -> None:
    members = [(_member(f"a.{number}"), b"") for number in range(2000)]
    rows = _rows(_tar(tmp_path / "a.tar", (_member("0.png"), PNG), *members))
    assert _reasons(rows) == [None, "unreadable"]


def _npz(path: Path, header: dict[str, Any], data: bytes = b"", method: int = 0) -> Path:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"fortran_order": False, **header})
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", file.getvalue() + data)
    return path


NPZS: dict[str, tuple[dict[str, Any], int]] = {
    "rows without end": ({"descr": "|u1", "shape": (10**12, 8, 8)}, 0),
    "images without end": ({"descr": "|u1", "shape": (1, 10**9, 10**9)}, 0),
    "a product beyond 64 bits": ({"descr": "|u1", "shape": (3, 2**32, 2**32)}, 0),
    "a negative number of rows": ({"descr": "|u1", "shape": (-1, 8, 8)}, 0),
    "objects": ({"descr": "|O", "shape": (3, 8, 8)}, 0),
    "another compression": ({"descr": "|u1", "shape": (3, 8, 8)}, zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("name", NPZS)
def test_a_forged_npz_is_refused_or_one_reject(tmp_path: Path, name: str) -> None:
    header, method = NPZS[name]
    path = _npz(tmp_path / "b.npz", header, bytes(192), method)
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 8, 8), np.uint8))
    if name not in ("images without end", "a product beyond 64 bits"):  # found when they are read
        with pytest.raises(InputError):
            _rows(path)
    rows = _rows(f"{tmp_path}/*.npz")
    assert _reasons(rows) == [None, None, "unreadable"]


def test_a_zip_that_claims_more_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    path = _npz(tmp_path / "a.npz", {"descr": "|u1", "shape": (10, 8, 8)}, bytes(640))
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)  # its uncompressed size
    path.write_bytes(data)
    with pytest.raises(InputError, match="4294967280 bytes from 768 compressed"):
        _rows(path)


def test_labels_of_megabytes_are_refused(tmp_path: Path) -> None:
    labels = np.zeros(3, "U100000")
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((3, 8, 8), np.uint8), y=labels)
    with pytest.raises(InputError, match="labels of shape"):
        _rows(tmp_path / "a.npz")


def test_a_dictionary_of_one_large_image_stays_within_the_limit(tmp_path: Path) -> None:
    """100,000 rows of 4 MB, in a file of kilobytes: batches stay small, and reading can stop."""
    image = pa.array([bytes(4 << 20)], pa.binary())
    column = pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), image)
    for kind in (None, "struct"):
        table = pa.table({"image": column})
        if kind:
            table = pa.table({"image": pa.StructArray.from_arrays([column], ["bytes"])})
        path = tmp_path / "a.parquet"
        pq.write_table(table, path, compression="zstd", store_schema=False)
        assert path.stat().st_size < 1 << 20
        (source,) = resolve_inputs([str(path)])
        limits = BatchLimits(record_bytes=16 << 20)
        batches = source.read(next(source.tasks()), limits)
        before = pa.total_allocated_bytes()
        pa.default_memory_pool().bytes_allocated()
        for _ in range(3):
            assert next(batches).nbytes < 20 << 20
            assert pa.total_allocated_bytes() - before < 100 << 20
        batches.close()


def test_cells_beyond_the_limit_are_rejects(tmp_path: Path) -> None:
    images = pa.array([PNG, bytes(5000), None, PNG], pa.binary())
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    rows = _rows(tmp_path / "a.parquet", BatchLimits(record_bytes=4999))
    assert _reasons(rows) == [None, "too_large", None, None]
    assert [row["image"] for row in rows] == [PNG, None, None, PNG]


def test_texts_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"bad \xff"], pa.binary()).view(pa.string())
    table = pa.table({"id": texts, "image": pa.array([PNG, PNG], pa.binary()), "name": texts})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = _rows(tmp_path / "a.parquet")
    assert [(row["id"], row["name"]) for row in rows] == [("good", "good"), ("bad \\xff",) * 2]


YAMLS = {
    "billion laughs": "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "merges": "a: &a {k: v}\n"
    + "".join(
        f"{b}: &{b}\n  <<: [{', '.join([f'*{a}'] * 10)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "a list in itself": "a: &a [*a]\n",
    "depth": "[" * 5000,
    "length": "a: " + "x" * (1 << 20),
    "an object": "a: !!python/object/apply:os.system ['true']\n",
}


@pytest.mark.parametrize("name", YAMLS)
def test_a_configuration_that_is_a_bomb_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(YAMLS[name])
    started = time.process_time()
    with pytest.raises(ConfigError, match="cannot read the configuration") as caught:
        read_mapping(path)
    assert time.process_time() - started < 5
    assert len(str(caught.value)) < 1000
    if name != "length":
        with pytest.raises(ConfigError, match=r"--set a\.b: not a YAML value"):
            with_overrides({}, [f"a.b={YAMLS[name]}"])


ORDERS = "id\x1b[2J\x1b]0;title\x07\r\n\u202egnp.exe\u2028\x9b31m"


def test_text_for_a_terminal_gives_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("plain text, äöü 漢字 🙂") == "plain text, äöü 漢字 🙂"
    assert shown(ORDERS).isprintable()
    assert "\\x1b[2J" in shown(ORDERS)
    print_result({}, False, lambda _: [f"1 missing records, such as {ORDERS}", "the end"])
    printed = capsys.readouterr().out
    assert printed.splitlines()[1] == "the end"
    assert all(character.isprintable() or character == "\n" for character in printed)
    print_result({"id": ORDERS}, True, None)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"id": ORDERS}
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_titles_of_a_picture_are_no_formulas(tmp_path: Path) -> None:
    images = np.zeros((3, 4, 4, 1), np.float32)
    titles = [r"$\frac{", ORDERS, "x" * 100_000]
    reconstruction_grid(
        str(tmp_path / "a.png"), images, images, titles=titles, heading=r"$\notacommand{"
    )
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width < 2000
        assert zlib.crc32(picture.tobytes())


def test_a_member_without_its_ending_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"no matter")
    with pytest.raises(InputError, match="no array 'x'"):
        list(resolve_inputs([str(path)])[0].carried())
