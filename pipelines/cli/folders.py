"""Recognises folders of the wrong kind, such as a run given as a model bundle.

Only local folders are examined. The programs make all other checks.
"""

import os

import click

# Names in folders that the commands write (`ae_models.bundles.names`, `transforms.runs.ledger`),
# repeated here because `--help` imports neither.
MANIFEST, LEDGER, SCORES, CLUSTERS, CLASSES = (
    *("manifest.json", "run.json"),
    *("scores", "clusters", "classes"),
)
UNFINISHED = "-unfinished"
_BUNDLE, _RUN, _CLUSTERS = "a model bundle", "a run", "a folder of clusters"


def checked_bundle(
    context: click.Context, parameter: click.Parameter, path: str | None
) -> str | None:
    """The path of a model bundle; raises click.BadParameter if it is another command's folder."""
    if path is None:
        return path
    _check_kind(path, _BUNDLE, "give the folder that `train` wrote", context, parameter)
    unfinished = f"{path.rstrip('/')}{UNFINISHED}"
    if not os.path.exists(path) and os.path.isdir(unfinished):
        message = (
            f"{path} does not exist yet, and {unfinished} contains an interrupted training: rerun "
            "its `train` command with --resume"
        )
        raise click.BadParameter(message, context, parameter)
    return path


def checked_run(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """The path of a run; raises click.BadParameter if it is another command's folder."""
    if path is not None:
        _check_kind(path, _RUN, "give the folder that `score` wrote", context, parameter)
    return path


def checked_clusters(
    context: click.Context, parameter: click.Parameter, path: str | None
) -> str | None:
    """The path of clusters; raises click.BadParameter if it is another command's folder."""
    if path is not None:
        advice = "`latentbeam cluster --scores RUN --output DIR` writes one"
        _check_kind(path, _CLUSTERS, advice, context, parameter)
    return path


def _check_kind(
    path: str, wanted: str, advice: str, context: click.Context, parameter: click.Parameter
) -> None:
    if (kind := _kind(path)) not in (None, wanted):
        message = f"{path} is {kind}, not {wanted}: {advice}"
        raise click.BadParameter(message, context, parameter)


def _kind(path: str) -> str | None:
    """The kind of a local folder; None if it is unknown."""

    def has(name: str) -> bool:
        return os.path.exists(os.path.join(path, name))

    if has(LEDGER):
        for name, kind in (
            (SCORES, _RUN),
            (CLUSTERS, _CLUSTERS),
            (CLASSES, "a folder of class probabilities"),
        ):
            if has(name):
                return kind
        return None
    return _BUNDLE if has(MANIFEST) else None
