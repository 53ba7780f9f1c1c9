"""Distribution families: one small file each, with `log_prob`, `sample` and `mean`.

A likelihood maps the decoder's raw outputs, `parameters_per_value` numbers for each value of the
image, to a distribution over images. One more is added by its file and a line in `LIKELIHOODS`.
"""

from ae_models.distributions.bernoulli import Bernoulli
from ae_models.distributions.diagonal_gaussian import DiagonalGaussian
from ae_models.distributions.gaussian import Gaussian
from ae_models.distributions.likelihood import Likelihood

LIKELIHOODS: dict[str, type[Likelihood]] = {"bernoulli": Bernoulli, "gaussian": Gaussian}

__all__ = ["LIKELIHOODS", "Bernoulli", "DiagonalGaussian", "Gaussian", "Likelihood"]
