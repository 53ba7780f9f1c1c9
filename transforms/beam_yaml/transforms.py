"""`ReadImages`, `ScoreImages` and `WriteScores` for Beam YAML, connected by rows with a schema.

`providers.yaml`, next to this file, declares them for `providers: [{include: ...}]`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from ae_models.bundles.bundle import open_bundle
from ae_models.config.validated import Validated, suggestion
from ae_models.errors import ConfigError, InputError
from transforms.reading import read
from transforms.records.batches import ID, SOURCE, carried_name
from transforms.records.beam_rows import (
    BatchesFromRows,
    ImageRows,
    ImagesFromRows,
    Rows,
    carried_fields,
    portable_schema,
    schema_of_rows,
)
from transforms.records.rejects import REJECTS_SCHEMA
from transforms.records.tallies import TALLY_SCHEMA
from transforms.runs import write
from transforms.scoring import score
from transforms.scoring.bundle_cache import local_bundle
from transforms.scoring.columns import scored_schema
from transforms.scoring.options import ScoreOptions
from transforms.sources import ReadOptions, resolve_inputs

PROVIDERS = str(Path(__file__).with_name("providers.yaml"))
_GOOD = "good"  # Beam YAML's name of the main output, beside the one for errors


@dataclasses.dataclass(frozen=True)
class _ReadConfig(Validated):
    section: ClassVar[str] = "ReadImages"

    inputs: tuple[str, ...]
    where: tuple[str, ...]
    tallies: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ScoreConfig(ScoreOptions):
    section: ClassVar[str] = "ScoreImages"

    model: str


@dataclasses.dataclass(frozen=True)
class _WriteConfig(Validated):
    section: ClassVar[str] = "WriteScores"

    output: str
    overwrite: bool


class ReadImages(beam.PTransform):
    """Reads images as rows: `id`, `source`, the carried columns, `image` and, for a record that
    could not be read, `reject`, which `ScoreImages` passes on.

    Args:
      inputs: Paths of image folders, globs, Parquet, TFRecord, WebDataset or NumPy files.
      where: Conditions on carried columns, such as label=good or label!=good; all must be true.
      tallies: The name of a second output, for `WriteScores`: the numbers of records read, of
        records excluded by `where`, and of files passed over. The first output is then called
        `records`.
      format: The kind of every input: images, parquet, tfrecord, webdataset or npz; detected by
        default.
      image_column: The column, feature or array of images; detected by default.
      id_column: The column, feature or array of ids; detected by default.
      label_column: The column, feature or array of labels; detected by default.
      exclude: Patterns of paths to exclude, relative to the input.
      follow_links: Whether to follow links that lead out of the input's folder.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        where: Sequence[str] = (),
        tallies: Optional[str] = None,  # noqa: UP045 (Beam YAML derives a schema from it)
        format: Optional[str] = None,  # noqa: UP045, A002 (named as the command's flag)
        image_column: Optional[str] = None,  # noqa: UP045
        id_column: Optional[str] = None,  # noqa: UP045
        label_column: Optional[str] = None,  # noqa: UP045
        exclude: Sequence[str] = (),
        follow_links: bool = False,
    ):
        super().__init__()
        inputs = [inputs] if isinstance(inputs, str) else inputs
        where = [where] if isinstance(where, str) else where
        exclude = [exclude] if isinstance(exclude, str) else exclude
        self._config = _ReadConfig(inputs, where, tallies)  # type: ignore[arg-type]
        self._options = ReadOptions(
            format=format,
            image_column=image_column,
            id_column=id_column,
            label_column=label_column,
            exclude=tuple(exclude),
            follow_links=follow_links,
        )

    def expand(self, pipeline: Any) -> Any:
        inputs = list(self._config.inputs)
        reading = read.ReadImages(inputs, where=self._config.where, options=self._options)
        found = pipeline | "Read" >> reading
        carried = read.common_carried(resolve_inputs(inputs, self._options))
        records = found.records | "Rows" >> ImageRows(carried)
        if self._config.tallies is None:
            return records
        tallies = found.tallies | "TallyRows" >> Rows(TALLY_SCHEMA)
        return {"records": records, self._config.tallies: tallies}


