"""Likelihoods, the decoder's distributions over images: one family per file.

To add one, add its file and a line in `LIKELIHOODS`; the model does not change.
"""

from typing import TYPE_CHECKING

from ae_models.config.family import Family

if TYPE_CHECKING:
    from ae_models.likelihoods.likelihood import Likelihood

LIKELIHOODS: "Family[type[Likelihood]]" = Family(
    {
        "bernoulli": "ae_models.likelihoods.bernoulli:Bernoulli",
        "continuous_bernoulli": "ae_models.likelihoods.continuous_bernoulli:ContinuousBernoulli",
        "gaussian": "ae_models.likelihoods.gaussian:Gaussian",
        "laplace": "ae_models.likelihoods.laplace:Laplace",
        "discretised_logistic": "ae_models.likelihoods.discretised_logistic:DiscretisedLogistic",
    }
)
