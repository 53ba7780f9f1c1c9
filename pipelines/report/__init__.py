"""The page that `latentbeam report` writes: plots, pictures and the template."""

from ae_models.config.extras import packages_of, require

require("reports", *packages_of("report"))
