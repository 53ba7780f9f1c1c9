"""The configuration of images: their size, pixel type and tiles."""

import dataclasses
from typing import ClassVar, Literal

from ae_models.config.maps import place_pixels
from ae_models.config.validated import Validated, key
from ae_models.errors import ConfigError

_LEAST_TILE = 16  # pixels


@dataclasses.dataclass(frozen=True)
class ImageConfig(Validated):
    """The size and pixel type that every image is converted to, in training and in scoring alike.

    A field that is None is chosen from a sample of the images: channels and bits are those of most
    images; height and width have the median aspect ratio, at most 64 · 64 pixels, and no side
    greater than the median image's. With features, both are `features.size`.

    With `bits` of 9 to 15, levels are used unchanged, white is 2^bits − 1, and an image with a
    greater level is rejected. With `tile`, `height` and `width` are those of a tile.
    """

    section: ClassVar[str] = "image"

    height: int | None = key(
        None,
        "Height in pixels that images are resized to. null: chosen from a sample of the images "
        "(median aspect ratio, at most 64 x 64 pixels), or features.size with features.",
    )
    width: int | None = key(
        None, "Width in pixels that images are resized to. null: chosen like the height."
    )
    channels: int | None = key(None, "Number of channels. null: that of most images in the sample.")
    bits: int | None = key(
        None,
        "Bits per channel, 8 to 16; 9 to 15 are for cameras that store fewer levels in 16-bit "
        "files. null: those of most images in the sample.",
    )
    fit: Literal["pad", "crop", "stretch"] | None = key(
        None,
        "How an image of another size is resized: pad scales it to fit inside and pads with zeros, "
        "crop scales it to cover and crops around the centre, stretch scales each side separately. "
        "null: pad for pixels, stretch for features.",
    )
    convert: bool = key(
        False, "Convert images with other channels or bits instead of rejecting them."
    )
    reduce: bool = key(
        True,
        "Decode a JPEG of at least four times the target size per side at a half, a quarter or an "
        "eighth of its size, which is faster and changes pixels by about one level.",
    )
    max_pixels: int = key(
        89_478_485, "Maximum number of pixels per image; larger images are rejected."
    )
    tile: int | None = key(
        None,
        "Side in pixels of square tiles, with which images of any size are trained on and scored "
        "at full resolution. null: no tiles.",
    )
    overlap: int | None = key(
        None, "Pixels that neighbouring tiles share. null: an eighth of image.tile."
    )

    def validate(self) -> None:
        for field in ("height", "width", "channels"):
            value = getattr(self, field)
            self.require(value is None or value >= 1, field, "at least 1")
        self.require(self.bits is None or 8 <= self.bits <= 16, "bits", "null, or 8 to 16")
        # Pillow itself refuses twice its limit against decompression bombs.
        self.require(1 <= self.max_pixels <= 178_956_970, "max_pixels", "1 to 178956970")
        self._validate_tile()

    def _validate_tile(self) -> None:
        if self.tile is None:
            self.require(self.overlap is None, "overlap", "null without image.tile")
            return
        self.require(self.tile >= _LEAST_TILE, "tile", f"null, or at least {_LEAST_TILE}")
        place = self.tile_place
        self.require(
            self.tile % place == 0, "tile", f"a multiple of {place}, the pixels of a place"
        )
        for field in ("height", "width"):
            fits = getattr(self, field) in (None, self.tile)
            self.require(fits, field, f"null, or image.tile, {self.tile}")
        fits = 0 <= self.tile_overlap <= self.tile // 2 and self.tile_overlap % place == 0
        rule = f"null, or 0 to half of image.tile, a multiple of {place}, the pixels of a place"
        self.require(fits, "overlap", rule)

    @property
    def tile_side(self) -> int:
        """The side of a tile in pixels, for images in tiles."""
        if self.tile is None:
            raise ConfigError(f"image.tile is not set. Received: {self}")
        return self.tile

    @property
    def tile_place(self) -> int:
        """The side of one place of a tile's map, in pixels."""
        return place_pixels(self.tile_side)

    @property
    def tile_overlap(self) -> int:
        """`overlap`, or an eighth of a tile, in complete places."""
        if self.overlap is not None:
            return self.overlap
        return self.tile_side // 8 // self.tile_place * self.tile_place

    @property
    def tile_step(self) -> int:
        """Pixels from one tile to the next."""
        return self.tile_side - self.tile_overlap

    def of_frame(self) -> "ImageConfig":
        """The same with the height and width of a tile, if there are tiles."""
        if self.tile is None:
            return self
        return dataclasses.replace(self, height=self.tile, width=self.tile)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C), once all three are known."""
        if self.height is None or self.width is None or self.channels is None:
            raise ConfigError(f"the image's shape is not known yet. Received: {self}")
        return (self.height, self.width, self.channels)

    @property
    def dtype(self) -> str:
        """NumPy's name of the pixel type, once `bits` is known."""
        if self.bits is None:
            raise ConfigError(f"the image's bits are not known yet. Received: {self}")
        return "uint8" if self.bits == 8 else "uint16"

    @property
    def greatest_level(self) -> int:
        """White: 2^bits − 1, once `bits` is known."""
        if self.bits is None:
            raise ConfigError(f"the image's bits are not known yet. Received: {self}")
        return (1 << self.bits) - 1

    @property
    def image_bytes(self) -> int:
        """The size of one image's raw pixels."""
        height, width, channels = self.shape
        return height * width * channels * (2 if (self.bits or 8) > 8 else 1)
