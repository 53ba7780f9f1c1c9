"""How many records of a run may be rejected."""

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from ae_models.errors import ConfigError

# While a run goes on, a share is looked at from so many records on, and must be above the limit by
# so many standard deviations: else a run that will stay just within it would end by chance.
_RECORDS_THAT_TELL_A_SHARE, _DEVIATIONS = 1000, 4


@dataclasses.dataclass(frozen=True)
class RejectLimit:
    """The most rejects of a run: a count, or a share of the records read. One of the two is given.

    Args:
      not_all: whether it is also too many if every record is rejected.

    Raises:
      ConfigError: the count is negative, or the share is not between 0 and 1.
    """

    count: int | None = None
    share: Fraction | None = None
    not_all: bool = False

    def __post_init__(self) -> None:
        if (self.count is None) == (self.share is None):
            raise ConfigError(f"a limit of rejects is a count or a share. Received: {self!r}")
        if self.count is not None and self.count < 0:
            raise ConfigError(f"a count of rejects cannot be negative. Received: {self.count}")
        if self.share is not None and not 0 <= self.share <= 1:
            raise ConfigError(f"a share of rejects is from 0 to 1. Received: {float(self.share)}")

    @classmethod
    def usual(cls) -> "RejectLimit":
        """What a run is held to where nothing is asked for: that not every record is rejected. It
        is told once the run is at its end."""
        return cls(share=Fraction(1), not_all=True)

    @property
    def ends_early(self) -> bool:
        """Whether a run may be known to have too many while it goes on."""
        return not self.not_all

    @classmethod
    def parse(cls, value: "str | int | float | RejectLimit") -> "RejectLimit":
        """The limit that a text or a number says: a whole number is a count, `1%` and a number
        below 1 are shares, 0 allows none.

        Raises:
          ConfigError: the value is neither, 1.5 for one.
        """
        if isinstance(value, RejectLimit):
            return value
        text = str(value).strip()
        try:
            number = Decimal(text.removesuffix("%"))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise _unusable(value)
        if text.endswith("%"):
            return cls(share=Fraction(number) / 100)
        if text.removeprefix("+").isdecimal():
            return cls(count=int(number))
        if not 0 <= number < 1:
            raise _unusable(value)
        return cls(share=Fraction(number))

    def __str__(self) -> str:
        if self.not_all:
            return "not all"
        return str(self.count) if self.share is None else f"{float(100 * self.share):g}%"

    def is_exceeded(self, rejected: int, read: int, finished: bool) -> bool:
        """Whether so many rejects among so many records are too many.

        Args:
          finished: False while there may be more records: a share then counts from 1,000 records
            on, and where it is not by chance that it is above the limit.
        """
        if self.not_all and rejected == read:
            return finished and bool(rejected)
        if self.share is None:
            return self.count is not None and rejected > self.count
        excess = rejected - self.share * read
        if finished:
            return excess > 0
        chance = _DEVIATIONS * math.sqrt(read * self.share * (1 - self.share))
        return read >= _RECORDS_THAT_TELL_A_SHARE and excess > chance

    def message(self, by_reason: Mapping[str, int], read: int) -> str:
        """One line that says what the limit is, and what was counted."""
        most_first = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count} {reason}" for reason, count in most_first)
        rejected = sum(by_reason.values())
        if self.not_all and rejected == read:
            return f"all {read} records rejected ({reasons}); --max_rejects 100% allows that"
        return f"{rejected} of {read} records rejected, more than max_rejects = {self} ({reasons})"


def _unusable(value: object) -> ConfigError:
    return ConfigError(
        "max_rejects is a whole number, a share below 1 or one in percent: 1000, 0.01, 1%. "
        f"Received: {value!r}"
    )
