"""Posteriors over latents, one family a file; one more is added by its file and a line here."""

from ae_models.posteriors.diagonal_gaussian import DiagonalGaussian
from ae_models.posteriors.full_gaussian import FullGaussian
from ae_models.posteriors.laplace import Laplace
from ae_models.posteriors.posterior import Posterior

POSTERIORS: dict[str, type[Posterior]] = {
    posterior.name: posterior for posterior in (DiagonalGaussian, FullGaussian, Laplace)
}

__all__ = ["POSTERIORS", "DiagonalGaussian", "FullGaussian", "Laplace", "Posterior"]
