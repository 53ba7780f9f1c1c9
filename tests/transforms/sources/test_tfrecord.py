"""TFRecord files, written by TensorFlow, as image records."""

import gzip
import io
import itertools
import pickle
import struct
import tempfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ae_models.errors import InputError
from tests.support.reading import read_batches, read_rows
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import Cause, PassedOver
from transforms.sources import resolve_inputs
from transforms.sources.recovery.record_file import Damage, record_batches, record_heads
from transforms.sources.source import bounded_batches
from transforms.sources.tfrecord import ExampleRows
from transforms.storage import files


def _example(**features: Any) -> bytes:
    """A serialised `tf.train.Example`; `__` in a name stands for a slash."""
    typed = {}
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        if not values:
            feature = tf.train.Feature()
        elif isinstance(values[0], bytes):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        elif isinstance(values[0], int):
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        typed[name.replace("__", "/")] = feature
    return tf.train.Example(features=tf.train.Features(feature=typed)).SerializeToString()


def _plain(number: int) -> bytes:
    return _example(image__encoded=bytes([number]) * 100, image__class__label=number)


def _write(path: Path, records: Iterable[bytes], compression: str = "") -> None:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


def _reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["reject"] and row["reject"]["reason"] for row in rows]


@pytest.mark.parametrize(("name", "compression"), [("a.tfrecord", ""), ("a.tfrecord.gz", "GZIP")])
def test_images_labels_and_numbers(tmp_path: Path, name: str, compression: str) -> None:
    _write(tmp_path / name, [_plain(n) for n in range(7)], compression)
    rows = read_rows(tmp_path / name)
    assert [(row["id"], row["label"]) for row in rows] == [(f"{name}#{n}", n) for n in range(7)]
    assert [row["image"] for row in rows] == [bytes([n]) * 100 for n in range(7)]
    assert {row["source"] for row in rows} == {str(tmp_path / name)}


@pytest.mark.parametrize("pattern", ["a.tfrecord-{}-of-00003", "a-{}-of-00003.tfrecord"])
def test_shards_are_known_by_their_names(tmp_path: Path, pattern: str) -> None:
    names = [pattern.format(shard) for shard in ("00000", "00001", "00002")]
    for name in names:
        _write(tmp_path / name, [_plain(n) for n in range(2)])
    expected = [f"{name}#{n}" for name in names for n in range(2)]
    assert [row["id"] for row in read_rows(tmp_path / pattern.format("*"))] == expected
    assert [row["id"] for row in read_rows(tmp_path / names[1])] == expected[2:4]


def test_file_names_are_ids_and_scalars_are_carried(tmp_path: Path) -> None:
    records = [
        _example(
            image__filename=f"cat_{n}.jpg".encode(),
            image__encoded=b"x",
            image__class__text="Kätzchen".encode(),
            weight=0.5 + n,
            score=n,
            boxes=[1, 2, 3],
        )
        for n in range(2)
    ]
    _write(tmp_path / "a.tfrecord", records)
    rows = read_rows(tmp_path / "a.tfrecord")
    assert [row["id"] for row in rows] == ["cat_0.jpg", "cat_1.jpg"]
    assert [row["image/class/text"] for row in rows] == ["Kätzchen"] * 2
    assert [row["weight"] for row in rows] == [0.5, 1.5]
    assert [row["input_score"] for row in rows] == [0, 1]
    assert not {"boxes", "score"} & set(rows[0])


def test_limits_of_rows_and_bytes_bound_each_batch(tmp_path: Path) -> None:
    _write(tmp_path / "a.tfrecord", [_plain(n) for n in range(7)])
    for limits, lengths in (
        (BatchLimits(rows=3), [3, 3, 1]),
        (BatchLimits(image_bytes=200), [2, 2, 2, 1]),
    ):
        batches = read_batches(tmp_path / "a.tfrecord", limits=limits)
        assert [len(batch) for batch in batches] == lengths


def test_records_without_an_image_or_an_example_are_rejects(tmp_path: Path) -> None:
    records = [_plain(0), _example(label=1), b"\xff\xff\xff\xff", _plain(3)]
    _write(tmp_path / "a.tfrecord", records)
    rows = read_rows(tmp_path / "a.tfrecord")
    assert _reasons(rows) == [None, "no_image", "unreadable", None]
    assert [row["id"] for row in rows] == [f"a.tfrecord#{n}" for n in range(4)]


