"""`latentbeam train`: images to a bundle."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ae_models.bundles.bundle import Bundle, check_sizes, seal_bundle
from ae_models.bundles.calibration_file import write_calibration
from ae_models.bundles.model_card import model_card
from ae_models.bundles.names import (
    CALIBRATION,
    KERAS_MODEL,
    MANIFEST,
    MODEL_CARD,
    TRANSFORM_OUTPUT,
)
from ae_models.bundles.plain_path import plain_path
from ae_models.bundles.scorer import Scorer
from ae_models.calibration.p_values import none_flagged
from ae_models.config.configuration import (
    Configuration,
    ScoringConfig,
    configuration_from_mapping,
    configuration_to_mapping,
    configuration_to_yaml,
    read_mapping,
    with_overrides,
)
from ae_models.errors import ConfigError, LatentbeamError, OutputError
from ae_models.scores import primary_score
from pipelines.beam.dataflow import is_handed_over
from pipelines.beam.run import pipeline_options, versions
from pipelines.commands.training_model import Trainer
from pipelines.commands.training_records import analyse, read_records
from pipelines.console.progress import say
from pipelines.console.unread import warn_of_unread
from transforms import ReadOptions
from transforms.images.decode_batch import check_target
from transforms.reading.probe import survey_images
from transforms.reading.read import common_carried
from transforms.records.where import Where
from transforms.scoring.bundle_cache import check_place, put_bundle
from transforms.sources import resolve_inputs
from transforms.storage.bundle_place import put_local_bundle, settle
from transforms.storage.paths import is_local


def train_configuration(
    kind: str,
    config_file: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Configuration:
    """The configuration from a file, then `--set`, then the flags of their own.

    Raises:
      ConfigError: the file, a key or a value cannot be used.
    """
    mapping = read_mapping(config_file) if config_file else {}
    mapping = with_overrides(mapping, overrides)
    model = mapping.setdefault("model", {})
    if isinstance(model, dict) and model.setdefault("kind", kind) != kind:
        raise ConfigError(f"--model is {kind}, but the configuration says {model['kind']!r}")
    training = mapping.setdefault("training", {})
    if isinstance(training, dict):
        training.update({key: value for key, value in (flags or {}).items() if value is not None})
    config = configuration_from_mapping(mapping)
    primary_score(config)  # fails here rather than after hours of training
    return config


def train(
    inputs: Sequence[str],
    config: Configuration,
    output: str,
    *,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Trains a model and writes its bundle; gives the bundle's manifest.

    `reading` is how the inputs are read: the fields of `ReadOptions` that are not the usual ones.

    Raises:
      LatentbeamError: an input, a condition, the configuration or the output cannot be used.
    """
    options = pipeline_options(beam_flags)
    if is_handed_over(options):
        raise ConfigError("train needs what its pipeline gives: run it to its end, on this machine")
    _check_output(output, overwrite)
    wheres = [Where.parse(text) for text in where]
    read_options = ReadOptions(**(reading or {}))
    sources = resolve_inputs(inputs, read_options)
    if config.target:
        check_target(common_carried(sources), config.target)
    survey = survey_images(sources, wheres, config.image.max_pixels)
    for line in survey.told(config.image):
        say(line)
    advice = _said(survey.advice(config.image))
    config = config.with_image(survey.chosen(config.image))
    primary_score(config)  # again: some scores ask for the shape
    check_sizes(config)
    with _work_folder(output) as work:
        bundle = work / "bundle"
        bundle.mkdir()
        records = read_records(inputs, wheres, read_options, config, options, work)
        warn_of_unread(records.passed_over.by_cause(), records.passed_over.names)
        advice += _said(records.advice)
        analyse(records, config, options, bundle / TRANSFORM_OUTPUT, work)
        trainer = Trainer(bundle, config, records.stores)
        trainer.rehearse(work / "rehearsal")
        training = trainer.fit()
        with _kept_on_failure(bundle, config, output):
            config, more = trainer.export()
            advice += _said(more)
            calibration = write_calibration(
                bundle / CALIBRATION,
                Scorer(bundle, config),
                records.calibration(config.batch_rows),
                config.scoring.tail,
            )
            advice += _said(_advice_on_tail(calibration, config.scoring))
            facts = {
                "config": configuration_to_mapping(config),
                "versions": versions(),
                "training": {
                    "inputs": list(inputs),
                    "where": list(where),
                    "reading": read_options.given(),
                    "rejected_by_reason": records.rejected_by_reason,
                    "passed_over": records.passed_over.by_cause(),
                    **training,
                    "advice": advice,
                },
                "calibration": calibration,
            }
            (bundle / MODEL_CARD).write_text(model_card(facts), encoding="utf-8")
            sealed = seal_bundle(bundle, facts)
            _check_output(output, overwrite)  # hours have passed
            _put_in_place(sealed, output)
    return sealed.manifest


