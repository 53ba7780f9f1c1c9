"""The stages of a training: each runs once, however often the command is resumed."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.bundles.bundle import check_sizes
from ae_models.bundles.names import TRANSFORM_OUTPUT
from ae_models.config.budget import OF_FEATURES, OF_PIXELS
from ae_models.config.configuration import Configuration, ImageConfig
from ae_models.config.model import AutoencoderConfig
from ae_models.errors import ConfigError
from ae_models.scores import AUTO, primary_score
from ae_models.training.fit_scores import HeldOut
from ae_models.training.image_store import ImageStore
from ae_models.training.splits import CALIBRATION, TRAIN
from pipelines.console.progress import say, warned
from pipelines.console.unread import warn_of_unread
from pipelines.training.command import TrainingCommand
from pipelines.training.features import (
    clean_features,
    stored_features,
    what_is_rebuilt,
    write_features,
)
from pipelines.training.model import Trainer, chosen_augmentation
from pipelines.training.records import Records, analyse, check_calibration, read_records
from pipelines.training.unfinished import RECORDS, UnfinishedTraining
from transforms.images.decode_batch import check_target
from transforms.reading.probe import survey_images
from transforms.reading.read import common_carried
from transforms.sources import Source, resolve_inputs
from transforms.storage import local
from transforms.training.groups import check_group

SURVEY, FEATURES, ANALYSIS, AUGMENTATION = "survey", "features", "analysis", "augmentation"


def checked_sources(command: TrainingCommand) -> list[Source]:
    """The inputs, after checking that they have the columns that the command needs."""
    config, sources = command.config, resolve_inputs(command.inputs, command.reading)
    if config.target:
        check_target(common_carried(sources), config.target)
    if config.training.group is not None:
        check_group(common_carried(sources), config.training.group)
    return sources


def with_image(
    work: UnfinishedTraining, command: TrainingCommand, sources: Callable[[], Sequence[Source]]
) -> tuple[Configuration, list[str]]:
    """The configuration with the images' size and kind, and advice on them.

    Args:
      work: what has been done so far.
      command: what was requested.
      sources: gives the inputs, which may be gone after they were read.
    """
    kept = work.kept(SURVEY)
    config = command.config.with_image(command.config.image.of_frame())
    if kept is None:
        survey = survey_images(
            sources(),
            command.wheres(),
            config.image.max_pixels,
            in_bands=config.image.tile is not None,
        )
        rebuilt = what_is_rebuilt(config, survey)
        asked = rebuilt.config.image
        for line in [*survey.told(asked), *([rebuilt.told] if rebuilt.told else [])]:
            say(line)
        advice = [*survey.advice(asked), *([rebuilt.advice] if rebuilt.advice else [])]
        kept = {
            "backbone": rebuilt.config.features.backbone,
            "image": dataclasses.asdict(survey.chosen(asked)),
            "advice": warned(advice),
        }
    config = config.on(kept["backbone"]).with_image(ImageConfig(**kept["image"]))
    primary_score(config)  # checked again: some scores depend on the shape
    check_sizes(config)
    work.keep(SURVEY, kept)
    return config, list(kept["advice"])


def stored_records(
    work: UnfinishedTraining,
    command: TrainingCommand,
    config: Configuration,
    options: PipelineOptions,
) -> Records:
    """The records on disk."""
    kept, folder = work.kept(RECORDS), work.path / "read"
    if kept is None:
        local.remove(str(folder))
        folder.mkdir()
        records = read_records(
            command.inputs, command.wheres(), command.reading, config, options, folder
        )
        work.keep(RECORDS, records.to_keep())
        return records
    records = Records.from_kept(kept, config, folder)
    warn_of_unread(records.passed_over.by_cause(), records.passed_over.names)
    return records


class StoredValues(NamedTuple):
    """The splits' values on disk, by the splits' names.

    Attributes:
      stores: what the model reconstructs: images, or features.
      maps: what scores of features are fitted to, as returned by `clean_features`.
    """

    stores: dict[str, ImageStore]
    maps: dict[str, list[ImageStore]]


def stored_values(
    work: UnfinishedTraining,
    records: Records,
    features: FeatureMaps | None,
    config: Configuration,
    options: PipelineOptions,
) -> StoredValues:
    """The values to train on, on disk: the images of the splits, or their features. Also writes
    tf.Transform's output for them."""
    folder, stores = work.path / "read", records.stores
    maps: dict[str, list[ImageStore]] = {}
    if features is not None:
        kept, origin = work.kept(FEATURES), dataclasses.asdict(features.origin)
        if kept is None:
            write_features(stores, features, config, options, folder)
            work.keep(FEATURES, origin)
        elif kept != origin:
            raise ConfigError(
                f"features.backbone {config.features.backbone!r} is a different network than when "
                "this training began: restore that network, or give --overwrite to start over"
            )
        stores, maps = stored_features(folder), clean_features(folder, config)
    output = work.bundle / TRANSFORM_OUTPUT
    # A bundle that was moved to its place took this output with it.
    if work.kept(ANALYSIS) is None or not output.is_dir():
        local.remove(str(output))
        local.remove(str(folder / "tft"))
        analyse(stores[TRAIN], records.scale, config, options, output, folder)
        work.keep(ANALYSIS, {})
    return StoredValues(stores, maps)


