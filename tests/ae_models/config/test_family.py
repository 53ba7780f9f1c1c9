"""Families by name: every member has its own name, and listing names needs no heavy import."""

from typing import Any

import pytest

from ae_models.config.family import Family
from ae_models.config.model import MODEL_CONFIGS
from ae_models.corruptions.families import CORRUPTIONS
from ae_models.latents.clustering import CLUSTERINGS
from ae_models.likelihoods import LIKELIHOODS
from ae_models.likelihoods.options import OF_UNIT_SCALING
from ae_models.losses import expression
from ae_models.models.registry import MODELS
from ae_models.networks import NETWORKS
from ae_models.posteriors import POSTERIORS
from ae_models.priors import PRIORS
from ae_models.scores import SCORES

NAMED: dict[str, tuple[Family[Any], Any]] = {
    "likelihoods": (LIKELIHOODS, lambda member: member.family),
    "posteriors": (POSTERIORS, lambda member: member.name),
    "priors": (PRIORS, lambda member: member.family),
    "corruptions": (CORRUPTIONS, lambda member: member.family),
    "networks": (NETWORKS, lambda member: member.__name__.rpartition(".")[2]),
    "scores": (SCORES, lambda member: member.name),
    "models": (MODELS, lambda member: member.config_class.kind),
    "clusterings": (CLUSTERINGS, lambda member: member.method),
}


@pytest.mark.parametrize(("family", "name_of"), NAMED.values(), ids=NAMED)
def test_a_member_is_found_under_its_own_name(family: Family[Any], name_of: Any) -> None:
    assert len(family) == len(list(family)) > 1
    assert {name: name_of(member) for name, member in family.items()} == {n: n for n in family}
    assert all(name in family for name in family)


def test_names_that_no_member_has() -> None:
    assert "nothing" not in LIKELIHOODS
    with pytest.raises(KeyError, match="nothing"):
        LIKELIHOODS["nothing"]
    assert LIKELIHOODS.get("nothing") is None


def test_what_is_said_of_some_is_said_of_members() -> None:
    assert set(LIKELIHOODS) >= OF_UNIT_SCALING
    assert {*expression.ON_LOGITS, *expression.OF_UNIT_SCALING} <= set(expression.LOSSES)
    assert set(MODELS) == set(MODEL_CONFIGS)
