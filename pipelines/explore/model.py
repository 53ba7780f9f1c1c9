"""The model bundle that a picture shows, and the finished run that belongs to it."""

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.errors import InputError
from transforms.runs.ledger import read_ledger
from transforms.scoring.bundle_cache import local_bundle

UNIT = "pixel level"  # of all images shown


def opened(model: str, in_tiles: bool = False) -> Bundle:
    """The bundle at a path, local or on an object store.

    Args:
      model: the path.
      in_tiles: whether bundles that score images in tiles are allowed.

    Raises:
      BundleError: the bundle is missing or has been modified.
      ConfigError: it scores images in tiles, and that is not allowed.
    """
    bundle = open_bundle(local_bundle(model))
    if not in_tiles:
        bundle.check_not_in_tiles("explore (except explore locate)")
    return bundle


def check_model(scores: str, bundle: Bundle) -> None:
    """Checks that a run's latents come from a bundle.

    Raises:
      InputError: another model scored the run, or there is no finished run.
    """
    model = read_ledger(scores).get("model")
    scored_by = model.get("fingerprint") if isinstance(model, dict) else None
    if scored_by != bundle.fingerprint:
        raise InputError(
            f"{scores} was scored by a different model than {bundle.path}, so its latents differ: "
            "give the bundle that scored it as --model"
        )
