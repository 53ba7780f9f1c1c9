"""`latentbeam relabel`: a finished run with its flags set by another rule."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from ae_models.calibration.false_discovery import benjamini_hochberg
from ae_models.config.validated import check_rate
from ae_models.errors import ConfigError, InputError
from pipelines.beam.recorded import recorded
from pipelines.console.progress import Progress
from transforms.results.relabel import p_values, relabel_files, scored_rows
from transforms.runs.finish import finish_run
from transforms.runs.ledger import read_ledger
from transforms.runs.output_folder import check_free, check_not_within
from transforms.runs.run_lock import held
from transforms.storage.changes import remove
from transforms.storage.staging import staging_folder


def relabel(
    scores: str,
    output: str,
    fpr: float | None = None,
    fdr: float | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a finished run anew with `is_anomaly` by another rule; gives the new ledger.

    Args:
      scores: the folder of the finished run.
      output: the folder to write to.
      fpr: flags p_value <= fpr.
      fdr: flags by Benjamini and Hochberg at this false discovery rate, over all scored records.
      overwrite: replace what `output` holds, once the work has succeeded.

    Raises:
      LatentbeamError: not exactly one of the two rates, one outside 0 to 1, no finished and whole
        run, or an output that cannot be used.
    """
    rule, rate = _rule(fpr, fdr)
    check_free(output, overwrite)
    check_not_within(output, scores)
    earlier, rows = read_ledger(scores), scored_rows(scores)
    run_id = uuid.uuid4().hex
    with held(output), _removed_on_failure(staging_folder(output, run_id)) as staging:
        threshold = rate if rule == "fpr" else _discovery_threshold(scores, rows, rate)
        with Progress("relabelling", rows) as progress:
            shards, flagged = relabel_files(scores, staging, threshold, progress.show)
        if read_ledger(scores) != earlier:
            raise InputError(f"{scores} was written anew while it was read")
        changed = {"rule": rule, "rate": rate, "threshold": threshold, "flagged": flagged}
        facts = _facts(earlier, changed, scores)
        return finish_run(output, run_id, shards=shards, facts=facts, overwrite=overwrite)


@contextlib.contextmanager
def _removed_on_failure(folder: str) -> Iterator[str]:
    try:
        yield folder
    except BaseException:
        remove(folder)
        raise


def _rule(fpr: float | None, fdr: float | None) -> tuple[str, float]:
    given = {name: rate for name, rate in (("fpr", fpr), ("fdr", fdr)) if rate is not None}
    if len(given) != 1:
        found = " and ".join(f"--{name} {rate}" for name, rate in given.items())
        raise ConfigError(f"give exactly one of --fpr and --fdr. Received: {found or 'neither'}")
    ((name, rate),) = given.items()
    check_rate(**{f"--{name}": rate})
    return name, float(rate)


def _discovery_threshold(scores: str, rows: int, rate: float) -> float:
    """The greatest p-value that Benjamini and Hochberg's rule flags."""
    with Progress("finding the threshold") as progress:
        done = 0

        def one_pass() -> Iterator[np.ndarray]:
            nonlocal done
            for part in p_values(scores):
                done += len(part)
                progress.show(done)
                yield part

        return benjamini_hochberg(one_pass, rows, rate).threshold


def _facts(earlier: dict[str, Any], changed: dict[str, Any], scores: str) -> dict[str, Any]:
    """The earlier ledger's facts, the rule of its flags replaced.

    `model.fpr` becomes the threshold, so that `is_anomaly` is `p_value <= fpr` in every run.
    """
    own = ("format_version", "run_id", "files")
    facts = {name: value for name, value in earlier.items() if name not in own}
    if isinstance(options := facts.get("options"), dict):  # of a release that recorded all
        facts["options"] = recorded(options)
    model = facts.get("model", {})
    source = {"scores": scores, "run_id": earlier["run_id"], "fpr": model.get("fpr")}
    if model:
        facts["model"] = {**model, "fpr": changed["threshold"]}
    return {**facts, "relabelled": {**changed, "from": source}}
