"""The page that `latentbeam report` writes: its plots, its pictures, its template."""

from ae_models.config.extras import require

require("reports", "bokeh", "jinja2", "matplotlib")
