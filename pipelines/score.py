"""`latentbeam score`: images through a bundle to a run folder."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.bundle import Bundle, open_bundle
from ae_models.scorer import check_outputs
from ae_models.scores import primary_score
from pipelines.beam_run import decoding_threads, described_options, pipeline_options, run, versions
from pipelines.dataflow import check_reachable, is_dry_run, is_handed_over
from transforms import ReadImages, ScoreImages, WriteScores
from transforms.ledger import check_free, held, read_ledger
from transforms.read import RECORDS_READ
from transforms.reject_limit import RejectLimit
from transforms.remote_bundle import local_bundle


def score(
    inputs: Sequence[str],
    model: str,
    output: str,
    where: Sequence[str] = (),
    beam_flags: Sequence[str] = (),
    fpr: float | None = None,
    overwrite: bool = False,
    portable_schema: bool = False,
    error_maps: bool = False,
    outputs: Sequence[str] | None = None,
    max_rejects: str | int | float | None = None,
) -> dict[str, Any]:
    """Scores the inputs and gives the ledger of the finished run.

    Where the Beam flags hand the job over instead, gives `{"job": ...}`, the fields of
    `pipelines.dataflow.Job`: of a result nothing is known then.

    Raises:
      LatentbeamError: a path, a condition, the bundle, a flag or the output folder cannot be used.
      TooManyRejectsError: more records were rejected than `max_rejects` allows.
    """
    limit = None if max_rejects is None else RejectLimit.parse(max_rejects)
    options = pipeline_options(beam_flags)
    check_reachable(options, {"--input": inputs, "--output": [output]})
    if not is_dry_run(options):
        check_free(output, overwrite)
    bundle = open_bundle(local_bundle(model))
    facts = {
        "inputs": list(inputs),
        "where": list(where),
        "model": {"path": model, **_model_facts(bundle, fpr, outputs)},
        "options": described_options(options),
        "versions": versions(),
    }
    with _kept_to_this_run(output, options):
        job = run(
            lambda pipeline: (
                (
                    pipeline
                    | ReadImages(inputs, where=where)
                    | ScoreImages(model, fpr, error_maps, outputs, decoding_threads(options))
                )
                | WriteScores(output, overwrite, facts, portable_schema, max_rejects=limit)
            ),
            options,
            "scoring",
            counter=RECORDS_READ,
        )
    return read_ledger(output) if job is None else {"job": dataclasses.asdict(job)}


def _model_facts(
    bundle: Bundle, fpr: float | None, outputs: Sequence[str] | None
) -> dict[str, Any]:
    return {
        "kind": bundle.config.model.kind,
        "fingerprint": bundle.fingerprint,
        "primary_score": primary_score(bundle.config),
        "fpr": bundle.config.scoring.fpr if fpr is None else fpr,
        "outputs": check_outputs(bundle.config, outputs),
        "pareto_tail": bundle.manifest["calibration"].get("pareto_tail"),
    }


def _kept_to_this_run(
    output: str, options: PipelineOptions
) -> contextlib.AbstractContextManager[None]:
    """A job that is handed over outlives this process and all that it could hold."""
    return contextlib.nullcontext() if is_handed_over(options) else held(output)