class ScoreImages(beam.PTransform):
    """Scores image rows with a model bundle. An output row has `id`, `source`, the carried columns,
    `latent_mean`, for a VAE `latent_stddev`, `score`, each `score_NAME`, `p_value`, `is_anomaly`
    and `model`: strings, numbers as double, lists of doubles, booleans.

    The input is the output of `ReadImages`, or any rows with the fields `id`, a string, and
    `image`, bytes: an encoded image, or raw pixels if there are the fields `image_shape`, [height,
    width, channels], and `image_dtype`, uint8 or uint16. Other fields are carried columns.

    Args:
      model: The model bundle's folder.
      fpr: `is_anomaly` is `p_value` <= fpr; by default, the bundle's configured rate.
      outputs: The latent and score columns to compute; all by default.
      error_maps: Whether to add a column `error_map`, height * width doubles.
      error_handling: `output` names a second output, for the records that could not be scored:
        `id`, `source`, `stage`, `reason`, `message`. Without it, the first such record fails the
        pipeline.
      primary: The score from which `score`, `p_value` and `is_anomaly` are computed; by default,
        the bundle's primary score.
    """

    def __init__(
        self,
        model: str,
        fpr: Optional[float] = None,  # noqa: UP045
        outputs: Optional[Sequence[str]] = None,  # noqa: UP045
        error_maps: bool = False,
        error_handling: Optional[Mapping[str, str]] = None,  # noqa: UP045
        primary: Optional[str] = None,  # noqa: UP045
    ):
        super().__init__()
        self._config = _ScoreConfig(
            model=model,
            fpr=fpr,
            outputs=outputs,  # type: ignore[arg-type]
            error_maps=error_maps,
            primary=primary,
        )
        self._rejects = _error_output(error_handling)

    def expand(self, rows: PCollection[Any]) -> Any:
        config = self._config
        scoring = score.ScoreImages(
            config.model,
            fpr=config.fpr,
            error_maps=config.error_maps,
            outputs=config.outputs,
            primary=config.primary,
        )
        scored = rows | "Batches" >> ImagesFromRows() | "Score" >> scoring
        scores = scored.scores | "Rows" >> Rows(self._schema(rows))
        if self._rejects is None:
            scored.rejects | "RefuseRejects" >> beam.Map(_refuse)
            return scores
        rejects = scored.rejects | "RejectRows" >> Rows(REJECTS_SCHEMA)
        return {_GOOD: scores, self._rejects: rejects}

    def _schema(self, rows: PCollection[Any]) -> pa.Schema:
        carried = carried_fields(schema_of_rows(rows.element_type))
        added = scored_schema(
            open_bundle(local_bundle(self._config.model)).config,
            self._config.outputs,
            self._config.error_maps,
        )
        return portable_schema(
            pa.schema(
                [
                    pa.field(ID, pa.string(), nullable=False),
                    pa.field(SOURCE, pa.string(), nullable=False),
                    *(field.with_name(carried_name(field.name)) for field in carried),
                    *(field.with_nullable(False) for field in added),
                ]
            )
        )


def _error_output(error_handling: Mapping[str, str] | None) -> str | None:
    if error_handling is None:
        return None
    output = error_handling.get("output")
    if set(error_handling) != {"output"} or not isinstance(output, str):
        raise ConfigError(
            f"ScoreImages.error_handling must be {{output: NAME}}. Received: {error_handling!r}"
        )
    return output


def _refuse(rejects: pa.RecordBatch) -> None:
    first = rejects.slice(0, 1).to_pylist()[0]
    raise InputError(
        f"{first['id']}: {first['reason']}: {first['message']}; to continue and output such "
        "records separately, set error_handling: {output: NAME} for ScoreImages"
    )


class WriteScores(beam.PTransform):
    """Writes a run folder: `scores/*.parquet`, `rejects/*.parquet`, `run.json` and, last,
    `_SUCCESS`.

    The input is rows of scores or, by name, `scores`, `rejects` and `tallies`, as output by
    `ScoreImages` and `ReadImages`. The counts in `run.json` of missing inputs are null.

    Args:
      output: The run folder; its contents do not change until the run has succeeded.
      overwrite: Whether to replace existing results.
      facts: Further contents of `run.json`; `verify` applies its `where`, a list of conditions.
    """

    def __init__(
        self,
        output: str,
        overwrite: bool = False,
        facts: Optional[Mapping[str, Any]] = None,  # noqa: UP045
    ):
        super().__init__()
        self._config, self._facts = _WriteConfig(output, overwrite), facts

    def expand(self, inputs: Any) -> PCollection[Any]:
        named = {"scores": inputs} if isinstance(inputs, PCollection) else dict(inputs)
        for name in named:
            if name not in score.ScoredRecords._fields:
                known = suggestion(name, score.ScoredRecords._fields)
                raise ConfigError(f"WriteScores has no input {name!r}{known}")
            fields = schema_of_rows(named[name].element_type).names
            if name != "tallies" and ID not in fields:
                raise ConfigError(
                    f"rows of {name} need a field 'id'. Received: {', '.join(fields)}"
                )
        if "scores" not in named:
            raise ConfigError(f"WriteScores needs an input `scores`. Received: {', '.join(named)}")
        batches = {
            name: rows | f"Batches of {name}" >> BatchesFromRows() for name, rows in named.items()
        }
        scored = score.ScoredRecords(
            batches["scores"], batches.get("rejects"), batches.get("tallies")
        )
        writing = write.WriteScores(
            self._config.output, overwrite=self._config.overwrite, facts=self._facts
        )
        return scored | "Write" >> writing
