"""`latentbeam classify`: class probabilities of a run's records, from their latents."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from ae_models.array_file import write_arrays
from ae_models.class_model import ClassModel
from ae_models.errors import ConfigError, InputError
from ae_models.mapping import Validated, suggestion
from pipelines.beam_run import described_options, pipeline_options, run, versions
from pipelines.dataflow import check_reachable, is_handed_over
from pipelines.progress import Progress
from transforms.assign_classes import AssignClasses, summary
from transforms.batches import ID
from transforms.derived import DerivedFolder, SourceRun, WriteDerived
from transforms.finished import (
    ROWS_READ,
    ReadScores,
    latent_columns,
    sample_rows,
    scored_count,
    scored_schema,
    vectors,
)
from transforms.held import held
from transforms.ledger import CLASSES, read_ledger
from transforms.score_by_category import categories_of


@dataclasses.dataclass(frozen=True)
class ClassConfig(Validated):
    """What classes are made of: the column of labels, Gaussians a class, the p-value of the
    evidence up to which a record has no class, and the most rows that are fitted to."""

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
    apply: str | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Fits classes to a sample of a finished run, gives every record of it, or of the run `apply`,
    its class probabilities, and gives the ledger.

    Raises:
      LatentbeamError: a run, the label, a flag or the output cannot be used; the two runs are not
        of the same bundle.
    """
    applied = apply or scores
    options = pipeline_options(beam_flags)
    if is_handed_over(options):
        raise ConfigError("classify needs what its pipeline gives: run it to its end")
    check_reachable(options, {"--scores": [scores, applied], "--output": [output]})
    folder = DerivedFolder(output.rstrip("/"), CLASSES, overwrite)
    for read in (scores, applied):
        folder.check_free(read)
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
            "options": described_options(options),
            "versions": versions(),
        }
        rows = ReadScores(applied, [ID, *columns, *label])
        run(
            lambda pipeline: (
                pipeline
                | rows
                | "AssignClasses" >> AssignClasses(folder.model, config.fpr, *label)
                | WriteDerived(folder, source, facts, summary)
            ),
            options,
            "classifying",
            counter=ROWS_READ,
        )
    return read_ledger(output)


def _columns(scores: SourceRun, applied: SourceRun, label: str) -> tuple[list[str], list[str]]:
    """The columns of latents, and that of labels if the run to apply to has it."""
    if applied.model != scores.model:
        raise InputError(
            f"{applied.path} was scored by the bundle {applied.model}, {scores.path} by "
            f"{scores.model}"
        )
    columns = latent_columns(scores.path)
    if latent_columns(applied.path) != columns:
        raise InputError(f"{applied.path} has not the same latents as {scores.path}: {columns}")
    schema = scored_schema(scores.path)
    if label not in schema.names:
        raise ConfigError(f"{scores.path} has no column {label!r}{suggestion(label, schema.names)}")
    categories_of(schema.empty_table(), label)  # raises if its type cannot name a class
    return columns, [label] if label in scored_schema(applied.path).names else []


def _fit(
    scores: str, columns: Sequence[str], config: ClassConfig
) -> tuple[ClassModel, dict[str, int]]:
    """The model, and of how many records it was made."""
    with Progress("sampling", scored_count(scores)) as progress:
        wanted = [*columns, config.label]
        table = sample_rows(scores, wanted, config.sample, config.seed, progress.show)
    labels = categories_of(table, config.label)
    has_label = pc.is_valid(labels)
    mean, *stddev = [vectors(table[name].filter(has_label)) for name in columns]
    names = labels.filter(has_label).to_pylist()
    model = ClassModel.fit(
        mean, stddev[0] if stddev else None, names, config.components, config.seed
    )
    return model, {
        "records": len(table),
        "labelled": len(names),
        "fitted": int(model.counts.sum()),
        "calibration": len(model.calibration),
    }


def _described(model: ClassModel) -> list[dict[str, Any]]:
    """The classes, in the order of the column `probabilities`."""
    return [
        {"class": name, "records": int(count)}
        for name, count in zip(model.classes, model.counts, strict=True)
    ]
