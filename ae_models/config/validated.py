"""Frozen dataclasses that check the type of every field, and convert to and from plain mappings."""

import contextlib
import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from ae_models.errors import ConfigError

_MEANING, _CHOICES = "meaning", "choices"
T = TypeVar("T", bound="Validated")
P = TypeVar("P")
V = TypeVar("V")


def key(default: V, meaning: str, choices: Iterable[str] = ()) -> V:
    """A dataclass field with its meaning.

    Args:
      default: the value of a key that is not set.
      meaning: one or two sentences, which say what null means if that is the default.
      choices: the values that a field of type `str` accepts besides null; empty if it accepts any.
        Fields of type `Literal` need none.
    """
    metadata = {_MEANING: meaning, _CHOICES: tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


def meaning_of(field: "dataclasses.Field[Any]") -> str:
    """The field's meaning; empty if `key` did not make it."""
    return str(field.metadata.get(_MEANING, ""))


def choices_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """The field's choices; empty if it accepts any value of its type."""
    return tuple(field.metadata.get(_CHOICES, ()))


@dataclasses.dataclass(frozen=True)
class Validated:
    """Base of the configuration classes: construction fails on a wrong type, and names the value.

    Raises:
      ConfigError: a field's value does not have its declared type, or is not one of its choices.
    """

    section: ClassVar[str] = ""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            path = self._path(field.name)
            value = _checked(getattr(self, field.name), hints[field.name], path)
            choices = choices_of(field)
            if choices and value is not None:
                _check_choice(value, choices, path)
            object.__setattr__(self, field.name, value)
        self.validate()

    def validate(self) -> None:
        """Checks that types cannot express; subclasses override it and call `require`."""

    def require(self, condition: bool, field: str, rule: str) -> None:
        """Raises ConfigError with the field's path and value unless `condition` holds."""
        if not condition:
            raise ConfigError(
                f"{self._path(field)} must be {rule}. Received: {getattr(self, field)!r}"
            )

    def parsed(self, field: str, parse: Callable[[str], P]) -> P:
        """The field's expression, parsed.

        Raises:
          ConfigError: `parse` raised a ValueError.
        """
        value = getattr(self, field)
        try:
            return parse(value)
        except ValueError as error:
            raise ConfigError(f"{self._path(field)}: {error}. Received: {value!r}") from error

    def _path(self, field: str) -> str:
        return f"{self.section}.{field}" if self.section else field


def check_range(least: int, most: int | None = None, /, **values: Any) -> None:
    """Raises ConfigError, with name and value, for the first value that is not a whole number from
    `least` to `most`."""
    rule = f"of at least {least}" if most is None else f"from {least} to {most}"
    for name, value in values.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            raise ConfigError(f"{name} must be a whole number {rule}. Received: {value!r}")


def check_rate(**values: Any) -> None:
    """Raises ConfigError, with name and value, for the first value that is not a number between 0
    and 1."""
    for name, value in values.items():
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (number and 0 < value < 1):
            raise ConfigError(f"{name} must be between 0 and 1. Received: {value!r}")


def from_mapping(cls: type[T], mapping: Any) -> T:
    """Builds `cls` from a plain mapping, including nested classes.

    Raises:
      ConfigError: `mapping` is not a mapping, lacks a required key, or has an unknown one.
    """
    name = cls.section or "the configuration"
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{name} must be a mapping of keys to values. Received: {mapping!r}")
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    for given in mapping:
        if given not in known:
            raise ConfigError(f"unknown key {given!r} in {name}{suggestion(given, known)}")
    for field in dataclasses.fields(cls):
        absent = field.default is field.default_factory is dataclasses.MISSING
        if absent and field.name not in mapping:
            raise ConfigError(f"{name} must have the key {field.name!r}. Received: {mapping!r}")
    values = {
        given: from_mapping(hints[given], value) if _is_section(hints[given]) else value
        for given, value in mapping.items()
    }
    return cls(**values)


def to_mapping(config: Validated) -> dict[str, Any]:
    """The inverse of `from_mapping`, with types that YAML and JSON have (tuples become lists)."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Validated):
            value = to_mapping(value)
        result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def suggestion(word: Any, known: typing.Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known word, or all known words."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Validated)


def _checked(value: Any, hint: Any, path: str) -> Any:
    """`value` as the type of `hint`: ints are accepted as floats, lists as tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _checked(value, hint, path)
    if origin is typing.Literal:
        _check_choice(value, arguments, path)
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} must be a list. Received: {value!r}")
        return tuple(_checked(item, arguments[0], path) for item in value)
    if hint is float:
        return _finite(value, path)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{path} must be of type {hint.__name__}. Received: {value!r}")
    return value


def _check_choice(value: Any, choices: tuple[Any, ...], path: str) -> None:
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise ConfigError(
            f"{path} must be one of {', '.join(map(str, choices))}. Received: {value!r}"
        )


def _finite(value: Any, path: str) -> float:
    """A finite number, or text that is one: YAML 1.1 reads 1e-3 as text."""
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise ConfigError(f"{path} must be of type float. Received: {value!r}")
    return number
