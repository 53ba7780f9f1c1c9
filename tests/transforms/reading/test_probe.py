"""Probing the images: whatever is among them, the good ones determine the shape."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ae_models.config.configuration import ImageConfig
from ae_models.errors import ConfigError, InputError
from tests.fuzz.images import image_seeds
from tests.fuzz.mutations import mutated, with_png_checksums
from tests.transforms.images.test_untrusted_images import BOMBS
from transforms.images import bands
from transforms.reading.probe import survey_images
from transforms.reading.survey import Kind
from transforms.records.where import Where
from transforms.sources import resolve_inputs

_GOOD = ((7, 5, 3), 8)  # no other image here has this layout
# A tag's offset beyond what Python's files can seek to.
_OVERFLOWING = b"II+\0\x08\0\0\0" + b"\0" * 7 + b"\xff"


def _good() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (5, 7)).save(file, "PNG")
    return file.getvalue()


def _probed(*inputs: Path, where: str | None = None) -> tuple[tuple[int, ...], int | None]:
    wheres = [] if where is None else [Where.parse(where)]
    config = ImageConfig()
    sources = resolve_inputs([str(path) for path in inputs])
    found = survey_images(sources, wheres, config.max_pixels).chosen(config)
    return found.shape, found.bits


def _behind(first: bytes, folder: Path) -> tuple[tuple[int, ...], int | None]:
    """The findings for a folder whose first file contains these bytes."""
    (folder / "0.png").write_bytes(first)
    (folder / "1.png").write_bytes(_good())
    return _probed(folder)


def test_a_first_file_that_overflows(tmp_path: Path) -> None:
    assert _behind(_OVERFLOWING, tmp_path) == _GOOD


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_that_comes_first(name: str, tmp_path: Path) -> None:
    assert _behind(BOMBS[name][0](), tmp_path) == _GOOD


def _mutants(kind: str, count: int) -> list[bytes]:
    generator, seeds = np.random.default_rng(3), image_seeds()[kind]
    drawn = [
        mutated(seeds[int(generator.integers(len(seeds)))], seeds, generator) for _ in range(count)
    ]
    return [with_png_checksums(d, generator) if kind == "PNG" and n % 2 else d
            for n, d in enumerate(drawn)]  # fmt: skip


@pytest.mark.parametrize("kind", image_seeds())
@pytest.mark.parametrize("count", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_images_that_come_first(kind: str, count: int, tmp_path: Path) -> None:
    """One that can still be decoded determines its own shape, not that of the good ones."""
    whole = 0
    for first in _mutants(kind, count):
        shape, bits = _behind(first, tmp_path)
        assert bits in (8, 16)
        whole += (shape, bits) != _GOOD
    assert whole < count


def test_of_records_that_were_all_rejected_it_is_said_why(tmp_path: Path) -> None:
    for number, content in enumerate([b"no image", b"", _good()[:45], b""]):
        (tmp_path / f"{number}.png").write_bytes(content)
    with pytest.raises(InputError) as raised:
        _probed(tmp_path)
    said = str(raised.value)
    assert "all 4 records were rejected (2 empty, 1 not_an_image, 1 corrupt; the first is " in said
    assert "0.png: " in said


def test_where_no_record_meets_the_condition_that_is_said(image_folder: Path) -> None:
    with pytest.raises(InputError, match=r"none of the 44 records in .* matches label=good"):
        _probed(image_folder, where="label=good")


def test_conditions_and_rejects_are_told_together(image_folder: Path) -> None:
    (image_folder / "bad" / "colour.png").unlink()
    with pytest.raises(InputError, match=r"all 3 records that match label=bad were rejected \("):
        _probed(image_folder, where="label=bad")


def test_a_misspelt_column_is_no_traceback(image_folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'label'"):
        _probed(image_folder, where="Label=good")


def test_raw_pixels_of_no_known_layout_are_rejects(tmp_path: Path) -> None:
    field = pa.field("image", pa.binary(), metadata={"shape": "[8, 8, 1]", "dtype": "uint8"})
    pq.write_table(pa.table([[None, bytes(64)]], pa.schema([field])), tmp_path / "a.parquet")
    assert _probed(tmp_path / "a.parquet") == ((8, 8, 1), 8)


def test_many_inputs_are_named_in_a_bounded_line(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(100)]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(InputError, match="and 97 more: all 100 records were rejected"):
        _probed(*paths)


def _noise(folder: Path, orientation: int = 1) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(levels).save(folder / "0.jpg", exif=exif)


@pytest.mark.parametrize(("orientation", "size"), [(1, (60, 80)), (6, (80, 60))])
def test_images_to_be_cut_may_have_more_pixels_than_are_decoded_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    _noise(tmp_path, orientation)
    sources = resolve_inputs([str(tmp_path)])
    (found,) = survey_images(sources, [], 2000, in_bands=True).images
    assert (found.height, found.width, found.kind) == (*size, Kind(3, 8))
    with pytest.raises(InputError, match="1 too_large"):
        survey_images(sources, [], 2000)


def test_a_large_image_that_is_cut_off_at_once_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    _noise(tmp_path)
    path = tmp_path / "0.jpg"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match=r"0\.jpg"):
        survey_images(resolve_inputs([str(tmp_path)]), [], 2000, in_bands=True)