@pytest.mark.parametrize("odd", ["many", 1.5, b"nine", [1, 2], None])
def test_a_feature_of_another_type_spoils_one_record_at_most(tmp_path: Path, odd: Any) -> None:
    odd = odd.encode() if isinstance(odd, str) else odd
    third = {} if odd is None else {"image__class__label": odd}
    records = [_plain(0), _plain(1), _example(image__encoded=b"x", **third), _plain(3)]
    _write(tmp_path / "a.tfrecord", records)
    rows = read_rows(tmp_path / "a.tfrecord")
    assert [row["id"] for row in rows] == [f"a.tfrecord#{n}" for n in range(4)]
    assert [rows[n]["label"] for n in (0, 1, 3)] == [0, 1, 3]
    reasons = _reasons(rows)
    assert reasons[:2] + reasons[3:] == [None] * 3
    # A wrong value is reported or null, never invented.
    assert reasons[2] == "schema_mismatch" or rows[2]["label"] is None


@pytest.mark.parametrize("record", [0, 4, 8])
@pytest.mark.parametrize("place", [0, 5, 8, 30, -1])  # length, its checksum, data, their checksum
def test_a_flipped_byte_loses_its_own_record(tmp_path: Path, place: int, record: int) -> None:
    path = tmp_path / "a.tfrecord"
    _write(path, [_plain(n) for n in range(9)])
    data = bytearray(path.read_bytes())
    size = len(data) // 9
    data[record * size + place % size] ^= 1
    path.write_bytes(data)
    for rows in (read_rows(path), read_rows(path, limits=BatchLimits(rows=2))):
        assert [row["id"] for row in rows] == [f"a.tfrecord#{n}" for n in range(9)]
        assert [row["label"] for row in rows] == [None if n == record else n for n in range(9)]
        assert [n for n, row in enumerate(rows) if row["reject"]] == [record]
        (message,) = (row["reject"]["message"] for row in rows if row["reject"])
        assert message.startswith(f"byte {record * size}: the checksum of a record's ")
        read_on = f"; reading resumed at byte {record * size + size}"
        lost_end = record == 8 and place in {0, 5, 8}
        assert message.endswith("; no record was found after it" if lost_end else read_on)


def test_damage_behind_many_blocks_is_told_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    random = np.random.default_rng(0)
    _write(path, [_example(image__encoded=random.bytes(200_000), n=n) for n in range(30)])
    data = bytearray(path.read_bytes())
    places = [n * (len(data) // 30) for n in (13, 28)]
    assert data[places[1] : places[1] + 12] == data[:12], "records of one length"
    for place in places:
        data[place] ^= 1
    path.write_bytes(data)
    rows = read_rows(path)
    assert [row["n"] for row in rows] == [None if n in (13, 28) else n for n in range(30)]
    messages = [row["reject"]["message"] for row in rows if row["reject"]]
    assert [message.partition(":")[0] for message in messages] == [f"byte {n}" for n in places]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(-40, 40), st.binary(max_size=40))),
)
def test_records_behind_damage_of_any_kind_are_found(
    images: list[bytes], damages: list[tuple[int, int, bytes]]
) -> None:
    """Bytes are replaced by others, fewer or more: everything outside them is read."""
    records = [_example(image__encoded=image, n=n) for n, image in enumerate(images)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tfrecord"
        _write(path, records)
        whole = path.read_bytes()
        starts = [whole.index(record) - 12 for record in records]
        data, cursor, untouched = b"", 0, set(range(len(records)))
        for place, length, new in sorted(
            (a % (len(whole) + 1), max(0, b), c) for a, b, c in damages
        ):
            data += whole[cursor : max(cursor, place)] + new
            cursor = max(cursor, place + length)
            untouched -= {
                n for n, (start, record) in enumerate(zip(starts, records, strict=True))
                if place < start + 16 + len(record) and start < place + max(1, length)
            }  # fmt: skip
        data += whole[cursor:]
        path.write_bytes(data)
        batches = list(record_batches(str(path), BatchLimits(rows=4)))
    found = [record for batch in batches if not isinstance(batch, Damage) for record in batch]
    expected = [record for n, record in enumerate(records) if n in untouched]
    given_out = iter(found)
    assert all(record in given_out for record in expected), "in order"
    assert set(found) - {b""} <= set(records)
    if data == whole:
        assert found == records
    elif len(expected) == len(found) < len(records):
        assert any(isinstance(batch, Damage) for batch in batches)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.lists(st.integers(0, 2**40) | st.integers(0, 300), max_size=9))
