"""The sizes and kinds of a sample of an input's images, and what training uses of them."""

import collections
import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from ae_models.config.configuration import ImageConfig
from transforms.reading.default_size import Size, aspect_ratio, default_size, median_size
from transforms.records.rejects import Reason

_CONVERTIBLE = (1, 2, 3, 4)  # numbers of channels
_WITH_ALPHA = (2, 4)
_IN_COLOUR = (3, 4)
_LEAST_SIDE, SMALL_SIDE = 32, 96  # minimum side of photographs; maximum side of doubtful ones
_CONVERT = "; --set image.convert=true converts them"


class Kind(NamedTuple):
    """What images must have in common to be trained on together."""

    channels: int
    bits: int  # 8 or 16, as stored


class Looked(NamedTuple):
    """The findings for an image: its upright size in pixels, and its kind."""

    height: int
    width: int
    kind: Kind


@dataclasses.dataclass(frozen=True)
class Survey:
    """The images that were examined.

    Args:
      images: at least one image.
      unreadable: number of other records that could not be read.
      total: total number of records, if known.
    """

    images: tuple[Looked, ...]
    unreadable: int = 0
    total: int | None = None

    def chosen(self, config: ImageConfig) -> ImageConfig:
        """`config` with None replaced by values from these images: the most common channels and
        bits among those that fit what is given, and a size (`default_size`) from the images that
        can then be used. If one side is given, the other follows from their median aspect ratio."""
        fitting = [kind for kind in self._kinds() if _is_of(kind, config)]
        channels, bits = fitting[0] if fitting else next(iter(self._kinds()))
        config = dataclasses.replace(
            config, channels=config.channels or channels, bits=config.bits or bits
        )
        height, width = self._size(config)
        return dataclasses.replace(config, height=height, width=width)

    def _size(self, config: ImageConfig) -> Size:
        used = [image for image in self.images if config.convert or _is_of(image.kind, config)]
        sizes = [(image.height, image.width) for image in used or self.images]
        if config.height is None and config.width is None:
            return default_size(sizes)
        ratio = aspect_ratio(sizes)
        height = config.height or max(1, round((config.width or 1) * ratio))
        return height, config.width or max(1, round(height / ratio))

    def are_photographs(self, config: ImageConfig) -> bool:
        """Whether the chosen images are in colour, or grey with a median side of more than 96
        pixels; images with a median side of less than 32 never are photographs."""
        chosen = self.chosen(config)
        used = [image for image in self.images if config.convert or _is_of(image.kind, chosen)]
        sides = median_size([(image.height, image.width) for image in used or self.images])
        in_colour = chosen.shape[2] in _IN_COLOUR
        seen = in_colour or (chosen.shape[2] == 1 and max(sides) > SMALL_SIDE)
        return min(sides) >= _LEAST_SIDE and seen

    def _kinds(self) -> dict[Kind, int]:
        """The number of images of each kind, most common first; ties are broken by more channels,
        then more bits."""
        counts = collections.Counter(image.kind for image in self.images)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], -item[0][0], -item[0][1])))

    def told(self, config: ImageConfig) -> list[str]:
        """Lines for the user: the images' sizes and kinds, and what training uses. `config` has
        what the user has set."""
        taken = self.chosen(config)
        least, greatest = self._extremes()
        as_they_are = least == greatest == taken.shape[:2] and self._rejected(taken) == 0
        if as_they_are and len(self._kinds()) == 1:
            return [f"images: {self._counts()}: {_shape(taken)}, all of one size, not resized"]
        if least == greatest:
            sizes = f"all {_by(least)} (height x width)"
        else:
            median = median_size([(image.height, image.width) for image in self.images])
            sizes = f"{_by(least)} to {_by(greatest)}, median {_by(median)} (height x width)"
        hint = "; --size HxW changes this" if config.height is None and config.width is None else ""
        lines = [
            f"images: {self._counts()}: {sizes}, {_kinds(self._kinds())}",
            f"training on {_shape(taken)}{hint}",
        ]
        if config.convert and self._rejected(taken):
            lines.append(f"{self._mixture(taken)}: all are converted to {_kind(_kind_of(taken))}")
        return lines

    def _extremes(self) -> tuple[Size, Size]:
        """The sizes of the images with the fewest and with the most pixels."""
        sizes = sorted(
            ((image.height, image.width) for image in self.images),
            key=lambda size: (size[0] * size[1], size),
        )
        return sizes[0], sizes[-1]

    def _counts(self) -> str:
        looked_at = len(self.images)
        of = "" if self.total is None else f" of {self.total:,}"
        others = f", {self.unreadable:,} could not be read" if self.unreadable else ""
        return f"{looked_at:,}{of} examined{others}"

    def _rejected(self, config: ImageConfig) -> int:
        return sum(count for kind, count in self._kinds().items() if not _is_of(kind, config))

    def advice(self, config: ImageConfig) -> list[str]:
        """Warnings, where `config` has what the user has set: a line that states how many images
        will be rejected for their channels or bits, and how to convert them to one kind."""
        taken = self.chosen(config)
        if config.convert or not self._rejected(taken):
            return []
        rejected = [kind for kind in self._kinds() if not _is_of(kind, taken)]
        reasons = ", ".join(dict.fromkeys(_reason(kind, taken) for kind in rejected))
        are_convertible = all(kind.channels in _CONVERTIBLE for kind in rejected)
        return [
            f"{self._mixture(taken)}: {self._which(rejected, _kind_of(taken))} will be rejected "
            f"({reasons}){_CONVERT if are_convertible else ''}"
        ]

    def _which(self, rejected: list[Kind], taken: Kind) -> str:
        """Describes the images of the rejected kinds as briefly as the others allow."""
        if len(rejected) == len(self._kinds()):
            return f"images that do not have {_kind(taken)}"
        if all(kind.bits == taken.bits for kind in rejected):
            return f"those with {_any_channels(kind.channels for kind in rejected)}"
        if all(kind.channels == taken.channels for kind in rejected):
            return f"those with {_either(sorted({kind.bits for kind in rejected}))} bits"
        return f"all except those with {_kind(taken)}"

    def _mixture(self, config: ImageConfig) -> str:
        """`of 490 images examined, 412 have 3 channels, 78 have 1`, with bits if these differ, or
        differ from what is used."""
        kinds = self._kinds()
        both = {*kinds, _kind_of(config)}
        say_channels = len({kind.channels for kind in both}) > 1
        say_bits = len({kind.bits for kind in both}) > 1
        parts: list[str] = []
        for kind, count in kinds.items():
            channels = _channels(kind.channels, bool(parts) and not say_bits)
            words = [channels] * say_channels + [f"{kind.bits} bits"] * say_bits
            parts.append(f"{count:,} {'has' if count == 1 else 'have'} {' and '.join(words)}")
        return f"of {len(self.images):,} images examined, {', '.join(parts)}"


