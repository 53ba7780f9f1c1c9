"""`latentbeam relabel`: rewrites a finished run with flags from another rule or another score."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.calibration.false_discovery import benjamini_hochberg
from ae_models.calibration.score_calibration import calibration_of
from ae_models.config.validated import check_rate
from ae_models.errors import ConfigError, InputError, LatentbeamError
from pipelines.beam.recorded import recorded
from pipelines.console.progress import Progress, say
from transforms.results.read_shards import score_columns
from transforms.results.relabel import NewScore, p_values, relabel_files, scored_rows
from transforms.results.summary import SCORE, check_model
from transforms.runs.finish import finish_run
from transforms.runs.ledger import REGIONS, kinds_in, read_ledger
from transforms.runs.output_folder import check_free, check_not_within
from transforms.runs.run_lock import held
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.flag_facts import calibration_facts, flags_nothing
from transforms.storage.changes import remove
from transforms.storage.staging import staging_folder

_ADVICE = "give --fpr {rate:g} or more, or train with more calibration records"


def relabel(
    scores: str,
    output: str,
    fpr: float | None = None,
    fdr: float | None = None,
    overwrite: bool = False,
    score: str | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Rewrites a finished run with `is_anomaly` set by another rule; returns the new ledger.

    With `score`, the columns `score` and `p_value` also use that score. The result is bit for bit
    what `latentbeam score` writes with it as `primary`.

    Args:
      scores: the folder of the finished run.
      output: the folder to write to.
      fpr: flags p_value <= fpr.
      fdr: flags by Benjamini and Hochberg at this false discovery rate, over all scored records.
      overwrite: replace the contents of `output`, once the work has succeeded.
      score: another of the run's scores, by its name or its column; None: the run's primary score.
      model: the bundle that scored the run, for its calibration; None: the path recorded in the
        run.

    Raises:
      LatentbeamError: not exactly one of the two rates is given, or it is outside 0 to 1; the run
        is not finished and complete, or lacks the score; the bundle is not the run's; the output
        cannot be used.
    """
    rule, rate = _rule(fpr, fdr)
    check_free(output, overwrite)
    check_not_within(output, scores)
    if model is not None and score is None:
        raise ConfigError(f"--model works only with --score NAME. Received: --model {model} alone")
    earlier = read_ledger(scores)
    bundle = None if score is None else _bundle_of(scores, earlier, model)
    new = None if bundle is None else _new_score(bundle, score, earlier)
    rows = scored_rows(scores, new)
    run_id = uuid.uuid4().hex
    with held(output), _removed_on_failure(staging_folder(output, run_id)) as staging:
        threshold = rate if rule == "fpr" else _discovery_threshold(scores, rows, rate, new)
        with Progress("relabelling", rows) as progress:
            shards, flagged = relabel_files(scores, staging, threshold, progress.show, new)
        if read_ledger(scores) != earlier:
            raise InputError(f"{scores} was rewritten while it was being read: relabel it again")
        changed = {"rule": rule, "rate": rate, "threshold": threshold, "flagged": flagged}
        if new is not None:
            changed["score"] = new.calibration.name
        facts = _facts(earlier, changed, scores, bundle)
        ledger = finish_run(
            output,
            run_id,
            shards=shards,
            facts=facts,
            overwrite=overwrite,
            kinds=kinds_in(earlier),
        )
    if line := flags_nothing(ledger, _ADVICE):
        say(f"warning: {line}")
    return ledger


def _bundle_of(scores: str, ledger: Mapping[str, Any], model: str | None) -> Bundle:
    """The bundle that scored a run.

    Raises:
      InputError: the run's ledger names no bundle, or the bundle is a different one.
      BundleError: the bundle is missing or has been modified.
    """
    known = ledger.get("model") or {}
    path, fingerprint = known.get("path") if model is None else model, known.get("fingerprint")
    if fingerprint is None or path is None:
        what = "model" if fingerprint is None else "path of the model bundle: give --model BUNDLE"
        raise InputError(f"{scores}: the ledger states no {what}")
    try:
        bundle = open_bundle(local_bundle(path))
        check_model(scores, fingerprint, bundle.fingerprint)
    except LatentbeamError as error:
        if model is None:
            raise type(error)(f"{error}: if the bundle was moved, give --model BUNDLE") from error
        raise
    return bundle


def _new_score(bundle: Bundle, name: str | None, ledger: Mapping[str, Any]) -> NewScore:
    calibration = calibration_of(bundle, name)
    is_primary = calibration.name == ledger["model"].get("primary_score")
    return NewScore(SCORE if is_primary else SCORE_PREFIX + calibration.name, calibration)


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


def _discovery_threshold(scores: str, rows: int, rate: float, new: NewScore | None) -> float:
    """The greatest p-value that the Benjamini-Hochberg rule flags."""
    with Progress("finding the threshold") as progress:
        done = 0

        def one_pass() -> Iterator[np.ndarray]:
            nonlocal done
            for part in p_values(scores, new=new):
                done += len(part)
                progress.show(done)
                yield part

        return benjamini_hochberg(one_pass, rows, rate).threshold


def _facts(
    earlier: dict[str, Any], changed: dict[str, Any], scores: str, bundle: Bundle | None
) -> dict[str, Any]:
    """The earlier ledger's facts, with the rule for flags replaced.

    `model.fpr` becomes the threshold, so that `is_anomaly` is `p_value <= fpr` in every run. The
    thresholds of other scores can only be computed from the bundle.
    """
    own = ("format_version", "run_id", "files")
    facts = {name: value for name, value in earlier.items() if name not in own}
    if isinstance(options := facts.get("options"), dict):  # earlier releases recorded them all
        facts["options"] = recorded(options)
    model = facts.get("model", {})
    source = {"scores": scores, "run_id": earlier["run_id"], "fpr": model.get("fpr")}
    if model:
        known = {name: value for name, value in model.items() if name != "thresholds"}
        facts["model"] = {**known, "fpr": changed["threshold"]}
    if bundle is not None:
        source["primary_score"] = model.get("primary_score")
        columns = score_columns(scores)
        facts["model"] |= calibration_facts(bundle, changed["score"], columns, changed["threshold"])
    if REGIONS in earlier:  # these are copied unchanged
        before = earlier.get("relabelled") or {}
        changed = {**changed, "regions_fpr": before.get("regions_fpr", model.get("fpr"))}
    return {**facts, "relabelled": {**changed, "from": source}}