def test_heads_are_where_lengths_fit_their_checksums(noise: bytes, lengths: list[int]) -> None:
    block = noise.join(_head(length) for length in [*lengths, 0]) + noise
    expected = []
    for place in range(len(block) - 11):
        (length,) = struct.unpack_from("<Q", block, place)
        if length <= 1 << 28 and block[place : place + 12] == _head(length):
            expected.append(place)
    assert record_heads(block).tolist() == expected
    assert len(expected) >= sum(length <= 1 << 28 for length in lengths)


def _head(length: int) -> bytes:
    """A length and its masked checksum, from the definition of CRC-32C, a bit at a time."""
    data = struct.pack("<Q", length)
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return data + struct.pack("<I", masked)


@pytest.mark.parametrize("length", [200, 1 << 20, 1 << 29, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("name", ["b.tfrecord", "b.tfrecord.gz"])
def test_a_forged_length_reads_no_more_than_there_is(
    tmp_path: Path, name: str, length: int
) -> None:
    _write(tmp_path / "a.tfrecord", [_plain(0)])
    _write(tmp_path / "whole.tfrecord", [_plain(n) for n in range(3)])
    whole = (tmp_path / "whole.tfrecord").read_bytes()
    size = len(whole) // 3
    forged = whole[:size] + _head(length) + whole[size:]
    is_gzip = name.endswith("gz")
    (tmp_path / name).write_bytes(gzip.compress(forged) if is_gzip else forged)
    tracemalloc.start()
    rows = read_rows(tmp_path / "a.tfrecord", tmp_path / name)[1:]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20
    labels = [row["label"] for row in rows]
    assert labels == ([0, None] if is_gzip else [0, None, 1, 2])
    assert f"byte {size}: " in rows[1]["reject"]["message"]


def test_forged_heads_do_not_make_a_search_long(tmp_path: Path) -> None:
    """Each of 10,000 heads claims everything that follows as its data."""
    path = tmp_path / "a.tfrecord"
    heads = b"".join(_head(12 * (10_000 - n) + 2_000_000) for n in range(10_000))
    path.write_bytes(b"damaged" + heads + bytes(3_000_000))
    read = 0

    class Counted(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            nonlocal read
            count = super().readinto(buffer) or 0
            read += count
            return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            files, "open", lambda name, _: io.BufferedReader(Counted(name)), raising=False
        )
        (batch,) = record_batches(str(path), BatchLimits())
    assert isinstance(batch, Damage)
    assert path.stat().st_size < read < 30 * path.stat().st_size


@pytest.mark.parametrize("cut", [1, 5, 13, 60])
def test_a_truncated_file_gives_the_records_before_the_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tfrecord"
    _write(path, [_plain(n) for n in range(3)])
    path.write_bytes(path.read_bytes()[:-cut])
    rows = read_rows(path)
    assert _reasons(rows) == [None, None, "unreadable"]
    place = (path.stat().st_size + cut) // 3 * 2
    assert f"byte {place}: the file is truncated" in rows[2]["reject"]["message"]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_gzip_is_a_reject(tmp_path: Path, damage: str) -> None:

    random = np.random.default_rng(0)
    path = tmp_path / "a.tfrecord.gz"
    _write(path, [_example(image__encoded=random.bytes(9000), n=n) for n in range(200)], "GZIP")
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 255
    path.write_bytes(data)
    rows = read_rows(path)
    assert [row["n"] for row in rows[:-1]] == list(range(len(rows) - 1))
    assert 50 < len(rows) < 150
    assert _reasons(rows) == [None] * (len(rows) - 1) + ["unreadable"]


def test_gzip_cut_between_records_is_noticed(tmp_path: Path) -> None:
    """Every record that arrives is complete: only the missing trailer reveals the damage."""
    path = tmp_path / "a.tfrecord.gz"
    _write(tmp_path / "plain.tfrecord", [_plain(n) for n in range(3)])
    path.write_bytes(gzip.compress((tmp_path / "plain.tfrecord").read_bytes())[:-8])
    assert _reasons(read_rows(path))[-1] == "unreadable"


@pytest.mark.parametrize(
    "content", [b"no record of any kind", b"\x89PNG", b"x" * 5000, b"\x1f\x8b\x08"]
)
def test_first_file_that_is_no_tfrecord_is_an_error(tmp_path: Path, content: bytes) -> None:
    for name in ("a.tfrecord", "a.tfrecord.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"a\.tfrecord"):
            read_rows(tmp_path / name)


def test_a_first_record_that_is_no_example_or_damaged_refuses_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    _write(path, [b"\xff\xff\xff\xff", _plain(1), _plain(2)])
    data = bytearray(path.read_bytes())
    for place in (None, 0, 13):
        if place is not None:
            data[place] ^= 1
            path.write_bytes(data)
        rows = read_rows(path)
        assert [row["label"] for row in rows] == [None, 1, 2]
        assert _reasons(rows) == ["unreadable", None, None]


@pytest.mark.parametrize("name", ["b.tfrecord", "b.tfrecord.gz"])
def test_a_file_that_is_gone_when_it_is_read_is_a_reject(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "a.tfrecord", [_plain(0)])
    (tmp_path / name).touch()
    (source,) = resolve_inputs([str(tmp_path / name)])
    (task,) = source.tasks()
    source.carried()
    (tmp_path / name).unlink()
    (batch,) = source.read(task, BatchLimits())
    (row,) = batch.to_pylist()
    assert (row["id"], row["source"]) == (f"{name}#0", str(tmp_path / name))
    assert row["reject"]["message"].startswith("FileNotFoundError: ")


@pytest.mark.parametrize("unusual", [False, True])
def test_further_images_and_late_features_are_passed_over(tmp_path: Path, unusual: bool) -> None:
    _write(tmp_path / "a.tfrecord", [_plain(0)])
    more = {"image": [b"y", b"z"], "weight": 0.5, "boxes": [1, 2]}
    records = [_example(image__encoded=b"x", image__class__label=1, **more)] * 2
    if unusual:
        several = {"image__encoded": [b"x", b"y", b"z"], "image__class__label": 1}
        records += [_example(**several), _example(image=[b"a", b"b"]), b"\xff", _example(weight=1)]
    path = tmp_path / "b.tfrecord"
    _write(path, records)
    (source,) = resolve_inputs([str(tmp_path)])
    found = PassedOver()
    list(source.read(bytes(path), BatchLimits(), passed_over=found))
    first, other = (f"{path}#{name}" for name in ("image/encoded", "image"))
    assert found.by_cause() == {"further_image": 4 + 3 * unusual, "late_column": 1}
    assert set(found.names(Cause.FURTHER_IMAGE)) == ({first, other} if unusual else {other})
    assert found.names(Cause.LATE_COLUMN) == [f"{path}#weight"]


def test_later_file_that_is_no_tfrecord_is_one_reject(tmp_path: Path) -> None:
    _write(tmp_path / "a.tfrecord", [_plain(0)])
    (tmp_path / "b.tfrecord").write_bytes(b"no record of any kind")
    rows = read_rows(tmp_path / "*.tfrecord")
    assert _reasons(rows) == [None, "unreadable"]


def test_files_that_change_between_two_runs_are_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    _write(path, [_example(image=b"x", fold=1)])
    assert read_rows(path)[0]["fold"] == 1
    _write(path, [_example(image=b"x", group=2)])
    assert read_rows(path)[0]["group"] == 2


def test_a_name_that_is_no_text_is_no_id(tmp_path: Path) -> None:
    records = [_example(image__encoded=b"x", image__filename=7), _plain(1)]
    _write(tmp_path / "a.tfrecord", records)
    assert [row["id"] for row in read_rows(tmp_path / "a.tfrecord")] == [
        "a.tfrecord#0",
        "a.tfrecord#1",
    ]


CARRIED = pa.schema(
    [
        ("input_score", pa.int64()),
        ("label", pa.int64()),
        ("text", pa.string()),
        ("weight", pa.float32()),
    ]
)
USUAL = {
    "image__filename": b"a.png",
    "image__encoded": b"x",
    "image__class__label": 3,
    "weight": 0.5,
    "text": "Käfer".encode(),
    "boxes": [1, 2],
    "score": 5,
}
ANY_VALUE = st.one_of(
    st.lists(st.sampled_from([b"", b"a", b"\xff", "\u00e4".encode(), b"\xed\xa0\x80"]), max_size=2),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
    st.lists(st.floats(allow_nan=False, width=32), max_size=2),
)
CHANGES = st.dictionaries(
    st.sampled_from([*USUAL, "image", "label", "input_score", ""]),
    ANY_VALUE | st.none(),
    max_size=2,
)
RECORDS = st.lists(st.one_of(CHANGES, st.sampled_from([b"", b"\xff\xff\xff\xff"])), min_size=1)


def _changed(change: dict[str, Any] | bytes, common: dict[str, Any]) -> bytes:
    if isinstance(change, bytes):
        return change
    features = {**USUAL, **common, **change}
    return _example(**{name: value for name, value in features.items() if value is not None})


@settings(deadline=None, max_examples=300)
@given(
    RECORDS, CHANGES, st.booleans(), st.sampled_from([CARRIED, CARRIED.remove(3), pa.schema([])])
)
@example([{}, {"image__encoded": [b"a", b"b"]}], {}, True, CARRIED)
@example([{}, {"weight": [0.5, 1.5], "text": [b"\xff", b"a"]}], {}, True, CARRIED)
@example([{}, {"image": b"b", "image_raw": [b"c", b"d"]}], {}, True, CARRIED.remove(2))
def test_records_are_the_same_one_by_one_or_all_at_once(
    records: list[Any], common: dict[str, Any], images: bool, carried: pa.Schema
) -> None:
    serialised = [_changed(record, common) for record in records]
    rows, apart = (
        ExampleRows("folder/a.tfrecord", "a.tfrecord#", carried, images, passed_over=PassedOver())
        for _ in range(2)
    )
    at_once = rows.columnar(7, serialised)
    if at_once is not None:
        at_once.validate(full=True)
        (alone,) = apart.one_by_one(7, serialised)
        assert at_once.equals(alone, check_metadata=True)
        assert rows.late == apart.late
        assert rows.passed_over.by_cause() == apart.passed_over.by_cause()
        assert rows.passed_over.to_arrow() == apart.passed_over.to_arrow()
    else:
        assert (rows.late, rows.passed_over.by_cause()) == (set(), {})


@pytest.mark.parametrize(
    "records",
    [
        [{}] * 3,
        [{}, {"weight": None}, {"weight": [0.5, 1.5]}, {"text": [b"\xff", b"a"]}, {"score": []}],
        [{"image__filename": None, "boxes": None}] * 2,
        [{"image__encoded": None, "image": b"y"}] * 2,
    ],
)
def test_usual_records_are_decoded_all_at_once(records: list[dict[str, Any]]) -> None:
    rows = ExampleRows("a.tfrecord", "a.tfrecord#", CARRIED, images=True)
    assert rows.columnar(0, [_changed(record, {}) for record in records]) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"image__filename": b""},
        {"image__filename": None},
        {"image__encoded": None},
        {"label": 4},
        {"input_score": 4},
        {"weight": 1},
        b"\xff\xff\xff\xff",
    ],
)
def test_a_batch_with_an_unusual_record_is_looked_at_one_by_one(change: Any) -> None:
    rows = ExampleRows("a.tfrecord", "a.tfrecord#", CARRIED, images=True)
    assert rows.columnar(0, [_changed({}, {}), _changed(change, {})]) is None


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("size", [0, 100, 5_000, 700_000, 3_000_000])
def test_records_across_the_blocks_that_are_read_arrive_whole(
    tmp_path: Path, size: int, compression: str
) -> None:
    path = tmp_path / f"a.tfrecord{'.gz' if compression else ''}"
    random = np.random.default_rng(0)
    images = [random.bytes(size + n) for n in range(7 if size > 5_000 else 400)]
    _write(path, [_example(image__encoded=image) for image in images], compression)
    assert [row["image"] for row in read_rows(path)] == images


