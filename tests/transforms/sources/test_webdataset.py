"""WebDataset archives, written by tarfile, as image records."""

import gzip
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ae_models.errors import InputError
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support.reading import read_rows
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import Cause, PassedOver
from transforms.sources import resolve_inputs
from transforms.sources.recovery.tar_headers import headers
from transforms.sources.webdataset import split_name

Members = Sequence[tuple[str, bytes]]


def _write(path: Path, members: Members, **options: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w", **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["reject"] and row["reject"]["reason"] for row in rows]


def _plain(count: int) -> list[tuple[str, bytes]]:
    return [
        member
        for n in range(count)
        for member in ((f"{n:03}.png", bytes([n]) * 700), (f"{n:03}.cls", b"%d" % n))
    ]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "A.TAR"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_labels_and_keys(tmp_path: Path, name: str, form: int) -> None:
    _write(tmp_path / name, _plain(5), format=form)
    rows = read_rows(tmp_path / name, limits=BatchLimits(rows=2))
    assert [(row["id"], row["label"]) for row in rows] == [(f"{name}/{n:03}", n) for n in range(5)]
    assert [row["image"] for row in rows] == [bytes([n]) * 700 for n in range(5)]
    assert {row["source"] for row in rows} == {str(tmp_path / name)}


def test_shards_of_a_glob_are_tasks(tmp_path: Path) -> None:
    for name in ("0.tar", "1.tar"):
        _write(tmp_path / name, _plain(2))
    rows = read_rows(tmp_path / "*.tar")
    assert [row["id"] for row in rows] == ["0.tar/000", "0.tar/001", "1.tar/000", "1.tar/001"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", ("a", "jpg")),
        ("a.seg.PNG", ("a", "seg.png")),
        ("dir/a.jpg", ("dir/a", "jpg")),
        ("v1.0/x.y/a.jpg", ("v1.0/x.y/a", "jpg")),
        ("./a.jpg", ("./a", "jpg")),
        ("README", (None, "")),
        ("dir.d/README", (None, "")),
        (".DS_Store", (None, "")),
        ("dir/._a.jpg", (None, "")),
        ("__meta__", (None, "")),
        ("__index__/a.json", (None, "")),
        ("caf\udce9.png", ("caf\\xe9", "png")),
    ],
)
def test_names_are_split_as_webdataset_does(name: str, expected: tuple[str | None, str]) -> None:
    assert split_name(name) == expected


def test_members_of_a_sample_lie_in_any_order_and_the_first_image_wins(tmp_path: Path) -> None:
    members = [
        ("a/1.json", b'{"weight": 1, "name": "x", "boxes": [1], "score": true, "none": null}'),
        ("a/1.txt", b"a caption"),
        ("a/1.seg.png", b"mask"),
        ("a/1.PNG", b"first"),
        ("a/1.jpg", b"second"),
        ("README", b"no sample"),
        ("a/1.cls", b" 7\n"),
        ("b/1.jpg", b"other"),
        ("b/1.json", b'{"weight": 0.5, "label": 3, "late": 1}'),
    ]
    _write(tmp_path / "a.tar", members)
    first, second = read_rows(tmp_path / "a.tar")
    assert {key: value for key, value in first.items() if key not in {"source", "reject"}} == {
        "id": "a.tar/a/1",
        "image": b"first",
        "weight": 1.0,
        "name": "x",
        "input_score": True,
        "label": 7,
        "late": None,
    }
    assert (second["id"], second["image"], second["label"]) == ("a.tar/b/1", b"other", 3)
    assert (second["weight"], second["name"], second["late"]) == (0.5, None, 1)


def test_classes_are_integers_only_where_all_are(tmp_path: Path) -> None:
    members = [member for member in _plain(3) if member[0] != "001.cls"]
    _write(tmp_path / "a.tar", [*members, ("x.png", b"x"), ("x.cls", "Käfer".encode())])
    assert [row["label"] for row in read_rows(tmp_path / "a.tar")] == ["0", None, "2", "Käfer"]


