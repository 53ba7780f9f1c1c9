"""A fault of the program is never attributed to the data: the self-test, and its consequences."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import numpy as np
import PIL
import pytest
from PIL import BmpImagePlugin, Image

from ae_models.config.configuration import ImageConfig
from ae_models.errors import StageError
from transforms.images import plain_png, self_test
from transforms.images.decode import DecodeImages
from transforms.images.decode_batch import decode_batch
from transforms.images.decoding import decode_as_is, decode_image
from transforms.images.plain_png import plain_pngs_work
from transforms.images.self_test import built_in, check_decoders
from transforms.records.batches import image_records
from transforms.records.rejects import RecordError

CONFIG = ImageConfig(height=3, width=5, channels=3, bits=8)
NAMES = tuple(self_test._IMAGES)


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    yield
    plain_pngs_work.cache_clear()
    self_test._fault.cache_clear()


def _forget() -> None:
    plain_pngs_work.cache_clear()
    self_test._fault.cache_clear()


def _reasons(*images: bytes) -> list[str | None]:
    batch = decode_batch(image_records([str(n) for n in range(len(images))], "f", images), CONFIG)
    return [value and value["reason"] for value in batch["reject"].to_pylist()]


def test_the_installed_decoders_pass() -> None:
    check_decoders(anew=True)
    assert plain_pngs_work()


@pytest.mark.parametrize("name", NAMES)
def test_wrong_pixels_of_any_image_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = self_test.decoded

    def off(data: bytes, config: ImageConfig) -> Any:
        found = original(data, config)
        return found._replace(pixels=found.pixels[:, ::-1]) if data == built_in(name) else found

    monkeypatch.setattr(self_test, "decoded", off)
    with pytest.raises(StageError, match=f"{name}: wrong pixels"):
        check_decoders(anew=True)


@pytest.mark.parametrize("gone", [True, False])
def test_without_the_private_part_the_public_one_decodes(
    gone: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if gone:  # only from where it was, as Pillow's reader still needs it
        monkeypatch.setattr(plain_png, "Image", SimpleNamespace(new=Image.new))
    else:
        monkeypatch.setattr(PIL, "__version__", "99.1.0")
    _forget()
    png = built_in("plain PNG")
    with caplog.at_level(logging.WARNING):
        assert _reasons(png, png) == [None, None]
        assert _reasons(png) == [None]
    (record,) = caplog.records
    assert "small PNGs are decoded one by one" in record.message


def test_a_decoder_that_fails_for_all_ends_the_run_before_a_record_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "_bitmap", broken)
    _forget()
    with pytest.raises(StageError, match="BMP: AttributeError: no such thing"):
        decode_as_is(built_in("BMP"), 100)
    read: list[int] = []
    pipeline = beam.Pipeline("FnApiRunner")
    batch = image_records(["a"], "f", [built_in("plain PNG")])
    (
        pipeline
        | beam.Create([0], reshuffle=False)
        | beam.Map(lambda _: read.append(1) or batch).with_output_types(type(batch))
        | DecodeImages(CONFIG, rows=1)
    )
    with pytest.raises(Exception, match="BMP: AttributeError"):
        pipeline.run()
    assert not read


@pytest.mark.parametrize("error", [TypeError("x"), RecursionError("x"), AttributeError("x")])
def test_a_decoder_that_fails_for_one_rejects_that_one(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = BmpImagePlugin.BmpImageFile.load
    good = built_in("BMP")
    bad = good[:-1] + bytes([good[-1] ^ 0x10])

    def load(self: Any) -> Any:
        if self.fp and self.fp.getvalue() == bad:
            raise error
        return original(self)

    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "load", load, raising=False)
    assert _reasons(good, bad, good) == [None, "decode_failed", None]
    with pytest.raises(RecordError, match=f"^{type(error).__name__}: x$"):
        decode_image(bad, CONFIG)


def test_built_in_images_are_as_pillow_saves_them() -> None:
    pixels = decode_as_is(built_in("plain PNG"), 15)
    np.testing.assert_array_equal(pixels, self_test._ramp(deep=False))
