"""Priors over latents, one family per file; to add one, add its file and a line here."""

from typing import TYPE_CHECKING

from ae_models.config.family import Family

if TYPE_CHECKING:
    from ae_models.priors.prior import Prior

PRIORS: "Family[type[Prior]]" = Family(
    {
        "standard": "ae_models.priors.standard:StandardPrior",
        "vamp": "ae_models.priors.vamp:VampPrior",
    }
)