def advice_on(records: Records, config: Configuration) -> list[str]:
    """Warnings about the records.

    Raises:
      ConfigError: there are too few calibration records for `scoring.tail`.
    """
    in_tiles = config.image.tile is not None
    count = len(records.calibrating) if in_tiles else len(records.stores[CALIBRATION])
    line = check_calibration(count, config.scoring)
    return warned([*([line] if line else []), *records.advice])


def for_records(
    work: UnfinishedTraining, config: Configuration, stores: dict[str, ImageStore]
) -> Configuration:
    """The configuration with all values that are derived from the training records."""
    training, kept = config.training, work.kept(AUGMENTATION)
    if training.augment is None:
        if kept is None:
            kept = chosen_augmentation(config, stores, work.bundle / TRANSFORM_OUTPUT)
            work.keep(AUGMENTATION, kept)
        training = dataclasses.replace(training, augment=kept)
    pace = OF_FEATURES if config.features.is_on else OF_PIXELS
    training = training.for_records(len(stores[TRAIN]), pace)
    say(
        f"batches of {training.batch_size:,}, augmentation {training.augment}, at most "
        f"{training.epochs:,} epochs"
    )
    return dataclasses.replace(config, training=training)


class Found(NamedTuple):
    """Facts on an exported model for the manifest, advice on it, and the held-out values of scores
    that are fitted to calibration records."""

    facts: dict[str, Any]
    advice: list[str]
    held_out: HeldOut | None


def exported(
    trainer: Trainer, config: Configuration, records: Records
) -> tuple[Configuration, Found]:
    """Exports the model, and compares it and its scores on held-out records."""
    config, advice, left_out, held_out = trainer.export()
    scorer = trainer.scorer(config)
    facts: dict[str, Any] = {}
    # Scores of features are fitted to validation records: these choose a score only on request.
    if config.scoring.primary == AUTO or not config.features.is_on:
        found = trainer.recommendation(scorer)
        if config.scoring.primary == AUTO:
            scoring = dataclasses.replace(config.scoring, primary=found.score)
            config = dataclasses.replace(config, scoring=scoring)
        say(found.sentence(primary_score(config)))
        facts["recommended"] = dataclasses.asdict(found)
    if left_out:
        facts["left_out"] = left_out
    if config.target is None:  # otherwise it reconstructs images that differ from its inputs
        images = (images for _, images in records.calibration(config.batch_rows))
        control = trainer.control(scorer, images)
        facts["control"] = {**dataclasses.asdict(control), "ratio": control.ratio}
        say(control.sentence())
        model = config.model
        if isinstance(model, AutoencoderConfig) and (line := control.advice(model)):
            advice = [*advice, line]
    return config, Found(facts, warned(advice), held_out)
