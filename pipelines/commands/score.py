"""`latentbeam score`: scores images with a model bundle and writes a run folder."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.bundles.scorer import check_outputs
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, EmptyRunError
from pipelines.beam.dataflow import (
    check_reachable,
    is_dry_run,
    is_handed_over,
    is_on_dataflow,
)
from pipelines.beam.run import decoding_threads, described_options, pipeline_options, run, versions
from pipelines.commands.resume import finished_or_plan
from pipelines.commands.score_in_parts import PartedRun, score_in_parts
from pipelines.console.progress import say
from pipelines.console.unread import warn_of_unread
from transforms import ReadImages, ReadOptions, ScoreImages, WriteScores
from transforms.reading.read import RECORDS_READ
from transforms.records.where import QUOTING
from transforms.results.passed_over import passed_over_names
from transforms.runs.gather import kinds_of
from transforms.runs.ledger import read_ledger
from transforms.runs.output_folder import check_free
from transforms.runs.reject_limit import RejectLimit
from transforms.runs.reject_watch import RejectWatch
from transforms.runs.run_lock import held
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.flag_facts import calibration_facts, flags_nothing
from transforms.scoring.options import ScoreOptions
from transforms.scoring.score import asked_of

_ADVICE = "give --fpr {rate:g} or more, or train with more calibration records"


def score(
    inputs: Sequence[str],
    model: str,
    output: str,
    *,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    beam_flags: Sequence[str] = (),
    fpr: float | None = None,
    overwrite: bool = False,
    portable_schema: bool = False,
    error_maps: bool = False,
    outputs: Sequence[str] | None = None,
    primary: str | None = None,
    maps: str | None = None,
    map_format: Literal["parquet", "png"] = "parquet",
    tiles: bool = False,
    checkpoint_every: int | None = None,
    resume: bool = False,
    max_rejects: str | int | float | None = None,
    fail_if_empty: bool = False,
) -> dict[str, Any]:
    """Scores the inputs and returns the ledger of the finished run.

    `reading` is how the inputs are read: the fields of `ReadOptions` that differ from the defaults.

    `checkpoint_every` divides the run into parts of at least that many records; each finished part
    is kept. `resume` scores the missing parts (`pipelines.commands.resume`).

    If the Beam flags hand the job over, or ask for a dry run, there is no result yet: gives `job`,
    the fields of `pipelines.beam.dataflow.Job`, and what it scores.

    Raises:
      LatentbeamError: a path, a condition, the bundle, a flag or the output folder cannot be used.
      TooManyRejectsError: more records were rejected than `max_rejects` allows; without
        `max_rejects`, all records were.
      EmptyRunError: no record was scored, and `fail_if_empty` is set.
    """
    wanted = None if outputs is None else tuple(outputs)
    asked = ScoreOptions(
        fpr,
        error_maps,
        wanted,
        primary,
        maps=checked_maps(maps),
        map_format=map_format,
        tiles=tiles,
    )
    limit = RejectLimit.usual() if max_rejects is None else RejectLimit.parse(max_rejects)
    read_options = ReadOptions(**(reading or {}))
    options = pipeline_options(beam_flags)
    check_reachable(options, {"--input": inputs, "--output": [output]})
    _check_checkpoints(checkpoint_every, resume, options)
    # A dry run on Dataflow does not look outside.
    looks = not (is_dry_run(options) and is_on_dataflow(options))
    if looks and not resume:
        check_free(output, overwrite)
    bundle = open_bundle(local_bundle(model))
    located = asked_of(bundle, asked)
    facts = {
        "inputs": list(inputs),
        "where": list(where),
        "reading": read_options.given(),
        **QUOTING,
        "model": {"path": model, **_model_facts(bundle, asked)},
        "error_maps": error_maps,
        "maps_of": maps,
        "map_format": map_format,
        "tiles_kept": tiles,
        "portable_schema": portable_schema,
        "options": described_options(options),
        "versions": versions(),
    }
    if line := flags_nothing(facts, _ADVICE):
        say(f"warning: {line}")
    threads = decoding_threads(options)

    def scoring() -> ScoreImages:
        flags = {name: value for name, value in vars(asked).items() if name != "regions"}
        return ScoreImages(model, **flags, decoding_threads=threads)

    def whole(pipeline: beam.Pipeline) -> None:
        scored = pipeline | ReadImages(inputs, where=where, options=read_options) | scoring()
        scored | WriteScores(
            output,
            overwrite=overwrite,
            facts=facts,
            portable_schema=portable_schema,
            max_rejects=limit,
            fail_if_empty=fail_if_empty,
        )

    if is_handed_over(options):  # the job outlives this process and any lock it could hold
        job = run(whole, options, "scoring", counter=RECORDS_READ)
        asked_for = {name: facts[name] for name in ("inputs", "where", "model")}
        return {"job": dataclasses.asdict(job), **asked_for} if job else {}
    with held(output) as check_held:
        finished, plan = finished_or_plan(output, facts, checkpoint_every, resume, overwrite)
        if finished is not None:
            if fail_if_empty and not finished["records"]["scored"]:
                raise EmptyRunError(f"the run in {output} contains no scored record")
            return finished
        if plan is not None:
            watch = RejectWatch(limit, output, facts, fail_if_empty)
            work = PartedRun(
                output,
                inputs,
                where,
                read_options,
                scoring,
                portable_schema,
                options,
                kinds_of(located),
                watch,
            )
            score_in_parts(work, plan, facts, overwrite, check_held)
        else:
            run(whole, options, "scoring", counter=RECORDS_READ)
    ledger = read_ledger(output)
    _warn(output, ledger)
    return ledger


def checked_maps(asked: str | None) -> Literal["all", "flagged"] | None:
    """Which maps are written.

    Raises:
      ConfigError: the value is neither `all` nor `flagged` (but a folder, for example).
    """
    match asked:
        case None:
            return None
        case "all":
            return "all"
        case "flagged":
            return "flagged"
    raise ConfigError(
        "--maps must be all or flagged; maps are written to the folder maps in --output. "
        f"Received: {asked!r}"
    )


def _warn(output: str, ledger: Mapping[str, Any]) -> None:
    """Warns on stderr about what may be missing."""
    if not ledger["records"]["scored"]:
        say("warning: no record was scored")
    names = functools.partial(passed_over_names, output)
    warn_of_unread(ledger["passed_over"], names)


def _check_checkpoints(every: int | None, resume: bool, options: PipelineOptions) -> None:
    if every is not None:
        check_range(1, checkpoint_every=every)
    if (every is not None or resume) and is_handed_over(options) and is_on_dataflow(options):
        raise ConfigError(
            "--checkpoint_every and --resume need a run that finishes in this process: leave out "
            "--dry_run, --template_location and --no_wait_until_finish"
        )


def _model_facts(bundle: Bundle, asked: ScoreOptions) -> dict[str, Any]:
    outputs = check_outputs(bundle.config, asked.outputs)
    columns = [name for name in outputs if name.startswith(SCORE_PREFIX)]
    fpr = bundle.config.scoring.fpr if asked.fpr is None else asked.fpr
    return {
        "kind": bundle.config.model.kind,
        "fingerprint": bundle.fingerprint,
        "outputs": outputs,
        **calibration_facts(bundle, asked.primary, columns, fpr),
    }
