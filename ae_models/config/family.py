"""Families whose members a configuration names. Listing the names does not import Keras."""

import pkgutil
from collections.abc import Iterator, Mapping
from typing import TypeVar

T_co = TypeVar("T_co", covariant=True)


class Family(Mapping[str, T_co]):
    """Members by name, each imported on first use.

    >>> family = Family({"floor": "math:floor", "ceil": "math:ceil"})
    >>> list(family), family["floor"](2.5)
    (['floor', 'ceil'], 2)

    Args:
      members: the location of each, as MODULE:ATTRIBUTE, or MODULE if the module is the member.
    """

    def __init__(self, members: Mapping[str, str]):
        self._members = dict(members)

    def __getitem__(self, name: str) -> T_co:
        member: T_co = pkgutil.resolve_name(self._members[name])
        return member

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
