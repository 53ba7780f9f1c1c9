"""`latentbeam score`: images through a bundle to a run folder."""

from collections.abc import Sequence
from typing import Any

from ae_models.bundle import open_bundle
from ae_models.scorer import check_outputs
from ae_models.scores import primary_score
from pipelines.beam_run import decoding_threads, described_options, pipeline_options, run, versions
from transforms import ReadImages, ScoreImages, WriteScores
from transforms.ledger import check_free, held, read_ledger
from transforms.read import RECORDS_READ
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
) -> dict[str, Any]:
    """Scores the inputs and gives the ledger of the finished run.

    Raises:
      LatentbeamError: a path, a condition, the bundle or the output folder cannot be used.
    """
    options = pipeline_options(beam_flags)
    check_free(output, overwrite)
    bundle = open_bundle(local_bundle(model))
    facts = {
        "inputs": list(inputs),
        "where": list(where),
        "model": {
            "path": model,
            "kind": bundle.config.model.kind,
            "fingerprint": bundle.fingerprint,
            "primary_score": primary_score(bundle.config),
            "fpr": bundle.config.scoring.fpr if fpr is None else fpr,
            "outputs": check_outputs(bundle.config, outputs),
            "pareto_tail": bundle.manifest["calibration"].get("pareto_tail"),
        },
        "options": described_options(options),
        "versions": versions(),
    }
    with held(output):
        run(
            lambda pipeline: (
                (
                    pipeline
                    | ReadImages(inputs, where=where)
                    | ScoreImages(model, fpr, error_maps, outputs, decoding_threads(options))
                )
                | WriteScores(output, overwrite, facts, portable_schema)
            ),
            options,
            "scoring",
            counter=RECORDS_READ,
        )
    return read_ledger(output)
