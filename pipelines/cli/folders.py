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


def checked_bundle(
    context: click.Context, parameter: click.Parameter, path: str | None
) -> str | None:
    """The path of a model bundle; raises click.BadParameter if it is another command's folder."""
    if path is None:
        return path
    if (kind := _kind(path)) not in (None, "a model bundle"):
        message = f"{path} is {kind}, not a model bundle: give the folder that `train` wrote"
        raise click.BadParameter(message, context, parameter)
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
    if path is not None and (kind := _kind(path)) not in (None, "a run"):
        message = f"{path} is {kind}, not a run: give the folder that `score` wrote"
        raise click.BadParameter(message, context, parameter)
    return path


def checked_clusters(
    context: click.Context, parameter: click.Parameter, path: str | None
) -> str | None:
    """The path of clusters; raises click.BadParameter if it is another command's folder."""
    if path is not None and (kind := _kind(path)) not in (None, "a folder of clusters"):
        message = (
            f"{path} is {kind}, not a folder of clusters: `latentbeam cluster --scores RUN "
            "--output DIR` writes one"
        )
        raise click.BadParameter(message, context, parameter)
    return path


def _kind(path: str) -> str | None:
    """The kind of a local folder; None if it is unknown."""

    def has(name: str) -> bool:
        return os.path.exists(os.path.join(path, name))

    if has(LEDGER):
        for name, kind in (
            (SCORES, "a run"),
            (CLUSTERS, "a folder of clusters"),
            (CLASSES, "a folder of class probabilities"),
        ):
            if has(name):
                return kind
        return None
    return "a model bundle" if has(MANIFEST) else None
