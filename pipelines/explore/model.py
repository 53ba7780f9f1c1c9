"""The bundle that a picture is of."""

from ae_models.bundles.bundle import Bundle, open_bundle
from transforms.scoring.bundle_cache import local_bundle

UNIT = "pixel level"  # of all images that are shown


def opened(model: str) -> Bundle:
    """The bundle at a path, here or on an object store.

    Raises:
      BundleError: there is none, or it was changed.
    """
    return open_bundle(local_bundle(model))
