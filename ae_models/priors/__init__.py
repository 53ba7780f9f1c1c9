"""Priors over latents, one family a file; one more is added by its file and a line here."""

from ae_models.priors.prior import Prior
from ae_models.priors.standard import StandardPrior
from ae_models.priors.vamp import VampPrior

PRIORS: dict[str, type[Prior]] = {prior.family: prior for prior in (StandardPrior, VampPrior)}

__all__ = ["PRIORS", "Prior", "StandardPrior", "VampPrior"]
