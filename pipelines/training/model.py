"""What `latentbeam train` does once the records are there: a model and its SavedModel."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ae_models.assessment.held_out import Control, Recommendation, control, recommendation
from ae_models.assessment.parity import Agreement
from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.bundles.export import ScoringModule, export, save_graph
from ae_models.bundles.keras_archive import save_model
from ae_models.bundles.names import KERAS_MODEL, SCORE_PREFIX, SCORING, TRANSFORM_OUTPUT
from ae_models.bundles.scorer import Scorer
from ae_models.config.augmentation import augmentation_text
from ae_models.config.configuration import Configuration
from ae_models.config.model import AutoencoderConfig
from ae_models.errors import StageError
from ae_models.maps.registry import new_map
from ae_models.models.base import ImageModel
from ae_models.models.registry import build_model
from ae_models.scores import AUTO, SCORES, primary_score, score_names
from ae_models.training.augmentation_choice import helpful_augmentation
from ae_models.training.fit import fit, initialise
from ae_models.training.fit_scores import HeldOut, Seen, fit_to_features, fit_to_records
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import FeaturePreprocessing, Preprocessing
from ae_models.training.splits import CALIBRATION, TRAIN, VALIDATION
from pipelines.console.progress import Progress
from pipelines.training.progress import TrainingProgress
from pipelines.training.tensorboard_log import TensorBoardLog
from transforms.storage import local
from transforms.training.features import MOST_SEEN

_PARITY_RECORDS, _REHEARSED = 64, 16
_FEW_STEPS = 500


class Exported(NamedTuple):
    """A configuration whose scores are those of the SavedModel, lines for people, the names of
    scores that were left out, and what scores that know calibration records are of these."""

    config: Configuration
    advice: list[str]
    left_out: list[str]
    held_out: HeldOut | None


def chosen_augmentation(
    config: Configuration, stores: dict[str, ImageStore], transform_output: Path
) -> str:
    """What `training.augment` is where it is left open."""
    model = config.model
    if not (
        isinstance(model, AutoencoderConfig) and model.has_linear_path and config.target is None
    ):
        return augmentation_text([])
    return helpful_augmentation(
        Preprocessing(transform_output),
        stores[TRAIN],
        stores[VALIDATION],
        components=model.latent_size,
        seed=config.training.seed,
    )


class Trainer:
    """A model, from untrained to exported.

    Args:
      bundle: the folder that it is written to, with tf.Transform's output in it.
      config: with the image's shape known, and all that follows from the records.
      images: of the records, by split.
      stores: what the model rebuilds of the training and validation records: images, or features.
      features: makes them of images; None: they are the images.
      maps: of a split's images, on the grid, then the fine ones, where these are on disk.
      checkpoint: the file that the training is kept in; where it is there, it goes on from that.
    """

    def __init__(
        self,
        bundle: Path,
        config: Configuration,
        images: dict[str, ImageStore],
        stores: dict[str, ImageStore],
        *,
        features: FeatureMaps | None = None,
        maps: Mapping[str, Sequence[ImageStore]] = MappingProxyType({}),
        checkpoint: Path | None = None,
    ):
        self._bundle, self._config, self._checkpoint = bundle, config, checkpoint
        self._images, self._maps = images, maps
        self._train, self._validation = stores[TRAIN], stores[VALIDATION]
        self._preprocessing = Preprocessing(bundle / TRANSFORM_OUTPUT)
        self._of_pixels: Preprocessing | FeaturePreprocessing = self._preprocessing
        self._training = config.training
        if features is not None:
            self._of_pixels = FeaturePreprocessing(features, self._preprocessing)
            # Changed views are among the records already.
            self._training = dataclasses.replace(config.training, augment=augmentation_text([]))
        self._model = self._untrained()
        if checkpoint is None or not checkpoint.exists():
            initialise(self._model, self._preprocessing, self._train, self._training)

    def _untrained(self) -> ImageModel:
        shape = self._train.shape[1:]
        return build_model(self._config.built_model, shape, self._config.training.seed)

    def rehearse(self, folder: Path) -> None:
        """Writes the untrained model and its SavedModel to a folder that is then removed: what
        cannot be exported is known before hours are spent on it. A training of features that takes
        no longer than that is not rehearsed.

        Raises:
          BundleError: the graph would be larger than one that is ever opened.
        """
        if self._config.features.is_on and self._most_steps() <= _FEW_STEPS:
            return
        local.remove(str(folder))  # of a rehearsal that was cut off
        folder.mkdir()
        save_model(self._model, folder / KERAS_MODEL)
        module = self._scoring(self._config)
        self._fit(module, self._config, _REHEARSED)
        save_graph(folder / SCORING, module, self._config.image)
        local.remove(str(folder))

    def _most_steps(self) -> int:
        budget = self._training.budget(len(self._train))
        return budget.epochs * -(-len(self._train) // budget.batch_size)

    def fit(self, tensorboard: TensorBoardLog | None = None) -> dict[str, Any]:
        """Trains, and writes the Keras model; gives what the manifest says of the training."""
        epochs = self._training.budget(len(self._train)).epochs
        with Progress("training", unit=" batches") as progress:
            summary = fit(
                self._model,
                self._preprocessing,
                self._train,
                self._validation,
                config=self._training,
                on_progress=TrainingProgress(progress, epochs, tensorboard),
                checkpoint=self._checkpoint,
            )
        if self._config.features.is_on:
            # An optimiser's state is twice as large as the weights.
            weights, self._model = self._model.get_weights(), self._untrained()
            self._model.set_weights(weights)
        save_model(self._model, self._bundle / KERAS_MODEL)
        counts = {split: len(self._images[split]) for split in (TRAIN, VALIDATION)}
        return {"records": counts, "parameters": self._model.count_params(), **vars(summary)}

    def scorer(self, config: Configuration) -> Scorer:
        """The exported model, by the configuration that `export` gave."""
        return Scorer(self._bundle, config)

    def recommendation(self, scorer: Scorer) -> Recommendation:
        """Which score of the exported model to take."""
        return recommendation(scorer, self._images[VALIDATION], self._config.training.seed)

    def control(self, scorer: Scorer, held_out: Iterable[np.ndarray]) -> Control:
        """Compares the exported model with principal components, on raw pixels of records that it
        was not trained on, (n, H, W, C), in parts."""
        return control(
            scorer,
            self._preprocessing,
            self._train,
            held_out,
            components=self._config.model.latent_size,
            seed=self._config.training.seed,
        )

    def export(self) -> Exported:
        """Fits the scores, and writes the SavedModel. Of scores that it does not give as Keras
        does, it has none; but the primary one must be among them.

        Raises:
          StageError: it does not give the primary score, or the latents, as Keras does.
        """
        config, advice, left_out = self._config, list[str](), list[str]()
        found, held_out = self._export(config)
        while apart := [one for one in found if not one.holds]:
            config, made = _without(config, apart)
            advice += map(_left_out, apart)
            advice += (f"{name} is made of it: the bundle does without it too" for name in made)
            left_out += (one.name.removeprefix(SCORE_PREFIX) for one in apart)
            left_out += made
            found, held_out = self._export(config)
        if alike := [one.name for one in found if not one.distinct]:
            advice.append(_indistinct(alike))
        return Exported(config, advice, left_out, held_out)

    def _export(self, config: Configuration) -> tuple[list[Agreement], HeldOut | None]:
        local.remove(str(self._bundle / SCORING))  # of an earlier try
        validation = self._images[VALIDATION]
        sample = validation.read(0, min(config.batch_rows, _PARITY_RECORDS))
        module = self._scoring(config)
        held_out = self._fit(module, config)
        found = export(self._bundle, self._model, module, image=config.image, sample=sample)
        return found, held_out

    def _scoring(self, config: Configuration) -> ScoringModule:
        """The model with scores and a map that are not fitted yet."""
        scores = [SCORES[name]() for name in score_names(config)]
        return ScoringModule(self._of_pixels, self._model, scores, new_map(config))

    def _fit(
        self, module: ScoringModule, config: Configuration, records: int | None = None
    ) -> HeldOut | None:
        """Fits scores and map to so many records; None: to as many as help. Gives what scores are
        of the calibration records where they know these."""
        rows, of_pixels = min(config.batch_rows, records or config.batch_rows), self._of_pixels
        if not isinstance(of_pixels, FeaturePreprocessing):
            fit_to_records(module.scores, self._model, of_pixels, self._train, rows, records)
            return None
        # What features are like was learned from neither: the more records, the better.
        splits = (VALIDATION, TRAIN)
        grouped = config.is_grouped
        scarce = records is None and sum(len(self._images[split]) for split in splits) < MOST_SEEN
        return fit_to_features(
            module.scores,
            self._model,
            [self._seen(split, of_pixels) for split in splits],
            rows,
            records or MOST_SEEN,
            anomaly_map=module.anomaly_map,
            calibration=self._seen(CALIBRATION, of_pixels) if scarce and not grouped else None,
            apart=len(self._validation) if grouped else None,
        )

    def _seen(self, split: str, of_pixels: FeaturePreprocessing) -> Seen:
        if maps := self._maps.get(split):
            return Seen(maps, of_pixels.prepared_maps)
        return Seen([self._images[split]], of_pixels.prepared)


def _without(config: Configuration, apart: list[Agreement]) -> tuple[Configuration, list[str]]:
    """The configuration with fewer scores, and the same primary one if that was chosen; and the
    names of those that it lost as they are made of others."""
    names = {one.name for one in apart}
    left = [name for name in score_names(config) if SCORE_PREFIX + name not in names]
    kept = tuple(name for name in left if all(part in left for part in SCORES[name].parts))
    scoring = dataclasses.replace(config.scoring, scores=kept or None)
    chosen = scoring.primary not in (None, AUTO)
    for one in apart:
        if not one.name.startswith(SCORE_PREFIX):
            raise StageError(f"{_parted(one)}: no choice of scores mends that")
        if not kept:
            raise StageError(f"{_parted(one)}, and no score is left: name others in scoring.scores")
        if chosen and primary_score(config) not in kept:
            raise StageError(f"{_parted(one)}: take another than {scoring.primary} with --primary")
    if not chosen:
        first = primary_score(config, kept)
        scoring = dataclasses.replace(scoring, primary=scoring.primary or first)
    return dataclasses.replace(config, scoring=scoring), [name for name in left if name not in kept]


def _parted(one: Agreement) -> str:
    return (
        f"{one.name} differs between Keras and the SavedModel by {one.difference:.1e}, more than "
        f"{one.allowed:.1e}"
    )


def _left_out(one: Agreement) -> str:
    return f"{_parted(one)}: the bundle does without it"


def _indistinct(names: list[str]) -> str:
    return (
        "these scores cannot tell the records apart, which differ in them by rounding alone: "
        f"{', '.join(names)}; their p-values mean little"
    )
