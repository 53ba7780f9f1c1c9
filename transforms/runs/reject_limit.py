"""The limit on the rejects of a run."""

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from ae_models.config.validated import check_range
from ae_models.errors import ConfigError

# While a run is in progress, a share is checked only after this many records, and must exceed the
# limit by this many standard deviations: otherwise a run just within it could be stopped by chance.
_RECORDS_THAT_TELL_A_SHARE, _DEVIATIONS = 1000, 4
_MOST_DIGITS = 100


@dataclasses.dataclass(frozen=True)
class RejectLimit:
    """The maximum rejects of a run, given as either a count or a share of the records read.

    Args:
      count: the maximum number of rejects.
      share: the maximum share of rejects, from 0 to 1.
      not_all: whether it is also too many if every record is rejected.

    Raises:
      ConfigError: the count is negative, or the share is not between 0 and 1.
    """

    count: int | None = None
    share: Fraction | None = None
    not_all: bool = False

    def __post_init__(self) -> None:
        if (self.count is None) == (self.share is None):
            raise ConfigError(f"a reject limit must be a count or a share. Received: {self!r}")
        if self.count is not None:
            check_range(0, count=self.count)
        if self.share is not None and not 0 <= self.share <= 1:
            raise ConfigError(
                f"the share of a reject limit must be from 0 to 1. Received: {float(self.share)}"
            )

    @classmethod
    def usual(cls) -> "RejectLimit":
        """The default limit: not every record may be rejected. It is checked at the end of the
        run."""
        return cls(share=Fraction(1), not_all=True)

    @property
    def ends_early(self) -> bool:
        """Whether the limit can be exceeded before the end of a run."""
        return not self.not_all

    @classmethod
    def parse(cls, value: "str | int | float | RejectLimit") -> "RejectLimit":
        """Parses a limit from text or a number: a whole number is a count, `1%` and a number below
        1 are shares, and 0 allows no rejects.

        Raises:
          ConfigError: the value is neither, for example 1.5.
        """
        if isinstance(value, RejectLimit):
            return value
        text = str(value).strip()
        number = _number(text.removesuffix("%"))
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
        """Whether `rejected` of `read` records are too many.

        Args:
          rejected: the number of rejects.
          read: the number of records read.
          finished: False if there may be more records: a share is then checked only from 1,000
            records on, and must exceed the limit by more than chance explains.
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
        """One line with the limit and the counts."""
        most_first = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count} {reason}" for reason, count in most_first)
        rejected = sum(by_reason.values())
        if self.not_all and rejected == read:
            return f"all {read} records were rejected ({reasons}); --max_rejects 100% allows this"
        return (
            f"{rejected} of {read} records were rejected, more than max_rejects = {self} "
            f"({reasons})"
        )


def _number(text: str) -> Decimal:
    """The number, or NaN for other text and for absurdly many digits: converting these to a
    fraction or to text would take very long."""
    try:
        number = Decimal(text) if len(text) <= _MOST_DIGITS else Decimal("NaN")
    except InvalidOperation:
        return Decimal("NaN")
    return number if abs(number.adjusted()) <= _MOST_DIGITS else Decimal("NaN")


def _unusable(value: object) -> ConfigError:
    return ConfigError(
        "max_rejects must be a whole number, a share below 1 or a percentage, "
        "for example 1000, 0.01 or 1%. "
        f"Received: {value!r}"
    )
