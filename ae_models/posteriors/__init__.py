"""Posteriors over latents, one family per file; to add one, add its file and a line here."""

from typing import TYPE_CHECKING

from ae_models.config.family import Family

if TYPE_CHECKING:
    from ae_models.posteriors.posterior import Posterior

POSTERIORS: "Family[type[Posterior]]" = Family(
    {
        "diagonal_gaussian": "ae_models.posteriors.diagonal_gaussian:DiagonalGaussian",
        "full_gaussian": "ae_models.posteriors.full_gaussian:FullGaussian",
        "laplace": "ae_models.posteriors.laplace:Laplace",
    }
)