def _said(advice: Sequence[str]) -> list[str]:
    for line in advice:
        say(f"warning: {line}")
    return list(advice)


def _check_output(output: str, overwrite: bool) -> None:
    if not is_local(output):
        check_place(output, overwrite)
        return
    path = Path(output)
    try:
        settle(path)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error
    is_bundle = (path / MANIFEST).is_file()
    is_empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not is_empty and not (is_bundle and overwrite):
        hint = ", or give --overwrite" if is_bundle else ""
        raise OutputError(f"{output} exists already: choose another folder{hint}")


@contextlib.contextmanager
def _work_folder(output: str) -> Iterator[Path]:
    """A folder beside `output`, and so on its file system, gone when the work ends; of a remote
    one a temporary folder of this machine's."""
    path = Path(output).absolute()
    try:
        if is_local(output):
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(prefix=".latentbeam-", dir=path.parent)
        else:
            folder = tempfile.TemporaryDirectory(prefix="latentbeam-")
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error
    with folder as name, plain_path(name) as plain:
        yield plain


@contextlib.contextmanager
def _kept_on_failure(bundle: Path, config: Configuration, output: str) -> Iterator[None]:
    """What was trained outlasts whatever comes after it, beside `output`, or of a remote one in a
    temporary folder."""
    try:
        yield
    except BaseException as error:
        if not bundle.is_dir():  # it is in its place
            raise
        finished = (bundle / MANIFEST).is_file()
        kept = _free_folder(output)
        bundle.rename(kept)
        told = f"the bundle is kept in {kept}"
        if not finished:
            (kept / "config.yaml").write_text(configuration_to_yaml(config), encoding="utf-8")
            told = f"what was trained is kept in {kept}: {KERAS_MODEL} is the model, for Keras"
        if isinstance(error, LatentbeamError):
            raise type(error)(f"{error}; {told}") from error
        say(told)
        raise


def _free_folder(output: str) -> Path:
    """A name that nothing has."""
    if not is_local(output):
        return Path(tempfile.mkdtemp(prefix="latentbeam-")) / "bundle"
    path = Path(output).absolute()
    names = (f"{path.name}-kept{number}" for number in itertools.chain([""], itertools.count(2)))
    return next(free for name in names if not (free := path.with_name(name)).exists())


def _put_in_place(bundle: Bundle, output: str) -> None:
    """Makes the finished bundle appear under its name at once."""
    if is_local(output):
        put_local_bundle(bundle.path, Path(output))
    else:
        put_bundle(bundle, output)


def _advice_on_tail(calibration: Mapping[str, Any], scoring: ScoringConfig) -> list[str]:
    if scoring.tail == "none" or calibration["pareto_tail"] is not None:
        return []
    records = calibration["records"]
    advice = [
        "no generalised Pareto tail fits the greatest calibration scores (too many are equal, or "
        f"they have no likeliest tail): no p-value is below {1 / (records + 1):.2g}",
        none_flagged(records, scoring.fpr),
    ]
    return [line for line in advice if line]
