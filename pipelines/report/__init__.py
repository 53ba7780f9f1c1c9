"""The page that `latentbeam report` writes: plots, pictures and the template."""

from ae_models.config.extras import require

require("reports", "bokeh", "jinja2", "matplotlib")
