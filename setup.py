"""The packages are named here because the layout, three of them at the top level, defeats
automatic discovery; everything else is in pyproject.toml."""

from setuptools import setup

setup(
    packages=[
        "ae_models",
        "ae_models.clustering",
        "ae_models.corruptions",
        "ae_models.likelihoods",
        "ae_models.networks",
        "ae_models.posteriors",
        "ae_models.priors",
        "ae_models.scores",
        "pipelines",
        "pipelines.explore",
        "pipelines.pictures",
        "pipelines.report_page",
        "transforms",
        "transforms.sources",
    ],
    package_data={
        "pipelines.report_page": ["page.css", "page.html.j2"],
        "transforms": ["yaml_providers.yaml"],
    },
)
