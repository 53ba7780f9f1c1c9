"""The families of corruptions, with the facts a configuration needs. Does not import Keras."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ae_models.config.family import Family
from ae_models.config.steps import Amounts

if TYPE_CHECKING:
    from ae_models.corruptions.corruption import Corruption


def _positive(default: float) -> Amounts:
    """Any amount above 0."""
    return Amounts(default, "greater than 0", lambda amount: amount > 0)


def _share(default: float) -> Amounts:
    """A share of the pixels, some of which must remain."""
    return Amounts(default, "between 0 and 1", lambda amount: 0 < amount < 1)


class Facts(NamedTuple):
    """The facts about one family.

    Attributes:
      member: the location of its class, as MODULE:CLASS.
      amounts: the amounts allowed; None if there is nothing to choose.
      most_views: the number of ways of corrupting an image that `Corruption.views` may return.
      needs_unit_scaling: it supports only images between 0 and 1.
      of_images: with a backbone, it acts on the image before the backbone.
    """

    member: str
    amounts: Amounts | None = None
    most_views: int = 4
    needs_unit_scaling: bool = False
    of_images: bool = False


_UP_TO_100 = Amounts(1.0, "between 0 and 100", lambda amount: 0 < amount <= 100)
_NOISE = "ae_models.corruptions.gaussian_noise"

FACTS: Mapping[str, Facts] = {
    "gaussian_noise": Facts(f"{_NOISE}:GaussianNoise", _positive(0.3)),
    "random_gaussian_noise": Facts(f"{_NOISE}:RandomGaussianNoise", _positive(0.75)),
    "masking": Facts("ae_models.corruptions.masking:Masking", _share(0.3)),
    "salt_and_pepper": Facts(
        "ae_models.corruptions.salt_and_pepper:SaltAndPepper",
        _share(0.1),
        needs_unit_scaling=True,
        of_images=True,
    ),
    "blur": Facts("ae_models.corruptions.blur:Blur", _UP_TO_100, most_views=1, of_images=True),
    "greyscale": Facts("ae_models.corruptions.greyscale:Greyscale", most_views=1, of_images=True),
    "rotation": Facts("ae_models.corruptions.rotation:Rotation", of_images=True),
    "cutout": Facts("ae_models.corruptions.cutout:Cutout", Amounts.up_to(1.0, default=1.0)),
    "channel_masking": Facts("ae_models.corruptions.masking:ChannelMasking", _share(0.3)),
    "clip": Facts(
        "ae_models.corruptions.clip:Clip", most_views=1, needs_unit_scaling=True, of_images=True
    ),
}
CORRUPTIONS: "Family[type[Corruption]]" = Family({n: facts.member for n, facts in FACTS.items()})
