"""Images of individual records, found in the inputs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.config.configuration import ImageConfig
from ae_models.errors import InputError
from transforms.reading.find_images import record_images

_CONFIG = ImageConfig(height=8, width=8, channels=1, bits=8)


def test_files_by_their_ids(image_folder: Path) -> None:
    ids = ["0/0.png", "3/3.png", "9/9.png"]
    found = dict(record_images([str(image_folder)], [*ids, "gone.png", "bad/cut.png"], _CONFIG))
    assert sorted(found) == ids
    for record, pixels in found.items():
        expected = np.asarray(Image.open(image_folder / record))
        np.testing.assert_array_equal(pixels[..., 0], expected)


def test_only_wanted_files_are_read(image_folder: Path) -> None:
    for path in image_folder.glob("[1-9]/*.png"):
        path.unlink()
        path.symlink_to("/nowhere")  # would be a reject if it were read
    ((record, _),) = record_images([str(image_folder)], ["0/0.png"], _CONFIG)
    assert record == "0/0.png"


def test_embedded_digits() -> None:
    ((record, pixels),) = record_images(["builtin:digits"], ["digits/1796"], _CONFIG)
    assert record == "digits/1796"
    expected = load_digits().images[1796]
    np.testing.assert_allclose(pixels[..., 0] / 255, expected / 16, atol=1 / 255)


@pytest.mark.parametrize("rows", [1, 10])
def test_parquet_in_every_row_group(
    tmp_path: Path, rows: int, generator: np.random.Generator
) -> None:
    pixels = generator.integers(0, 256, (20, 8, 8, 1), np.uint8)
    metadata = {"shape": "[8, 8, 1]", "dtype": "uint8"}
    schema = pa.schema(
        [pa.field("id", pa.string()), pa.field("image", pa.binary(), metadata=metadata)]
    )
    columns = {"id": [f"r{n}" for n in range(20)], "image": [p.tobytes() for p in pixels]}
    pq.write_table(pa.table(columns, schema), tmp_path / "a.parquet", row_group_size=rows)
    found = dict(record_images([str(tmp_path / "a.parquet")], ["r3", "r19"], _CONFIG))
    assert list(found) == ["r3", "r19"]
    np.testing.assert_array_equal(found["r19"], pixels[19])


def test_no_input() -> None:
    with pytest.raises(InputError, match="nowhere"):
        list(record_images(["/nowhere"], ["a"], _CONFIG))
