"""Further pages and frames, detected from a file's structure, against Pillow's count."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.images import image_seeds
from transforms.images.pages import MOST_START_BYTES, has_further_pages, may_have_pages

SEEDS = [data for seeds in image_seeds().values() for data in seeds]


def _saved(kind: str, frames: int, mode: str = "RGB", **options: Any) -> bytes:
    generator, file = np.random.default_rng(frames), io.BytesIO()
    noise = generator.integers(0, 256, (frames, 16, 12, 3), np.uint8)
    first, *others = (Image.fromarray(each).convert(mode) for each in noise)
    first.save(file, kind, save_all=True, append_images=others, **options)
    return file.getvalue()


def _found(data: bytes) -> bool:
    """As a reader of many images checks; if the first bytes rule out pages, there must be none."""
    found = has_further_pages(data)
    assert may_have_pages(data[:MOST_START_BYTES]) or not found
    return found


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[("TIFF", options) for options in ({}, {"compression": "tiff_lzw"}, {"big_tiff": True})],
        *[("GIF", options) for options in ({}, {"mode": "P", "comment": b"a, comment;" * 40})],
        *[("PNG", options) for options in ({}, {"icc_profile": bytes(300)})],
        *[("WEBP", options) for options in ({}, {"lossless": True, "exif": b"Exif\0\0" * 9})],
    ],
)
def test_frames_are_found(kind: str, options: dict[str, Any], frames: int) -> None:
    data = _saved(kind, frames, **options)
    assert Image.open(io.BytesIO(data)).n_frames == frames
    assert _found(data) == (frames > 1)


@pytest.mark.parametrize("data", SEEDS)
def test_the_count_is_pillows(data: bytes) -> None:
    image = Image.open(io.BytesIO(data))
    frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    assert _found(data) == (frames > 1)


def test_what_stands_first_in_an_animated_png_may_be_no_frame() -> None:
    for frames in (2, 3):  # the first is then the image, those after it are the animation
        assert _found(_saved("PNG", frames, default_image=True)) == (frames > 2)


def _tiff(order: str, big: bool, *types: int | None) -> bytes:
    """Directories with one tag: NewSubfileType if given, otherwise a width."""
    head, offset, count = ("HHHQ", "Q", "Q") if big else ("HI", "I", "H")
    mark = {"<": b"II", ">": b"MM"}[order]
    size = struct.calcsize("=" + head) + 2
    values = (43, 8, 0, size) if big else (42, size)
    parts = [mark, struct.pack(order + head, *values)]
    for number, kind in enumerate(types, 1):
        size += struct.calcsize("=" + count + offset) + (20 if big else 12)
        tag, value = (256, 7) if kind is None else (254, kind)
        entry = struct.pack(order + "HH" + offset + "I", tag, 4, 1, value)
        behind = 0 if number == len(types) else size
        parts += [struct.pack(order + count, 1), entry.ljust(20 if big else 12, b"\0")]
        parts.append(struct.pack(order + offset, behind))
    return b"".join(parts)


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_overviews_and_masks_are_no_pages(order: str, big: bool) -> None:
    for types, expected in (
        ([0], False),
        ([0, 1, 1], False),
        ([None, 1, 5, 4], False),
        ([0, 1, 0], True),
        ([0, 2], True),
        ([None, None], True),
        ([1], False),
    ):
        assert _found(_tiff(order, big, *types)) == expected, types


def test_a_ring_of_directories_ends() -> None:
    ring = bytearray(_tiff("<", False, 0, 1))
    ring[-4:] = struct.pack("<I", 8 + 18)
    assert not _found(bytes(ring))


def test_previews_behind_a_jpeg_are_no_pages() -> None:
    jpeg = io.BytesIO()
    first, second = (Image.new("RGB", (8, 8), level) for level in ("red", "blue"))
    first.save(jpeg, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(jpeg.getvalue())).n_frames == 2
    assert not _found(jpeg.getvalue())


@settings(deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0), st.integers(0, 255), st.booleans())
def test_damage_raises_nothing(data: bytes, place: int, value: int, cut: bool) -> None:
    place %= len(data)
    _found(data[:place] if cut else data[:place] + bytes([value]) + data[place + 1 :])
