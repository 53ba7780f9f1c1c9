"""Scoring images by their tiles, with functions in place of a model that need no tiles."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ae_models.config.configuration import Configuration, ImageConfig, ScoringConfig
from ae_models.config.model import AutoencoderConfig
from transforms.images import bands
from transforms.images.orientation import Stored, upright
from transforms.tiles.cut import Grid
from transforms.tiles.score_tiles import TiledImage, TileScorer

ORIENTATION_TAG = 0x0112
TILE, PLACE = 128, 2
SIZES = [(50, 60), (300, 200), (128, 128), (129, 400), (31, 333)]


class Stub:
    """A `Scorer` of known functions of pixels, which records its calls and their rows."""

    def __init__(self, batch_rows: int, primary: str = "score_mean"):
        self.batch_rows, self.primary = batch_rows, primary
        self.calls: list[int] = []

    def score(self, pixels: np.ndarray, maps: bool = True) -> dict[str, np.ndarray]:
        self.calls.append(len(pixels))
        count, height, width, channels = pixels.shape
        exact = pixels.astype(np.float64)
        blocks = exact.reshape(count, height // PLACE, PLACE, width // PLACE, PLACE * channels)
        found_maps = blocks.mean(axis=(2, 4)).astype(np.float32)
        outputs = {
            "latent_mean": exact.mean(axis=(1, 2)).astype(np.float32),
            "latent_stddev": exact.std(axis=(1, 2)).astype(np.float32),
            "score_mean": exact.mean(axis=(1, 2, 3)).astype(np.float32),
            "score_max": exact.max(axis=(1, 2, 3)).astype(np.float32),
            "score_map_peak": found_maps.max(axis=(1, 2)),
        }
        outputs["score"] = outputs[self.primary]
        return {**outputs, "anomaly_map": found_maps} if maps else outputs


def _config(top: int = 1, **scoring: str) -> Configuration:
    return Configuration(
        AutoencoderConfig(),
        image=ImageConfig(tile=TILE, overlap=16, channels=3, bits=8),
        scoring=ScoringConfig(top_tiles=top, **scoring),
    )


def _pixels(size: tuple[int, int], seed: int) -> np.ndarray:
    """An image with its own brightness, and a bright spot."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 100 + 20 * (seed % 5), (*size, 3), np.uint8)
    top, left = generator.integers(0, size[0] - 8), generator.integers(0, size[1] - 8)
    pixels[top : top + 8, left : left + 8] += 60
    return pixels


