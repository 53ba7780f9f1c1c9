"""The bundle that a picture is of, and the finished run that goes with it."""

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.errors import InputError
from transforms.runs.ledger import read_ledger
from transforms.scoring.bundle_cache import local_bundle

UNIT = "pixel level"  # of all images that are shown


def opened(model: str, in_tiles: bool = False) -> Bundle:
    """The bundle at a path, here or on an object store.

    Args:
      model: the path.
      in_tiles: whether it may be one that looks at images in tiles.

    Raises:
      BundleError: there is none, or it was changed.
      ConfigError: it looks at images in tiles.
    """
    bundle = open_bundle(local_bundle(model))
    if not in_tiles:
        bundle.check_not_in_tiles("explore, but for explore locate,")
    return bundle


def check_model(scores: str, bundle: Bundle) -> None:
    """Whether a run's latents are those of a bundle.

    Raises:
      InputError: another model has scored the run, or there is no finished run.
    """
    model = read_ledger(scores).get("model")
    scored_by = model.get("fingerprint") if isinstance(model, dict) else None
    if scored_by != bundle.fingerprint:
        raise InputError(
            f"{scores} was scored by another model than {bundle.path}: their latents differ"
        )
