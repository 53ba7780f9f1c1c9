"""Likelihoods, the decoder's distributions over images: one family a file.

One more is added by its file and a line in `LIKELIHOODS`; the model does not change.
"""

from ae_models.likelihoods.bernoulli import Bernoulli
from ae_models.likelihoods.continuous_bernoulli import ContinuousBernoulli
from ae_models.likelihoods.discretised_logistic import DiscretisedLogistic
from ae_models.likelihoods.gaussian import Gaussian
from ae_models.likelihoods.laplace import Laplace
from ae_models.likelihoods.likelihood import Likelihood, LikelihoodOptions

LIKELIHOODS: dict[str, type[Likelihood]] = {
    likelihood.family: likelihood
    for likelihood in (Bernoulli, ContinuousBernoulli, Gaussian, Laplace, DiscretisedLogistic)
}

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "LikelihoodOptions",
]