def test_workers_get_the_columns_with_the_source(tmp_path: Path) -> None:
    """Otherwise every task of a run would open the first file."""
    _write(tmp_path / "a.tfrecord", [_plain(0)])
    _write(tmp_path / "b.tfrecord", [_example(image__encoded=b"x", other=1)])
    (source,) = resolve_inputs([str(tmp_path / "*.tfrecord")])
    carried = source.carried()
    sent = pickle.dumps(source)
    (tmp_path / "a.tfrecord").unlink()
    (batch,) = pickle.loads(sent).read(str(tmp_path / "b.tfrecord"), BatchLimits())
    assert batch.schema.names == ["id", "source", *carried.names, "image", "reject"]
    assert len(sent) < 2000


@given(st.lists(st.integers(0, 9)), st.integers(1, 5), st.integers(1, 20), st.booleans())
def test_batches_are_full_or_the_last_and_lose_nothing_before_an_error(
    sizes: list[int], rows: int, image_bytes: int, fails: bool
) -> None:
    def items() -> Iterable[int]:
        yield from sizes
        if fails:
            raise EOFError

    batches: list[list[int]] = []
    try:
        batches.extend(bounded_batches(items(), int, BatchLimits(rows, image_bytes)))
    except EOFError:
        assert fails
    assert list(itertools.chain(*batches)) == sizes
    for batch in batches:
        assert 0 < len(batch) <= rows
        assert sum(batch[:-1]) < image_bytes
    for batch in batches[:-1]:
        assert len(batch) == rows or sum(batch) >= image_bytes
