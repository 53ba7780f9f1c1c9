"""Fields of the configuration: a default, and what the key means to the person who sets it."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

_MEANING, _CHOICES = "meaning", "choices"
T = TypeVar("T")


def key(default: T, meaning: str, choices: Iterable[str] = ()) -> T:
    """A dataclass field with its meaning.

    Args:
      default: its value where nothing is set.
      meaning: a sentence for people, which says what null means where that is the default.
      choices: the values that a field of type `str` accepts, apart from null; empty: any. A
        `Literal` names its own.
    """
    metadata = {_MEANING: meaning, _CHOICES: tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


def meaning_of(field: "dataclasses.Field[Any]") -> str:
    """The field's meaning; empty where it was not made by `key`."""
    return str(field.metadata.get(_MEANING, ""))


def choices_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """The field's choices; empty where any value of its type will do."""
    return tuple(field.metadata.get(_CHOICES, ()))