def _png(pixels: np.ndarray, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    return file.getvalue()


def _scored(
    images: Sequence[bytes | np.ndarray], stub: Stub, config: Configuration | None = None
) -> list[TiledImage | dict[str, str]]:
    given = [memoryview(image) if isinstance(image, bytes) else image for image in images]
    return TileScorer(stub, config or _config()).score(given)  # type: ignore[arg-type]


def _extended(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    beyond = [(0, max(0, height - pixels.shape[0])), (0, max(0, width - pixels.shape[1])), (0, 0)]
    return np.pad(pixels, beyond, mode="edge")


def _tiles(pixels: np.ndarray, stored: Stored, config: Configuration) -> list[np.ndarray]:
    xs, ys = Grid.of(stored, config.image)
    whole = _extended(pixels, ys[-1] + TILE, xs[-1] + TILE)
    return [upright(whole[y : y + TILE, x : x + TILE], stored.orientation) for y in ys for x in xs]


def _check(
    found: TiledImage | dict[str, str],
    pixels: np.ndarray,
    config: Configuration,
    orientation: int = 1,
    primary: str = "score_mean",
) -> None:
    """Checks the results against the image's stored pixels."""
    assert isinstance(found, TiledImage)
    height, width = pixels.shape[:2]
    stored = Stored(width, height, orientation)
    assert found.stored == stored
    tiles = np.stack(_tiles(pixels, stored, config)).astype(np.float64)
    grid = Grid.of(stored, config.image)
    places = [(x, y) for y in grid.ys for x in grid.xs]
    assert list(zip(found.tiles["x"].tolist(), found.tiles["y"].tolist(), strict=True)) == places
    assert found.tiles["x"].dtype == found.tiles["y"].dtype == np.int32
    top = config.scoring.top_tiles
    for name, axes in (("mean", (1, 2, 3)), ("max", (1, 2, 3))):
        values = getattr(tiles, name)(axis=axes)
        np.testing.assert_allclose(found.tiles[f"score_{name}"], values, rtol=1e-6)
        expected = np.sort(values)[-top:].mean()
        np.testing.assert_allclose(found.outputs[f"score_{name}"], expected, rtol=1e-6)
    latent = tiles.mean(axis=(1, 2)).mean(axis=0)
    np.testing.assert_allclose(found.outputs["latent_mean"], latent, rtol=1e-6)
    if config.scoring.map == "none":
        assert found.map is None
    else:
        size = (-(-height // PLACE), -(-width // PLACE))
        whole = _extended(pixels, PLACE * size[0], PLACE * size[1]).astype(np.float64)
        blocks = whole.reshape(size[0], PLACE, size[1], PLACE * 3).mean(axis=(1, 3))
        assert found.map is not None
        assert found.map.dtype == np.float32
        np.testing.assert_allclose(found.map, blocks, rtol=1e-5)
        assert found.outputs["score_map_peak"] == found.map.max()
    np.testing.assert_array_equal(found.outputs["score"], found.outputs[primary])
    assert "anomaly_map" not in found.outputs
    assert "anomaly_map" not in found.tiles


def _same(one: TiledImage | dict[str, str], other: TiledImage | dict[str, str]) -> None:
    """Checks that two results are equal, bit for bit."""
    if not isinstance(one, TiledImage) or not isinstance(other, TiledImage):
        assert one == other
        return
    assert one.stored == other.stored
    for mine, theirs in ((one.outputs, other.outputs), (one.tiles, other.tiles)):
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            np.testing.assert_array_equal(values, theirs[name])
    np.testing.assert_array_equal(one.map, other.map)


@pytest.mark.parametrize("rows", range(1, 8))
def test_several_images_of_several_sizes_together(rows: int) -> None:
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    stub = Stub(rows)
    found = _scored([_png(own) for own in pixels], stub)
    assert len(found) == len(SIZES)
    for one, own in zip(found, pixels, strict=True):
        _check(one, own, _config())
    tiles = sum(len(one.tiles["x"]) for one in found if isinstance(one, TiledImage))
    assert sum(stub.calls) == tiles
    assert stub.calls == [rows] * (tiles // rows) + [tiles % rows] * bool(tiles % rows)


@pytest.mark.parametrize("top", [1, 2, 100])
def test_scores_are_those_of_the_greatest_tiles(top: int) -> None:
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    for one, own in zip(_scored(pixels, Stub(4), _config(top)), pixels, strict=True):
        _check(one, own, _config(top))


@pytest.mark.parametrize("orientation", [1, 6])
def test_pictures_of_images_are_as_large_as_their_maps_where_asked_for(orientation: int) -> None:
    """Each picture shows its own image, whatever is scored with it."""
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    images = [memoryview(_png(own, orientation)) for own in pixels]
    config = dataclasses.replace(_config(), image=_config().image.of_frame())
    for one, own in zip(TileScorer(Stub(4), config, True).score(images), pixels, strict=True):
        assert isinstance(one, TiledImage)
        assert one.map is not None
        assert one.pixels is not None
        assert one.pixels.shape == (*one.map.shape, 3)
        height, width = (side * PLACE for side in one.map.shape)
        blocks = _extended(own, height, width).reshape(height // PLACE, PLACE, -1, PLACE, 3)
        expected = np.rint(blocks.mean(axis=(1, 3), dtype=np.float64))
        np.testing.assert_array_equal(one.pixels, expected)
    for one in _scored(pixels, Stub(4)):
        assert isinstance(one, TiledImage)
        assert one.pixels is None


def test_the_peak_of_the_whole_map_is_the_score_where_it_is_the_primary_one() -> None:
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    found = _scored(pixels, Stub(3, "score_map_peak"), _config(2))
    for one, own in zip(found, pixels, strict=True):
        _check(one, own, _config(2), primary="score_map_peak")


def test_without_a_map_there_is_none_and_no_peak_of_it() -> None:
    config = _config(map="none")
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    for one, own in zip(_scored(pixels, Stub(3), config), pixels, strict=True):
        _check(one, own, config)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_that_are_turned(orientation: int) -> None:
    pixels = [_pixels((300, 171), 1), _pixels((90, 300), 2)]
    found = _scored([_png(own, orientation) for own in pixels], Stub(4))
    for one, own in zip(found, pixels, strict=True):
        _check(one, own, _config(), orientation)


def test_an_image_is_scored_alike_alone_and_among_others() -> None:
    images = [_png(_pixels(size, seed)) for seed, size in enumerate(SIZES)]
    together = _scored(images, Stub(5))
    for one, image in zip(together, images, strict=True):
        _same(one, _scored([image], Stub(5))[0])
    for one, other in zip(together, reversed(_scored(images[::-1], Stub(3))), strict=True):
        _same(one, other)


def test_what_is_no_image_is_a_reject_and_leaves_the_others_as_they_are() -> None:
    images = [_png(_pixels(size, seed)) for seed, size in enumerate(SIZES)]
    alone = _scored(images, Stub(4))
    among = [images[0], b"no image", *images[1:3], b"", *images[3:], _png(_pixels((9, 9), 1))[:60]]
    found = _scored(among, Stub(4))
    rejects = [found[1], found[4], found[7]]
    assert [dict(reject)["stage"] for reject in rejects] == ["decode"] * 3  # type: ignore[arg-type]
    reasons = [dict(reject)["reason"] for reject in rejects]  # type: ignore[arg-type]
    assert reasons == ["not_an_image", "empty", "corrupt"]
    kept = [one for place, one in enumerate(found) if place not in (1, 4, 7)]
    for one, other in zip(kept, alone, strict=True):
        _same(one, other)


@pytest.mark.parametrize("rows", range(1, 8))
def test_an_image_that_breaks_off_in_the_middle_is_a_reject_alone(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 100)
    images = [_png(_pixels(size, seed)) for seed, size in enumerate(SIZES)]
    alone = _scored(images, Stub(rows))
    long = _png(_pixels((900, 300), 3))
    for share, least in ((0.5, 5), (0.95, 15)):
        stub = Stub(rows)
        cut = long[: int(share * len(long))]
        found = _scored([*images[:2], cut, *images[2:], cut], stub)
        for place in (2, 6):
            reject = found[place]
            assert isinstance(reject, dict)
            assert (reject["stage"], reject["reason"]) == ("decode", "corrupt")
        for one, other in zip([*found[:2], *found[3:6]], alone, strict=True):
            _same(one, other)
        whole = sum(len(one.tiles["x"]) for one in alone if isinstance(one, TiledImage))
        assert sum(stub.calls) >= whole + 2 * least  # tiles scored before the damage


@pytest.mark.parametrize("images", [[], [b""], [b"x", b"y"]])
def test_of_no_image_there_is_no_call(images: list[bytes]) -> None:
    stub = Stub(3)
    found = _scored(images, stub)
    assert [isinstance(one, TiledImage) for one in found] == [False] * len(images)
    assert stub.calls == []


def test_raw_and_encoded_images_are_scored_alike() -> None:
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    encoded = _scored([_png(own) for own in pixels], Stub(4))
    for one, other in zip(_scored(pixels, Stub(4)), encoded, strict=True):
        _same(one, other)
    wrong = _scored([pixels[0][..., :1], pixels[1], pixels[0].astype(np.uint16)], Stub(4))
    assert [one["reason"] if isinstance(one, dict) else "" for one in wrong] == [
        *("wrong_channels", "", "wrong_bits")
    ]


def test_no_memory_for_an_image_is_a_reject_of_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = [_pixels(size, seed) for seed, size in enumerate(SIZES)]
    original = bands.converted

    def converted(own: np.ndarray, config: ImageConfig) -> np.ndarray:
        if own.shape[:2] == SIZES[1]:
            raise MemoryError
        return original(own, config)

    monkeypatch.setattr(bands, "converted", converted)
    found = _scored(pixels, Stub(4))
    reject = found[1]
    assert isinstance(reject, dict)
    assert (reject["stage"], reject["reason"]) == ("decode", "out_of_memory")
    for place in (0, 2, 3, 4):
        _check(found[place], pixels[place], _config())


def test_what_the_model_raises_is_raised() -> None:
    class Failing(Stub):
        def score(self, pixels: np.ndarray, maps: bool = True) -> dict[str, np.ndarray]:
            raise ValueError("the model fails")

    with pytest.raises(ValueError, match="the model fails"):
        _scored([_pixels(size, 1) for size in SIZES], Failing(2))


@given(
    st.lists(st.tuples(st.integers(9, 300), st.integers(9, 300)), min_size=1, max_size=4),
    st.integers(1, 7),
    st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_any_images(sizes: list[tuple[int, int]], rows: int, top: int) -> None:
    pixels = [_pixels(size, seed) for seed, size in enumerate(sizes)]
    for one, own in zip(_scored(pixels, Stub(rows), _config(top)), pixels, strict=True):
        _check(one, own, _config(top))