@pytest.mark.parametrize(
    "bad",
    [
        ("x.cls", b"cat"),
        ("x.cls", b"1.5"),
        ("x.cls", b"\xff"),
        ("x.cls", b"9" * 30),
        ("x.json", b"{"),
        ("x.json", b"\xff\xfe"),
        ("x.json", b"[1]"),
        ("x.json", b"[" * 100_000),
        ("x.json", b'{"weight": "heavy"}'),
        ("x.json", b'{"weight": true}'),
        ("x.json", b'{"weight": 9007199254740993}'),
        ("x.json", b'{"count": 9223372036854775808}'),
        ("x.json", b'{"count": 1.5}'),
    ],
)
def test_a_value_that_does_not_fit_rejects_its_own_sample(
    tmp_path: Path, bad: tuple[str, bytes]
) -> None:
    first = [("f.png", b"f"), ("f.cls", b"1"), ("f.json", b'{"weight": 0.5, "count": 1}')]
    _write(tmp_path / "a.tar", first)
    _write(tmp_path / "b.tar", [*_plain(1), ("x.png", b"x"), bad, *_plain(2)[2:]])
    rows = read_rows(tmp_path / "*.tar")
    assert [row["id"] for row in rows[1:]] == ["b.tar/000", "b.tar/x", "b.tar/001"]
    assert _reasons(rows) == [None, None, "schema_mismatch", None]
    assert [row["label"] for row in rows] == [1, 0, None, 1]


def test_json_with_half_a_surrogate_pair_is_written_out(tmp_path: Path) -> None:
    content = rb'{"name": "\ud800", "\udc00": 1}'
    _write(tmp_path / "a.tar", [("a.png", b"a"), ("a.json", content)])
    (row,) = read_rows(tmp_path / "a.tar")
    assert (row["name"], row["\\udc00"]) == ("\\ud800", 1)


