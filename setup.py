"""The packages are found here because the layout, three of them at the top level, defeats automatic
discovery; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

_WINGS = ("ae_models", "pipelines", "transforms")

setup(
    packages=find_packages(include=[pattern for wing in _WINGS for pattern in (wing, f"{wing}.*")]),
    package_data={
        **{wing: ["py.typed"] for wing in _WINGS},
        "pipelines.report": ["page.css", "page.html.j2"],
        "transforms.beam_yaml": ["providers.yaml"],
    },
)
