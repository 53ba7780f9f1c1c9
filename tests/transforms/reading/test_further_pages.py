"""Images with further pages are counted as they are read, from files of every kind."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.commands.score import score
from pipelines.commands.verify import verify
from transforms.reading.read import common_carried, read_task
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.where import Where
from transforms.sources import resolve_inputs


def _image(kind: str, frames: int) -> bytes:
    file = io.BytesIO()
    first, *others = (Image.new("L", (8, 8), 60 * level) for level in range(frames))
    first.save(file, kind, **({"save_all": True, "append_images": others} if others else {}))
    return file.getvalue()


def _read(path: Path, *wheres: str) -> PassedOver:
    found = PassedOver()
    (source,) = resolve_inputs([str(path)])
    carried, conditions = common_carried([source]), tuple(Where.parse(text) for text in wheres)
    for task in source.tasks():
        for _ in read_task(
            *(source, task, BatchLimits(rows=2)),
            carried=carried,
            wheres=conditions,
            passed_over=found,
        ):
            pass
    return found


def test_of_files_each_image_counts_once(tmp_path: Path) -> None:
    for name, kind, frames in (
        *(("a.tif", "TIFF", 3), ("b.tif", "TIFF", 1), ("c.gif", "GIF", 2), ("d.gif", "GIF", 1)),
        *(("e.png", "PNG", 2), ("f.png", "PNG", 1), ("g.webp", "WEBP", 4), ("h.webp", "WEBP", 1)),
    ):
        (tmp_path / name).write_bytes(_image(kind, frames))
    (tmp_path / "i.jpg").write_bytes(_image("JPEG", 1))
    (tmp_path / "empty.tif").write_bytes(b"")
    found = _read(tmp_path)
    assert found.by_cause() == {"further_page": 4}
    assert found.names(Cause.FURTHER_PAGE) == ["a.tif", "c.gif", "e.png", "g.webp"]
    assert found.files == 0, "they are read"


def test_of_records_those_that_are_kept(tmp_path: Path) -> None:
    images = [_image("TIFF", frames) for frames in (2, 1, 2, 1, 2)] + [None]
    columns = {"id": list("abcdef"), "image": images, "label": [0, 0, 0, 1, 1, 1]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert _read(tmp_path).names(Cause.FURTHER_PAGE) == ["a", "c", "e"]
    assert _read(tmp_path, "label=0").names(Cause.FURTHER_PAGE) == ["a", "c"]


def test_pixels_have_no_pages(tmp_path: Path) -> None:
    """Whatever their first bytes."""
    start = np.frombuffer(_image("TIFF", 2)[:64], np.uint8).reshape(1, 8, 8)
    np.savez(tmp_path / "a.npz", x=np.repeat(start, 3, axis=0))
    assert _read(tmp_path / "a.npz").by_cause() == {}


def test_a_run_counts_them(bundle: Callable[[str], Path], tmp_path: Path) -> None:
    images, run = tmp_path / "images", str(tmp_path / "run")
    images.mkdir()
    (images / "a.tif").write_bytes(_image("TIFF", 2))
    ledger = score([str(images)], str(bundle("ae")), run, max_rejects="100%")
    assert ledger["passed_over"] == {"further_page": 1}
    assert verify(run, [str(images)])["ok"]
