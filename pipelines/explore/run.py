"""The finished run that a picture takes latents and labels from."""

from ae_models.bundles.bundle import Bundle
from ae_models.errors import InputError
from transforms.runs.ledger import read_ledger


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
