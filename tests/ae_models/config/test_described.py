"""The keys of the configuration: each has a meaning, and defaults are those of the classes."""

import dataclasses
import re
from typing import Literal

import pytest

from ae_models.config.configuration import (
    Configuration,
    configuration_from_mapping,
    configuration_to_mapping,
)
from ae_models.config.described import configuration_keys
from ae_models.config.model import MODEL_CONFIGS
from ae_models.config.validated import Validated, key
from ae_models.errors import ConfigError

KINDS = sorted(MODEL_CONFIGS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_meaning_that_reads_as_sentences(kind: str) -> None:
    for found in configuration_keys(kind):
        assert re.fullmatch(r"[A-Zp].*\.", found.meaning), found
        assert "\n" not in found.meaning
        assert found.type


@pytest.mark.parametrize("kind", KINDS)
def test_what_null_means_is_said_wherever_it_is_the_default(kind: str) -> None:
    for found in configuration_keys(kind):
        assert (found.default is None) == ("null: " in found.meaning), found.path
        assert (found.default is None) <= found.type.endswith(" or null"), found


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_and_their_defaults_are_those_of_a_configuration(kind: str) -> None:
    mapping: dict[str, dict[str, object]] = {}
    for found in configuration_keys(kind):
        mapping.setdefault(found.section, {})[found.key] = found.default
    defaults = Configuration(MODEL_CONFIGS[kind]())
    assert mapping == configuration_to_mapping(defaults)
    assert [*mapping] == [*configuration_to_mapping(defaults)]
    assert configuration_from_mapping(mapping) == defaults


def test_types_name_what_may_be_set() -> None:
    types = {found.path: found.type for kind in KINDS for found in configuration_keys(kind)}
    assert types["model.latent_dim"] == "int or null"
    assert types["model.widths"] == "list of int or null"
    assert types["image.convert"] == "bool"
    assert types["image.fit"] == "pad, crop, stretch or null"
    assert types["model.prior"] == "standard or vamp"
    assert types["model.likelihood"].endswith("laplace, discretised_logistic or null")
    assert types["scoring.scores"] == "list of str or null"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"one of ae, dae, vae\. Received: 'gan'"):
        configuration_keys("gan")


@dataclasses.dataclass(frozen=True)
class _Section(Validated):
    name: str | None = key(None, "A name.", ("left", "right"))
    side: Literal["up", "down"] = key("up", "A side.")


def test_choices_of_a_key_are_checked() -> None:
    assert _Section("left").name == "left"
    assert _Section().name is None
    with pytest.raises(ConfigError, match=r"name must be one of left, right\. Received: 'up'"):
        _Section("up")
