"""Parquet shards: bounded row groups and files, nothing lost, and the facts in a `Shard`."""

import errno
import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.records.batches import image_records
from transforms.records.rejects import REJECTS_SCHEMA, Reason, reject_rows, rejected_records
from transforms.runs.ledger import REJECTS, SCORES
from transforms.runs.shards import Shard, ShardLimits, ShardWriter, WriteShards


def _batch(start: int, rows: int, **columns: pa.Array) -> pa.RecordBatch:
    values = {"id": [f"r{n:04d}" for n in range(start, start + rows)], **columns}
    return pa.RecordBatch.from_pydict(values)


def _write(
    folder: Path, batches: Iterable[pa.RecordBatch], limits: ShardLimits, kind: str = SCORES
) -> list[Shard]:
    writer = ShardWriter(str(folder), kind, limits)
    shards = [shard for batch in batches for shard in writer.add(batch)]
    return [*shards, *writer.close()]


def _groups(shard: Shard) -> list[int]:
    metadata = pq.read_metadata(shard.path)
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


def _ids(shards: list[Shard]) -> list[str]:
    return [name for shard in shards for name in pq.read_table(shard.path)["id"].to_pylist()]


def test_row_groups_gather_batches_until_they_are_full(tmp_path: Path) -> None:
    batches = [_batch(3 * n, 3) for n in range(7)]
    (shard,) = _write(tmp_path, batches, ShardLimits(group_rows=9))
    assert _groups(shard) == [9, 9, 3]
    assert (shard.kind, shard.rows, shard.first_id, shard.reasons) == ("scores", 21, "r0000", {})
    assert Path(shard.path).parent == tmp_path


def test_row_groups_are_bounded_in_bytes(tmp_path: Path) -> None:
    batches = [_batch(n, 1, data=pa.array([bytes(1000)])) for n in range(10)]
    (shard,) = _write(tmp_path, batches, ShardLimits(group_bytes=3000))
    assert _groups(shard) == [3, 3, 3, 1]


def test_files_are_closed_once_they_have_their_rows(tmp_path: Path) -> None:
    batches = [_batch(2 * n, 2) for n in range(11)]
    shards = _write(tmp_path, batches, ShardLimits(group_rows=4, file_rows=8))
    assert [shard.rows for shard in shards] == [8, 8, 6]
    assert [shard.first_id for shard in shards] == ["r0000", "r0008", "r0016"]
    assert len({shard.path for shard in shards}) == 3


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 9), max_size=15),
    group_rows=st.integers(1, 8),
    file_rows=st.integers(1, 20),
)
def test_every_row_is_written_once_within_the_limits(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group_rows: int, file_rows: int
) -> None:
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    batches = [_batch(start, size) for start, size in zip(starts, sizes, strict=True)]
    limits = ShardLimits(group_rows=group_rows, file_rows=file_rows)
    shards = _write(tmp_path_factory.mktemp("shards"), batches, limits)
    assert _ids(shards) == [f"r{n:04d}" for n in range(sum(sizes))]
    for shard in shards:
        groups = _groups(shard)
        assert sum(groups) == shard.rows == pq.read_metadata(shard.path).num_rows
        # Batches are never split: a group ends with the batch that fills it.
        assert all(rows < group_rows + max(sizes) for rows in groups)
        assert shard.rows < file_rows + group_rows + max(sizes)


def test_another_schema_begins_another_file(tmp_path: Path) -> None:
    batches = [_batch(0, 2), _batch(2, 2), _batch(4, 1, label=pa.array([1])), _batch(5, 3)]
    shards = _write(tmp_path, batches, ShardLimits())
    assert [shard.rows for shard in shards] == [4, 1, 3]
    assert _ids(shards) == [f"r{n:04d}" for n in range(8)]


