"""Every key of the configuration with its default, its type and its meaning."""

import dataclasses
import typing
from typing import Any, NamedTuple

from ae_models.config.configuration import Configuration
from ae_models.config.model import KIND_MEANING, MODEL_CONFIGS, ModelConfig
from ae_models.config.validated import Validated, choices_of, meaning_of
from ae_models.errors import ConfigError

_KIND = "kind"


class ConfigurationKey(NamedTuple):
    """One key of a configuration file.

    Attributes:
      section, key: its place, `model` and `latent_dim` for one.
      default: as YAML and JSON write it; None is null.
      type: of its values, or the values themselves: `int or null`, `pad, crop, stretch or null`.
      meaning: one or two sentences, which say what null means.
    """

    section: str
    key: str
    default: Any
    type: str
    meaning: str

    @property
    def path(self) -> str:
        """As `--set` names it: `model.latent_dim`."""
        return f"{self.section}.{self.key}"


def configuration_keys(kind: str) -> list[ConfigurationKey]:
    """All keys for one kind of model, section by section, in the order of a configuration file.

    Args:
      kind: of the model: `ae`, `dae` or `vae`.

    Raises:
      ConfigError: there is no such kind.
    """
    if kind not in MODEL_CONFIGS:
        known = ", ".join(MODEL_CONFIGS)
        raise ConfigError(f"model.kind must be one of {known}. Received: {kind!r}")
    hints = typing.get_type_hints(Configuration)
    sections = [hints[field.name] for field in dataclasses.fields(Configuration)]
    keys = []
    for section in sections:
        cls = MODEL_CONFIGS[kind] if section is ModelConfig else section
        if section is ModelConfig:
            kinds = _alternatives(list(MODEL_CONFIGS))
            keys.append(ConfigurationKey(cls.section, _KIND, kind, kinds, KIND_MEANING))
        keys += _keys_of(cls)
    return keys


def _keys_of(cls: type[Validated]) -> list[ConfigurationKey]:
    hints = typing.get_type_hints(cls)
    return [
        ConfigurationKey(
            cls.section,
            field.name,
            list(field.default) if isinstance(field.default, tuple) else field.default,
            _type_text(hints[field.name], choices_of(field)),
            meaning_of(field),
        )
        for field in dataclasses.fields(cls)
    ]


def _type_text(hint: Any, choices: tuple[str, ...]) -> str:
    """What may be set, as people say it."""
    members = typing.get_args(hint)
    optional = type(None) in members
    if optional:
        (hint,) = (member for member in members if member is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
    if choices:
        return _alternatives([*choices, *(["null"] if optional else [])])
    if typing.get_origin(hint) is tuple:
        name = f"list of {typing.get_args(hint)[0].__name__}"
    else:
        name = hint.__name__
    return f"{name} or null" if optional else name


def _alternatives(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if words[1:] else words[0]
