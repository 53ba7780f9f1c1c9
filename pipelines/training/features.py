"""What `latentbeam train` trains on: pixels, or the features of a backbone."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.backbones.registry import PACKAGES, installed_backbone, usual_side
from ae_models.config.configuration import Configuration
from ae_models.config.extras import missing
from ae_models.config.features import NONE
from ae_models.errors import ConfigError
from ae_models.scores import primary_score
from ae_models.training.image_store import ImageStore
from ae_models.training.splits import TRAIN, VALIDATION
from pipelines.beam.run import run
from transforms.reading.survey import SMALL_SIDE, Survey
from transforms.training.features import (
    RECORDS_SEEN,
    FeatureStores,
    WriteFeatures,
    clean_maps,
    stored_maps,
    stored_type,
)

_OFF = "--features none trains on pixels"
_NO_BACKBONE = (
    "these are photographs, which models of pixels represent poorly. "
    f"{missing('Features of efficientnet_lite0', PACKAGES['efficientnet_lite0'])}. "
    "--features none trains on pixels without this warning"
)


class Rebuilt(NamedTuple):
    """A configuration with what its model reconstructs, a line that says so, and a warning."""

    config: Configuration
    told: str | None = None
    advice: str | None = None


def what_is_rebuilt(config: Configuration, survey: Survey) -> Rebuilt:
    """Features if a backbone is named; also if the images are photographs, a backbone is installed
    and no other setting needs pixels or a side of at most 96 pixels. Otherwise pixels.

    Raises:
      ConfigError: a backbone is named, and another setting needs pixels.
    """
    named = config.features.backbone
    if named == NONE:
        return Rebuilt(config.on(NONE))
    if named is not None:
        return Rebuilt(_on_features(config, named))
    if not survey.are_photographs(config.image) or _is_small(config):
        return Rebuilt(config.on(NONE))
    backbone = installed_backbone()
    if backbone is None:
        return Rebuilt(config.on(NONE), advice=_NO_BACKBONE)
    try:
        rebuilt = _on_features(config, backbone)
        primary_score(rebuilt)  # checks that the named scores exist
    except ConfigError as error:
        told = f"these are photographs, but training is on pixels, not on features: {error}"
        return Rebuilt(config.on(NONE), told=told)
    told = f"these are photographs: training on features of {backbone}; {_OFF}"
    return Rebuilt(rebuilt, told=told)


def _is_small(config: Configuration) -> bool:
    """Whether images are resized to a size that is too small for a backbone."""
    sides = [side for side in (config.image.height, config.image.width) if side is not None]
    return bool(sides) and max(sides) <= SMALL_SIDE


def _on_features(config: Configuration, backbone: str) -> Configuration:
    """The configuration for a backbone, with the size that it expects if none is set."""
    image = config.image
    if image.height is None and image.width is None:
        side = config.features.size or usual_side(backbone)
        image = dataclasses.replace(image, height=side, width=side)
    return config.with_image(image).on(backbone)


def opened_features(config: Configuration) -> FeatureMaps | None:
    """The backbone, checked to work; None if pixels are reconstructed.

    Raises:
      ConfigError, InputError: it is not available, does not accept such images, or does not give
        finite numbers.
    """
    if not config.features.is_on:
        return None
    features = FeatureMaps(config.features, config.image)
    features.probe()
    return features


def _files(work: Path) -> dict[str, Path]:
    """The feature files of the training and validation splits."""
    return {split: work / f"{split}-features.npy" for split in (TRAIN, VALIDATION)}


def write_features(
    images: dict[str, ImageStore],
    features: FeatureMaps,
    config: Configuration,
    options: PipelineOptions,
    work: Path,
) -> None:
    """Writes the features of the training and validation splits. For training images it also
    writes the features of augmented views, which count as further records.

    Files left in `work` by an earlier attempt are removed first.
    """
    for path in _files(work).values():
        for left in work.glob(f"{path.stem}*"):
            left.unlink()
    dtype = stored_type(features.probe())
    stores = [
        FeatureStores.create(
            images[split],
            path,
            features,
            dtype=dtype,
            augmentation=config.training.augmentation_steps if split == TRAIN else (),
            corruption=config.corruption_of_images,
        )
        for split, path in _files(work).items()
    ]
    write = WriteFeatures(stores, config)
    run(lambda pipeline: pipeline | write, options, "features", counter=RECORDS_SEEN)


def stored_features(work: Path) -> dict[str, ImageStore]:
    """The features that `write_features` wrote for training a model."""
    return {split: stored_maps(path) for split, path in _files(work).items()}


def clean_features(work: Path, config: Configuration) -> dict[str, list[ImageStore]]:
    """The features that `write_features` wrote for fitting scores, as `FeatureMaps` computes them
    from uncorrupted images: by split, the maps on the grid, then the fine ones."""
    corrupted = bool(config.corruption_of_images)
    return {split: clean_maps(path, corrupted=corrupted) for split, path in _files(work).items()}