def test_samples_without_an_image_of_their_own_are_rejects(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in [
            ("folder.d", tarfile.DIRTYPE),
            ("file.png", tarfile.REGTYPE),
            ("link.png", tarfile.LNKTYPE),
            ("symbolic.png", tarfile.SYMTYPE),
            ("device.png", tarfile.CHRTYPE),
            ("text.cls", tarfile.REGTYPE),
            ("twice.png", tarfile.REGTYPE),
            ("twice.png", tarfile.REGTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "file.png"
            archive.addfile(info)
    rows = read_rows(path)
    names = ["file", "link", "symbolic", "device", "text", "twice"]
    assert [row["id"] for row in rows] == [f"a.tar/{name}" for name in names]
    assert _reasons(rows) == [None, *["no_image"] * 4, "unreadable"]


def _cut_in_header(data: bytes) -> bytes:
    return data[: data.index(b"003.png") + 200]


def _cut_in_image(data: bytes) -> bytes:
    return data[: data.index(b"003.png") + 800]


def _cut_before_the_end(data: bytes) -> bytes:
    return data[: -(-len(data.rstrip(b"\0")) // 512) * 512]


def _hole(data: bytes) -> bytes:
    place = data.index(b"004.png")
    return data[:place] + bytes(512) + data[place + 512 :]


def _flipped_header(data: bytes) -> bytes:
    place = data.index(b"004.png")
    return data[:place] + b"9" + data[place + 1 :]


@pytest.mark.parametrize(
    ("name", "damage", "last"),
    [
        ("a.tar", _cut_in_header, 2),
        ("a.tar", _cut_in_image, 3),
        ("a.tar", _cut_before_the_end, 5),
        ("a.tar.gz", _cut_in_header, 2),
        ("a.tar.gz", _cut_in_image, 3),
        ("a.tar.gz", _hole, 3),
        ("a.tar.gz", _flipped_header, 3),
    ],
)
def test_damage_ends_an_archive_after_the_samples_before_it(
    tmp_path: Path, damage: Callable[[bytes], bytes], last: int, name: str
) -> None:
    """The current sample is the reject: its class may have been lost."""
    path = tmp_path / name
    _write(tmp_path / "whole.tar", _plain(6))
    data = damage((tmp_path / "whole.tar").read_bytes())
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    for limits in (BatchLimits(), BatchLimits(rows=2)):
        rows = read_rows(path, limits=limits)
        assert [row["id"] for row in rows] == [f"{name}/{n:03}" for n in range(last + 1)]
        assert [row["label"] for row in rows[:-1]] == list(range(last))
        assert _reasons(rows) == [None] * last + ["unreadable"]
        assert re.match(r"byte \d+: ", rows[-1]["reject"]["message"])


def _flipped(number: int, place: int) -> Callable[[bytes], bytes]:
    """A bit of the number-th header's block."""

    def damage(data: bytes) -> bytes:
        start = [found.start() for found in re.finditer(rb"00\d\.(png|cls)", data)][number]
        return data[: start + place] + bytes([data[start + place] ^ 1]) + data[start + place + 1 :]

    return damage


def _without(first: bytes, last: bytes) -> Callable[[bytes], bytes]:
    """Entire blocks are replaced by noise of a different length."""

    def damage(data: bytes) -> bytes:
        noise = np.random.default_rng(0).bytes(512 * 3)
        return data[: data.index(first) + 512] + noise + data[data.index(last) :]

    return damage


@pytest.mark.parametrize(
    ("damage", "good", "bad"),
    [
        (_hole, [0, 1, 2, 5], [3, 4]),  # only the class of 004 is left
        (_flipped(6, 3), [0, 1, 4, 5], [2, 3]),  # the name of 003.png
        (_flipped(7, 125), [0, 1, 2, 5], [3, 4]),  # the size of 003.cls
        (_flipped(8, 150), [0, 1, 2, 5], [3, 4]),  # the checksum of 004.png
        (_flipped(0, 0), [1, 2, 3, 4, 5], [None, 0]),
        (_flipped(1, 0), [2, 3, 4, 5], [0, 1]),
        (_flipped(10, 0), [0, 1, 2, 3], [4, 5]),
        (_flipped(11, 0), [0, 1, 2, 3, 4], [5]),
        (_without(b"001.png", b"003.png"), [0, 4, 5], [1, 3]),
        (_without(b"001.png", b"003.cls"), [0, 4, 5], [1, 3]),
        (_without(b"001.png", b"001.cls"), [0, 2, 3, 4, 5], [1]),
        (lambda data: _flipped(4, 0)(_flipped(8, 0)(data)), [0, 5], [1, 2, 3, 4]),
        (lambda data: _flipped(5, 0)(_flipped(6, 0)(data)), [0, 1, 4, 5], [2, 3]),
        (lambda data: bytes(512 * 3) + data, [1, 2, 3, 4, 5], [None, 0]),
    ],
)
def test_samples_behind_damage_are_found_and_those_beside_it_are_rejects(
    tmp_path: Path, damage: Callable[[bytes], bytes], good: list[int], bad: list[int | None]
) -> None:
    path = tmp_path / "a.tar"
    _write(path, _plain(6))
    path.write_bytes(damage(path.read_bytes()))
    for limits in (BatchLimits(), BatchLimits(rows=2)):
        rows = read_rows(path, limits=limits)
        kept = [row for row in rows if row["reject"] is None]
        assert [row["id"] for row in kept] == [f"a.tar/{n:03}" for n in good]
        assert [(row["label"], row["image"]) for row in kept] == [
            (n, bytes([n]) * 700) for n in good
        ]
        rejects = [row for row in rows if row["reject"]]
        names = ["a.tar" if n is None else f"a.tar/{n:03}" for n in bad]
        assert sorted(row["id"] for row in rejects) == sorted(names)
        assert {row["reject"]["reason"] for row in rejects} == {"unreadable"}
    assert verify_ids_are_unique(rows)


def test_a_header_whose_own_follower_is_damaged_is_one_gap(tmp_path: Path) -> None:
    """A long name has a separate header, which is intact here."""
    path = tmp_path / "a.tar"
    members = [(f"{n}/{'long' * 40}.png", bytes([n]) * 700) for n in range(1, 6)]
    _write(path, members, format=tarfile.PAX_FORMAT)
    data = bytearray(path.read_bytes())
    place = data.index(members[2][1]) - 512
    data[place + 150] ^= 1
    path.write_bytes(data)
    rows = read_rows(path)
    assert [row["id"].partition("/")[2][:2] for row in rows] == ["1/", "2/", "4/", "5/"]
    assert _reasons(rows) == [None, "unreadable", "unreadable", None]


def verify_ids_are_unique(rows: list[dict[str, Any]]) -> bool:
    return len({row["id"] for row in rows}) == len(rows)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 15_000), st.binary(max_size=600)), max_size=6))
def test_no_damage_leaves_an_archive_unread_or_an_id_twice(
    damages: list[tuple[int, bytes]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.tar"
        _write(Path(folder) / "a.tar", _plain(1))
        _write(path, _plain(6))
        data = bytearray(path.read_bytes())
        for place, new in damages:
            data[place : place + len(new)] = new
        path.write_bytes(data)
        # The first archive determines the columns, whatever happens to a class in the second.
        rows = read_rows(Path(folder) / "*.tar")[1:]
    assert verify_ids_are_unique(rows)
    for row in rows:
        if row["reject"] is None:
            assert re.fullmatch(r"b\.tar/.*", row["id"])
    if not any(new for _, new in damages):
        assert [row["label"] for row in rows] == list(range(6))
    if len(rows) < 6:
        assert any(row["reject"] for row in rows)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_are_those_that_tarfile_writes(tmp_path: Path, form: int) -> None:
    path = tmp_path / "a.tar"
    members = [(f"{'long/' * n}{n}.png", os.urandom(n * 300)) for n in range(40)]
    _write(path, members, format=form)
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        expected = [member.offset_data // 512 - 1 for member in archive]
    found = headers(data)
    assert set(expected) <= set(found.tolist())
    for number in found:
        tarfile.TarInfo.frombuf(data[number * 512 : number * 512 + 512], "utf-8", "strict")
    if form == tarfile.USTAR_FORMAT:
        assert found.tolist() == expected
    assert headers(bytes(5120)).tolist() == headers(b"").tolist() == headers(b"x" * 511).tolist()


def test_gzip_that_is_cut_short_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    _write(path, _plain(6))
    path.write_bytes(path.read_bytes()[:-8])
    assert _reasons(read_rows(path))[-1] == "unreadable"


@pytest.mark.parametrize("content", [b"", b"tar", b"x" * 5000, b"\x1f\x8b\x08"])
def test_file_that_is_no_archive_is_an_error_first_and_a_reject_later(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.tar"):
        read_rows(tmp_path / "b.tar")
    _write(tmp_path / "a.tar", _plain(1))
    rows = read_rows(tmp_path / "*.tar")
    assert [row["id"] for row in rows] == ["a.tar/000", "b.tar"]
    assert _reasons(rows) == [None, "unreadable"]


SAMPLES = st.dictionaries(
    st.from_regex(r"([a-zä.]{1,3}/)?[a-zä0-9]{1,4}", fullmatch=True),
    st.tuples(
        st.binary(max_size=1500),
        st.sampled_from(["png", "JPG", "jpeg", "webp"]),
        st.integers(-(10**17), 10**17),
        st.text(max_size=5),
        st.permutations(range(3)),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=40)
@given(SAMPLES, st.integers(1, 4), st.integers(1, 3000))
def test_what_tarfile_writes_is_read(samples: dict[str, Any], rows: int, image_bytes: int) -> None:
    members = []
    for key, (image, ending, label, text, order) in samples.items():
        three = [
            (f"{key}.{ending}", image),
            (f"{key}.cls", b"%d" % label),
            (f"{key}.json", json.dumps({"text": text}).encode()),
        ]
        members += [three[place] for place in order]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        _write(path, members)
        read = read_rows(path, limits=BatchLimits(rows, image_bytes))
    assert [(row["id"], row["image"], row["label"], row["text"]) for row in read] == [
        (f"a.tar/{key}", image, label, text) for key, (image, _, label, text, _) in samples.items()
    ]
    assert _reasons(read) == [None] * len(read)


def test_score_and_verify_of_an_archive(bundle: Callable[[str], Path], tmp_path: Path) -> None:
    members = []
    for n in range(10):
        file = io.BytesIO()
        Image.new("L", (8, 8), n * 20).save(file, "PNG")
        members += [(f"digits/{n}.png", file.getvalue()), (f"digits/{n}.cls", b"%d" % n)]
    _write(tmp_path / "a.tar", [*members, ("digits/none.cls", b"1")])
    run = tmp_path / "run"
    ledger = score([str(tmp_path / "*.tar")], str(bundle("ae")), str(run))
    assert ledger["records"]["scored"] == 10
    assert ledger["records"]["rejected_by_reason"] == {"no_image": 1}
    table = pq.read_table(run / "scores").sort_by("id")
    assert table["id"].to_pylist() == [f"a.tar/digits/{n}" for n in range(10)]
    assert table["label"].to_pylist() == list(range(10))
    assert verify(str(run), [str(tmp_path / "*.tar")])["ok"]


def test_members_that_are_not_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    image = _plain(1)[0][1]
    members = [("README", b""), ("a.png", image), ("a.cls", b"1"), ("a.txt", b"a"), ("a.jpg", b"")]
    _write(path, [*members, ("__meta__/x.json", b"{}"), ("b.png", image)])
    (source,) = resolve_inputs([str(path)])
    passed_over = PassedOver()
    rows = [len(b) for b in source.read(str(path), BatchLimits(rows=1), passed_over=passed_over)]
    assert rows == [1, 1]
    assert passed_over.by_cause() == {"further_image": 1, "member": 3}
    assert passed_over.names(Cause.FURTHER_IMAGE) == [f"{path}#a.jpg"]
    members = [f"{path}#{name}" for name in ("README", "__meta__/x.json", "a.txt")]
    assert passed_over.names(Cause.MEMBER) == members


def test_fields_that_come_too_late_to_be_columns_are_named(tmp_path: Path) -> None:
    image = _plain(1)[0][1]
    members = []
    for number in range(102):  # the first hundred determine the columns
        fields = {"a": number} if number < 101 else {"a": number, "late": "x"}
        members += [(f"{number}.png", image), (f"{number}.json", json.dumps(fields).encode())]
    _write(tmp_path / "a.tar", [*members, ("101.cls", b"1")])
    (source,) = resolve_inputs([str(tmp_path / "a.tar")])
    passed_over = PassedOver()
    (task,) = source.tasks()
    for batch in source.read(task, BatchLimits(), passed_over=passed_over):
        assert batch.schema.names == ["id", "source", "a", "image", "reject"]
    assert passed_over.names(Cause.LATE_COLUMN) == [
        f"{tmp_path}/a.tar#{name}" for name in ("label", "late")
    ]


def test_a_run_counts_members_that_are_not_read(
    bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    image = _plain(1)[0][1]
    for name in "ab":
        _write(tmp_path / f"{name}.tar", [("1.png", image), ("1.txt", b"a"), ("1.gif", b"")])
    inputs, run = [f"{tmp_path}/*.tar"], str(tmp_path / "run")
    limit = "100%"  # the images may not have the bundle's size
    ledger = score(inputs, str(bundle("ae")), run, max_rejects=limit)
    assert ledger["passed_over"] == {"further_image": 2, "member": 2}
    assert ledger["files_passed_over"] == 0
    assert verify(run, inputs)["ok"]
