"""`latentbeam train`: trains a model on images and writes its bundle."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ae_models.backbones.registry import check_installed, installed_backbone
from ae_models.bundles.bundle import Bundle, seal_bundle
from ae_models.bundles.calibration_file import write_calibration
from ae_models.bundles.model_card import model_card
from ae_models.bundles.names import CALIBRATION, CURVES, MANIFEST, MODEL_CARD
from ae_models.bundles.scorer import Scorer
from ae_models.calibration.p_values import none_flagged
from ae_models.config.configuration import (
    Configuration,
    ScoringConfig,
    configuration_from_mapping,
    configuration_to_mapping,
    read_mapping,
    with_overrides,
)
from ae_models.config.extras import is_installed, missing
from ae_models.config.features import NONE
from ae_models.errors import ConfigError, OutputError
from ae_models.scores import primary_score
from pipelines.beam.dataflow import is_handed_over
from pipelines.beam.run import pipeline_options, versions
from pipelines.console.progress import say, warned
from pipelines.training.command import TrainingCommand, finished_manifest
from pipelines.training.features import opened_features
from pipelines.training.model import Trainer
from pipelines.training.stages import (
    advice_on,
    checked_sources,
    exported,
    for_records,
    stored_records,
    stored_values,
    with_image,
)
from pipelines.training.tensorboard_log import TensorBoardLog
from pipelines.training.tile_calibration import calibrate_in_tiles
from pipelines.training.unfinished import unfinished_training
from transforms import ReadOptions
from transforms.scoring.bundle_cache import check_place, put_bundle
from transforms.storage.bundle_place import put_local_bundle, settle
from transforms.storage.paths import is_local


def train_configuration(
    kind: str,
    config_file: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Configuration:
    """The configuration from a file, overridden by `--set`, then by dedicated flags.

    Raises:
      ConfigError: the file, a key or a value cannot be used.
    """
    mapping = read_mapping(config_file) if config_file else {}
    mapping = with_overrides(mapping, overrides)
    model = mapping.setdefault("model", {})
    if isinstance(model, dict) and model.setdefault("kind", kind) != kind:
        raise ConfigError(f"--model is {kind}, but the configuration has {model['kind']!r}")
    training = mapping.setdefault("training", {})
    if isinstance(training, dict):
        training.update({key: value for key, value in (flags or {}).items() if value is not None})
    config = configuration_from_mapping(mapping)
    _check_scores(config)
    return config


def _check_scores(config: Configuration) -> None:
    """Fails here, rather than after hours of training, if a score is not available.

    Raises:
      ConfigError: a requested score is not available for the given backbone; or, if none is given,
        neither for pixels nor for the installed backbone.
    """
    named = config.features.backbone
    errors = list[ConfigError]()
    for backbone in (NONE, installed_backbone()) if named is None else (named,):
        if backbone is None:
            continue
        try:
            primary_score(config.on(backbone))
        except ConfigError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def train(
    inputs: Sequence[str],
    config: Configuration,
    output: str,
    *,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
    resume: bool = False,
    tensorboard: str | None = None,
) -> dict[str, Any]:
    """Trains a model and writes its bundle; returns the bundle's manifest.

    Args:
      inputs: paths of normal images.
      config: values that are None are derived from the images.
      output: the bundle's folder.
      where: conditions that records must satisfy.
      reading: how the inputs are read: the fields of `ReadOptions` that differ from the defaults.
      beam_flags: of the pipelines.
      overwrite: replace an existing bundle, and anything left by an earlier training.
      resume: continue the unfinished training of the same command, if there is one; keep a
        finished one unchanged.
      tensorboard: a folder for the losses of each epoch, in TensorBoard's format.

    Raises:
      LatentbeamError: an input, a condition, the configuration or the output cannot be used.
    """
    options = pipeline_options(beam_flags)
    if is_handed_over(options):
        raise ConfigError(
            "train needs the result of its pipeline: leave out --dry_run, --template_location and "
            "--no_wait_until_finish"
        )
    command = TrainingCommand(tuple(inputs), tuple(where), ReadOptions(**(reading or {})), config)
    if resume and (finished := finished_manifest(output, command)) is not None:
        say(f"{output} is already finished")
        return finished
    check_installed(config.features.backbone)
    _check_output(output, overwrite)
    log = None if tensorboard is None else TensorBoardLog(tensorboard)
    sources = functools.cache(lambda: checked_sources(command))
    if overwrite or not resume:
        sources()  # before anything is replaced
    with unfinished_training(output, command.request(), resume=resume, overwrite=overwrite) as work:
        work.bundle.mkdir(exist_ok=True)
        config, advice = with_image(work, command, sources)
        features = opened_features(config)
        records = stored_records(work, command, config, options)
        advice = [*advice, *advice_on(records, config)]
        values = stored_values(work, records, features, config, options)
        config = for_records(work, config, values.stores)
        trainer = Trainer(
            work.bundle,
            config,
            records.stores,
            values.stores,
            features=features,
            maps=values.maps,
            checkpoint=work.checkpoint,
        )
        if not work.checkpoint.is_file():
            trainer.rehearse(work.path / "rehearsal")
        training = trainer.fit(log)
        config, found = exported(trainer, config, records)
        if config.image.tile is not None:
            calibration = calibrate_in_tiles(work.bundle, config, command, records.calibrating)
        else:
            calibration = write_calibration(
                work.bundle / CALIBRATION,
                Scorer(work.bundle, config),
                records.calibration(config.batch_rows),
                config.scoring.tail,
                found.held_out,
            )
        advice += [*found.advice, *warned(_advice_on_calibration(calibration, config.scoring))]
        facts = {
            "config": configuration_to_mapping(config),
            "versions": versions(),
            "training": {
                "inputs": list(inputs),
                "where": list(where),
                "reading": command.reading.given(),
                "rejected_by_reason": records.rejected_by_reason,
                "passed_over": records.passed_over.by_cause(),
                **({} if features is None else {"backbone": dataclasses.asdict(features.origin)}),
                **records.facts,
                **training,
                **found.facts,
                "advice": advice,
            },
            "calibration": calibration,
        }
        card = model_card(facts, has_curves=_draw_curves(work.bundle / CURVES, training))
        (work.bundle / MODEL_CARD).write_text(card, encoding="utf-8")
        sealed = seal_bundle(work.bundle, facts)
        _check_output(output, overwrite)  # hours have passed
        _put_in_place(sealed, output)
    return sealed.manifest


def _draw_curves(path: Path, training: Mapping[str, Any]) -> bool:
    """Whether the losses were drawn: hours of training are not lost for the lack of a package."""
    if not is_installed("matplotlib"):
        say(f"warning: {path.name} was not drawn: {missing('pictures', 'matplotlib')}")
        return False
    from pipelines.drawing.loss_curves import draw_curves  # noqa: PLC0415 - of an extra

    draw_curves(path, training["curves"], training["best_epoch"])
    return True


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
        raise OutputError(f"{output} already exists: choose another folder{hint}")


def _put_in_place(bundle: Bundle, output: str) -> None:
    """Makes the finished bundle appear under its name atomically."""
    if is_local(output):
        put_local_bundle(bundle.path, Path(output))
    else:
        put_bundle(bundle, output)


def _advice_on_calibration(calibration: Mapping[str, Any], scoring: ScoringConfig) -> list[str]:
    records, bad = calibration["records"], calibration["not_finite"]
    advice: list[str | None] = []
    if bad:
        advice.append(
            f"{bad:,} of {records + bad:,} calibration records have no finite score and are "
            "ignored: `latentbeam score` rejects such records"
        )
    if scoring.tail == "pareto" and calibration["pareto_tail"] is None:
        advice.append(
            "no generalised Pareto tail fits the greatest calibration scores (too few, too many "
            "equal ones, or no maximum-likelihood tail): no p-value can be below "
            f"{1 / (records + 1):.2g}"
        )
    if advice and calibration["pareto_tail"] is None:
        advice.append(none_flagged(records, scoring.fpr))
    return [line for line in advice if line]