def test_dictionaries_of_each_batch_become_one(tmp_path: Path) -> None:
    labels = [["a", "b"], ["c"], ["b", "a", "d"]]
    batches = [
        _batch(10 * n, len(values), model=pa.array(values).dictionary_encode())
        for n, values in enumerate(labels)
    ]
    (shard,) = _write(tmp_path, [*batches, batches[2].slice(1)], ShardLimits())
    found = pq.read_table(shard.path)["model"].to_pylist()
    assert found == ["a", "b", "c", "b", "a", "d", "a", "d"]
    (rows,) = duckdb.sql(f"SELECT count(*) FROM '{shard.path}' WHERE model = 'a'").fetchall()
    assert rows == (3,)


def test_slices_weigh_what_they_show(tmp_path: Path) -> None:
    whole = _batch(0, 100, data=pa.array([bytes(1000)] * 100))
    (shard,) = _write(tmp_path, [whole.slice(n, 1) for n in range(100)], ShardLimits())
    assert _groups(shard) == [100]
    limits = ShardLimits(group_bytes=50_000)
    (shard,) = _write(tmp_path, [whole.slice(n, 1) for n in range(100)], limits)
    assert max(_groups(shard)) <= 51
    assert len(_groups(shard)) == 2


def test_reasons_are_counted_file_by_file(tmp_path: Path) -> None:
    reasons = [Reason.EMPTY, Reason.CORRUPT, Reason.EMPTY, Reason.NO_IMAGE]
    batches = [
        reject_rows(rejected_records([f"r{n}"], "file", reason, "why"))
        for n, reason in enumerate(reasons)
    ]
    shards = _write(tmp_path, batches, ShardLimits(group_rows=1, file_rows=3), REJECTS)
    assert [shard.reasons for shard in shards] == [{"empty": 2, "corrupt": 1}, {"no_image": 1}]
    assert pq.read_schema(shards[0].path).equals(REJECTS_SCHEMA)


def test_metadata_of_a_field_is_kept(tmp_path: Path) -> None:
    batch = image_records(["a"], "file", [b"1234"], image_metadata={"shape": "[2, 2]"})
    (shard,) = _write(tmp_path, [batch], ShardLimits())
    assert pq.read_schema(shard.path).field("image").metadata[b"shape"] == b"[2, 2]"


def test_compression_is_as_asked_for(tmp_path: Path) -> None:
    for name, expected in (("zstd", "ZSTD"), ("none", "UNCOMPRESSED")):
        (shard,) = _write(tmp_path, [_batch(0, 1)], ShardLimits(compression=name))
        assert pq.read_metadata(shard.path).row_group(0).column(0).compression == expected


def test_without_a_batch_there_is_no_file(tmp_path: Path) -> None:
    writer = ShardWriter(str(tmp_path), "scores", ShardLimits())
    assert writer.close() == []
    assert list(tmp_path.iterdir()) == []
    assert writer.add(_batch(0, 1)) == []
    assert len(writer.close()) == 1
    assert writer.close() == []


def test_a_pipeline_writes_every_row_once(tmp_path: Path) -> None:
    batches = [_batch(10 * n, 10) for n in range(20)]
    limits = ShardLimits(group_rows=15, file_rows=40)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        shards = (
            pipeline
            | beam.Create(batches).with_output_types(pa.RecordBatch)
            | WriteShards(str(tmp_path / "new"), "scores", limits)
        )
        rows = shards | beam.Map(lambda shard: shard.rows) | beam.CombineGlobally(sum)
        assert_that(rows, equal_to([200]))
    found = duckdb.sql(f"SELECT id FROM '{tmp_path}/new/scores-*.parquet'").fetchall()
    assert Counter(found) == Counter((f"r{n:04d}",) for n in range(200))


class _FullDisk(io.BytesIO):
    """Accepts a Parquet file's first bytes, but not its footer."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_file_that_is_abandoned_on_a_full_disk_hides_no_other_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its footer cannot be written; the full disk was reported for another file."""
    monkeypatch.setattr("transforms.runs.shards.create", lambda *_, **__: _FullDisk())
    writer = ShardWriter(str(tmp_path), SCORES, ShardLimits())
    assert writer.add(_batch(0, 3)) == []
    writer.abandon()
    assert writer.close() == []
