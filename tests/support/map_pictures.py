"""The pictures of a finished run's maps, read with nothing of the product."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

BOX = (0, 190, 255)  # of the lines around regions


class Drawn(NamedTuple):
    """A row of maps, the levels of its map, (h, w) uint16, and its overlay, (H, W, 3) uint8."""

    row: dict[str, Any]
    levels: np.ndarray
    overlay: np.ndarray

    @property
    def has_box(self) -> bool:
        return bool((self.overlay == BOX).all(axis=-1).any())


def rows_of(run: Path, kind: str) -> list[dict[str, Any]]:
    """All rows of a kind that the ledger lists, in the order of their ids."""
    files = [file["path"] for file in json.loads((run / "run.json").read_text())["files"]]
    own = [run / path for path in files if path.startswith(f"{kind}/")]
    assert sorted(own) == sorted((run / kind).iterdir())
    if not own:
        return []
    table = pa.concat_tables(map(pq.read_table, own))
    order = ["id", "source", *(["y", "x"] if kind == "regions" else [])]
    return list(table.sort_by([(name, "ascending") for name in order]).to_pylist())


def picture_bytes(run: Path) -> dict[str, bytes]:
    """All files below a run's pictures, by their names."""
    folder = run / "map_pictures"
    paths = [path for path in folder.rglob("*") if not path.is_dir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def drawn(run: Path) -> list[Drawn]:
    """The rows of maps with their pictures, once it is seen that each file is as its row says, that
    there are no others, and that nothing but Parquet lies in `maps`."""
    files, found = picture_bytes(run), []
    rows = rows_of(run, "maps")
    for row in rows:
        images = []
        for kind, mode in (("map", "I;16"), ("overlay", "RGB")):
            folder, _, name = row[f"{kind}_file"].rpartition("/")
            assert folder == "map_pictures"
            assert name.endswith(f".{kind}.png")
            content = files[name]
            assert hashlib.sha256(content).hexdigest() == row[f"{kind}_sha256"]
            with Image.open(io.BytesIO(content)) as image:
                assert (image.format, image.mode) == ("PNG", mode)
                assert image.getexif().get(0x0112, 1) == row["orientation"]
                images.append(np.asarray(image))
        assert images[0].shape == (row["map_height"], row["map_width"])
        found.append(Drawn(row, *images))
    named = [row[f"{kind}_file"] for row in rows for kind in ("map", "overlay")]
    assert {name.removeprefix("map_pictures/") for name in named} == set(files)
    assert {path.suffix for path in (run / "maps").rglob("*")} <= {".parquet"}
    return found