def _is_of(kind: Kind, config: ImageConfig) -> bool:
    """Whether images of the kind are used without conversion."""
    return config.channels in (None, kind.channels) and (
        config.bits is None or kind.bits == _stored_bits(config.bits)
    )


def _reason(kind: Kind, config: ImageConfig) -> Reason:
    """Why an image of the kind is rejected: bits are checked first."""
    return Reason.WRONG_CHANNELS if kind.bits == _kind_of(config).bits else Reason.WRONG_BITS


def _kind_of(config: ImageConfig) -> Kind:
    return Kind(config.shape[2], _stored_bits(config.bits or 8))


def _stored_bits(bits: int) -> int:
    return 8 if bits == 8 else 16


def _channels(count: int, short: bool = False) -> str:
    word = "" if short else " channel" if count == 1 else " channels"
    return f"{count}{word}{' (with alpha)' if count in _WITH_ALPHA else ''}"


def _kind(kind: Kind) -> str:
    return f"{_channels(kind.channels)}, {kind.bits} bits"


def _kinds(kinds: Iterable[Kind]) -> str:
    """`1 or 3 channels, 8 bits`."""
    channels, bits = zip(*kinds, strict=True)
    return f"{_any_channels(channels)}, {_either(sorted(set(bits)))} bits"


def _any_channels(counts: Iterable[int]) -> str:
    """`1 channel`, `1 or 3 channels`."""
    found = sorted(set(counts))
    return _channels(found[0]) if len(found) == 1 else f"{_either(found)} channels"


def _either(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last


def _by(size: Size) -> str:
    return " x ".join(map(str, size))


def _shape(config: ImageConfig) -> str:
    height, width, channels = config.shape
    return f"{_by((height, width))}, {_channels(channels)}, {config.bits} bits"
