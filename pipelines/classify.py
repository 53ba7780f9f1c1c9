"""`latentbeam classify`: class probabilities of a run's records, from their latents."""

import dataclasses
import posixpath
import uuid
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import pyarrow.compute as pc

from ae_models.class_model import ClassModel
from ae_models.errors import ConfigError, InputError
from ae_models.mapping import Validated, suggestion, to_mapping
from pipelines.beam_run import described_options, pipeline_options, run, versions
from pipelines.dataflow import check_reachable, is_handed_over
from pipelines.progress import Progress
from transforms.assign_classes import AssignClasses, summarise_classes
from transforms.batches import ID
from transforms.derived import WriteDerived, check_apart, run_facts
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
from transforms.ledger import CLASSES, MODEL, check_free, read_ledger
from transforms.model_file import write_arrays
from transforms.score_by_category import categories_of
from transforms.staging import staging_folder


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
    check_reachable(options, {"--scores": [scores, applied], "--output": [output]})
    if is_handed_over(options):
        raise ConfigError(
            "classify needs a run that is waited for: leave out --dry_run, --template_location "
            "and --no_wait_until_finish"
        )
    check_free(output, overwrite)
    for folder in (scores, applied):
        check_apart(folder, output)
    columns, label = _columns(scores, applied, config.label)
    output, run_id = output.rstrip("/"), uuid.uuid4().hex
    with held(output):
        fitted, model = _fit(scores, columns, config)
        path = posixpath.join(staging_folder(output, run_id), MODEL)
        write_arrays(path, model.arrays())
        facts = {
            "fitted_to": {**run_facts(scores), **fitted},
            "applied_to": run_facts(applied),
            "classes": _described(model),
            "configuration": to_mapping(config),
            "options": described_options(options),
            "versions": versions(),
        }
        write = WriteDerived(
            output, run_id, CLASSES, path, applied, facts, summarise_classes, overwrite
        )

        def build(pipeline: beam.Pipeline) -> None:
            rows = pipeline | ReadScores(applied, [ID, *columns, *label])
            rows | AssignClasses(path, config.fpr, *label) | write

        run(build, options, "classifying", counter=ROWS_READ)
    return read_ledger(output)


def _columns(scores: str, applied: str, label: str) -> tuple[list[str], list[str]]:
    """The columns of latents, and that of labels if the run to apply to has it."""
    known, other = run_facts(scores)["fingerprint"], run_facts(applied)["fingerprint"]
    columns = latent_columns(scores)
    if other != known:
        raise InputError(f"{applied} was scored by the bundle {other}, {scores} by {known}")
    if latent_columns(applied) != columns:
        raise InputError(f"{applied} has other latents than {scores}: {', '.join(columns)}")
    if label not in (names := scored_schema(scores).names):
        raise ConfigError(f"{scores} has no column {label!r}{suggestion(label, names)}")
    return columns, [label] if label in scored_schema(applied).names else []


def _fit(
    scores: str, columns: Sequence[str], config: ClassConfig
) -> tuple[dict[str, int], ClassModel]:
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
    return {
        "sampled": len(table),
        "without_label": len(table) - len(names),
        "fitted": int(model.counts.sum()),
        "calibration": len(model.calibration),
    }, model


def _described(model: ClassModel) -> list[dict[str, Any]]:
    """The classes, in the order of the column `probabilities`."""
    return [
        {"class": name, "records": int(count)}
        for name, count in zip(model.classes, model.counts, strict=True)
    ]
