"""`latentbeam classify`: class probabilities of a run's records, from their latents."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ae_models.config.validated import Validated
from ae_models.errors import InputError
from ae_models.latents.array_file import write_arrays
from ae_models.latents.classes.model import ClassModel
from pipelines.beam.run import pipeline_options
from pipelines.commands.derive import derive, new_folder
from pipelines.console.progress import Progress
from transforms.results.assign_classes import AssignClasses, summary
from transforms.results.derived_folder import SourceRun
from transforms.results.labelled import check_label, sample_labelled
from transforms.results.reader import (
    latent_columns,
    scored_count,
    scored_schema,
    vectors,
)
from transforms.runs.ledger import CLASSES, read_ledger
from transforms.runs.run_lock import held


@dataclasses.dataclass(frozen=True)
class ClassConfig(Validated):
    """How classes are fitted: the column of labels, Gaussians per class, the evidence p-value at or
    below which a record has no class, and the maximum number of rows in the fit."""

    label: str = "label"
    components: int = 1
    fpr: float = 0.01
    sample: int = 50_000
    seed: int = 0

    def validate(self) -> None:
        self.require(self.components >= 1, "components", "at least 1")
        self.require(0 < self.fpr < 1, "fpr", "between 0 and 1")
        self.require(self.sample >= 1, "sample", "at least 1")
        self.require(0 <= self.seed < 2**32, "seed", "between 0 and 2^32 - 1")


def classify(
    scores: str,
    output: str,
    config: ClassConfig,
    *,
    apply: str | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Fits classes to a sample of a finished run, writes class probabilities for every record of
    it, or of the run `apply`, and returns the ledger.

    Raises:
      LatentbeamError: a run, the label, a flag or the output cannot be used; the two runs were
        scored by different bundles.
    """
    applied = apply or scores
    options = pipeline_options(beam_flags)
    folder = new_folder(
        "classify",
        CLASSES,
        scores=[scores, applied],
        output=output,
        overwrite=overwrite,
        options=options,
    )
    fitted_to, source = SourceRun.read(scores), SourceRun.read(applied)
    columns, label = _columns(fitted_to, source, config.label)
    with held(output):
        model, sample = _fit(scores, columns, config)
        folder.stage_model(lambda file: write_arrays(file, model.arrays()))
        facts = {
            "scores": dataclasses.asdict(fitted_to),
            "applied_to": dataclasses.asdict(source),
            "classes": _described(model),
            **dataclasses.asdict(config),
            "sample": sample,
        }
        wanted = [*columns, *label]
        assign = AssignClasses(folder.model, config.fpr, *label)
        derive(
            folder,
            source,
            columns=wanted,
            assign=assign,
            facts=facts,
            summary=summary,
            options=options,
            doing="classifying",
        )
    return read_ledger(output)


def _columns(scores: SourceRun, applied: SourceRun, label: str) -> tuple[list[str], list[str]]:
    """The latent columns, and the label column if the run to apply to has it."""
    if applied.model != scores.model:
        raise InputError(
            f"{applied.path} was scored by the bundle {applied.model}, but {scores.path} by "
            f"{scores.model}: score both with the same bundle"
        )
    columns = latent_columns(scores.path)
    if latent_columns(applied.path) != columns:
        raise InputError(f"{applied.path} lacks the latent columns of {scores.path}: {columns}")
    check_label(scores.path, label)
    return columns, [label] if label in scored_schema(applied.path).names else []


def _fit(
    scores: str, columns: Sequence[str], config: ClassConfig
) -> tuple[ClassModel, dict[str, int]]:
    """The model, and how many records it was fitted to."""
    with Progress("sampling", scored_count(scores)) as progress:
        found = sample_labelled(
            scores, columns, config.label, count=config.sample, seed=config.seed, show=progress.show
        )
    mean, *stddev = [vectors(found.rows[name]) for name in columns]
    model = ClassModel.fit(
        mean,
        stddev[0] if stddev else None,
        found.labels,
        components=config.components,
        seed=config.seed,
    )
    return model, {
        "records": found.sampled,
        "labelled": len(found.labels),
        "fitted": int(model.counts.sum()),
        "calibration": len(model.calibration),
    }


def _described(model: ClassModel) -> list[dict[str, Any]]:
    """The classes, in the order of the column `probabilities`."""
    return [
        {"class": name, "records": int(count)}
        for name, count in zip(model.classes, model.counts, strict=True)
    ]
