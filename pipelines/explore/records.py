"""The records that a picture shows: named, or chosen at random with a seed."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from ae_models.config.configuration import ImageConfig
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, InputError
from pipelines.console.progress import say
from pipelines.explore import MOST_SHOWN
from transforms.reading.find_images import record_images
from transforms.reading.looked_at import LookedAt, named
from transforms.reading.sample_ids import choose_ids
from transforms.records.where import Where, split_values
from transforms.sources import USUAL, ReadOptions

T = TypeVar("T")
Look = Callable[[Sequence[str], LookedAt], Iterable[tuple[str, T]]]


@dataclasses.dataclass(frozen=True)
class Records:
    """Ids and raw pixels, (N, H, W, C) uint8 or uint16."""

    ids: list[str]
    pixels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which records of the inputs, read with `options`, to show: `ids`, separated by commas and
    quoted like the values of a condition, or `count` records that satisfy the conditions, drawn
    with the seed.

    Raises:
      ConfigError: both are given, ids are given without inputs, a quote is not closed, or there
        are more records than fit in a picture.
    """

    inputs: Sequence[str]
    ids: str | None = None
    count: int = 10
    seed: int = 0
    where: Sequence[str] = ()
    options: ReadOptions = USUAL

    def __post_init__(self) -> None:
        if self.ids is not None and (self.where or not self.inputs or not self.named):
            other = " and ".join(self.where) or ("no id" if self.inputs else "no --input")
            raise ConfigError(
                "--ids names records of --input, and excludes --where. "
                f"Received: --ids {self.ids!r} and {other}"
            )
        check_range(0, seed=self.seed, count=self.count)
        shown = len(self.named) or self.count
        if not 1 <= shown <= MOST_SHOWN:
            raise ConfigError(f"a picture can show 1 to {MOST_SHOWN} records. Received: {shown}")

    @property
    def named(self) -> list[str]:
        """The given ids, without repetitions."""
        return list(dict.fromkeys(filter(None, split_values(self.ids or ""))))

    def find(self, image: ImageConfig) -> Records:
        """The decoded records; raises as `look_for`."""
        return _stacked(self.look_for(_decoded(self.inputs, image, self.options)))

    def look_for(self, look: Look[T]) -> dict[str, T]:
        """What `look` finds for the records, in their order.

        Args:
          look: yields results for ids, and counts what it cannot decode.

        Raises:
          InputError: an input or a record is missing, or no record can be decoded.
          ConfigError: a condition names a column that the inputs lack.
        """
        if self.named:
            return _all_named(self.inputs, self.named, look)
        wheres = [Where.parse(text) for text in self.where]
        ids = choose_ids(self.inputs, self.count, self.seed, wheres, self.options)
        looked_at = LookedAt()
        found = dict(look(ids, looked_at))
        if not found:
            raise InputError(
                f"none of the {len(ids)} chosen records can be decoded{_why(looked_at)}"
            )
        if lost := len(ids) - len(found):
            say(
                f"{lost} of {len(ids)} chosen records cannot be decoded and are left out"
                f"{_why(looked_at)}"
            )
        return _in_order(ids, found)


def named_records(
    inputs: Sequence[str], ids: Sequence[str], image: ImageConfig, options: ReadOptions = USUAL
) -> Records:
    """The records with these ids, in their order.

    Raises:
      InputError: an input is missing, or a record is not in the inputs or cannot be decoded.
    """
    return _stacked(_all_named(inputs, ids, _decoded(inputs, image, options)))


def _decoded(inputs: Sequence[str], image: ImageConfig, options: ReadOptions) -> Look[np.ndarray]:
    return lambda ids, looked_at: record_images(inputs, ids, image, options, looked_at)


def _all_named(inputs: Sequence[str], ids: Sequence[str], look: Look[T]) -> dict[str, T]:
    looked_at = LookedAt()
    found = dict(look(ids, looked_at))
    for record in ids:
        if record not in found:
            raise InputError(
                f"cannot find or decode the record {record!r} in {named(inputs)}{_why(looked_at)}"
            )
    return _in_order(ids, found)


def _why(looked_at: LookedAt) -> str:
    return f": {told}" if (told := looked_at.told()) else ""


def _in_order(ids: Sequence[str], found: Mapping[str, T]) -> dict[str, T]:
    return {record: found[record] for record in ids if record in found}


def _stacked(found: Mapping[str, np.ndarray]) -> Records:
    return Records(list(found), np.stack(list(found.values())))
