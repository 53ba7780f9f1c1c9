"""Trains a model on the stored records, and exports its SavedModel."""

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
    """The configuration with the SavedModel's scores, lines for people, the names of scores that
    were left out, and the held-out values of scores that are fitted to calibration records."""

    config: Configuration
    advice: list[str]
    left_out: list[str]
    held_out: HeldOut | None


def chosen_augmentation(
    config: Configuration, stores: dict[str, ImageStore], transform_output: Path
) -> str:
    """The value of `training.augment` if none is set."""
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
      bundle: the folder to write the model to; it contains tf.Transform's output.
      config: complete: the image's shape and all values derived from the records are set.
      images: of the records, by split.
      stores: what the model reconstructs, images or features, of training and validation.
      features: computes them from images; None: the model reconstructs the images.
      maps: of a split's images, on the grid, then the fine ones, if these are on disk.
      checkpoint: the file that stores the training's state; if it exists, training resumes from it.
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
            # Augmented views are already among the records.
            self._training = dataclasses.replace(config.training, augment=augmentation_text([]))
        self._model = self._untrained()
        if checkpoint is None or not checkpoint.exists():
            initialise(self._model, self._preprocessing, self._train, self._training)

    def _untrained(self) -> ImageModel:
        shape = self._train.shape[1:]
        return build_model(self._config.built_model, shape, self._config.training.seed)

    def rehearse(self, folder: Path) -> None:
        """Writes the untrained model and its SavedModel to a folder, then removes it: a model that
        cannot be exported fails before hours are spent on it. A training on features that takes
        no longer than the rehearsal is not rehearsed.

        Raises:
          BundleError: the graph would exceed the size limit for opening bundles.
        """
        if self._config.features.is_on and self._most_steps() <= _FEW_STEPS:
            return
        local.remove(str(folder))  # left by a rehearsal that was interrupted
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
        """Trains, and writes the Keras model; returns the manifest's facts on the training."""
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
        """The exported model, with the configuration that `export` returned."""
        return Scorer(self._bundle, config)

    def recommendation(self, scorer: Scorer) -> Recommendation:
        """Which score of the exported model to use."""
        return recommendation(scorer, self._images[VALIDATION], self._config.training.seed)

    def control(self, scorer: Scorer, held_out: Iterable[np.ndarray]) -> Control:
        """Compares the exported model with principal components, on batches of raw pixels,
        (n, H, W, C), of records that it was not trained on."""
        return control(
            scorer,
            self._preprocessing,
            self._train,
            held_out,
            components=self._config.model.latent_size,
            seed=self._config.training.seed,
        )

    def export(self) -> Exported:
        """Fits the scores, and writes the SavedModel. Scores whose values differ between the
        SavedModel and Keras are left out, except the primary score, which must agree.

        Raises:
          StageError: the primary score or the latents differ between the SavedModel and Keras.
        """
        config, advice, left_out = self._config, list[str](), list[str]()
        found, held_out = self._export(config)
        while apart := [one for one in found if not one.holds]:
            config, made = _without(config, apart)
            advice += map(_left_out, apart)
            advice += (f"{name} is computed from it: the bundle omits it too" for name in made)
            left_out += (one.name.removeprefix(SCORE_PREFIX) for one in apart)
            left_out += made
            found, held_out = self._export(config)
        if alike := [one.name for one in found if not one.distinct]:
            advice.append(_indistinct(alike))
        return Exported(config, advice, left_out, held_out)

    def _export(self, config: Configuration) -> tuple[list[Agreement], HeldOut | None]:
        local.remove(str(self._bundle / SCORING))  # left by an earlier attempt
        validation = self._images[VALIDATION]
        sample = validation.read(0, min(config.batch_rows, _PARITY_RECORDS))
        module = self._scoring(config)
        held_out = self._fit(module, config)
        found = export(self._bundle, self._model, module, image=config.image, sample=sample)
        return found, held_out

    def _scoring(self, config: Configuration) -> ScoringModule:
        """The model with scores and an anomaly map that are not fitted yet."""
        scores = [SCORES[name]() for name in score_names(config)]
        return ScoringModule(self._of_pixels, self._model, scores, new_map(config))

    def _fit(
        self, module: ScoringModule, config: Configuration, records: int | None = None
    ) -> HeldOut | None:
        """Fits scores and map to at most `records` records; None: to as many as help. Returns the
        held-out values of the calibration records if scores are fitted to these too."""
        rows, of_pixels = min(config.batch_rows, records or config.batch_rows), self._of_pixels
        if not isinstance(of_pixels, FeaturePreprocessing):
            fit_to_records(module.scores, self._model, of_pixels, self._train, rows, records)
            return None
        # The backbone was trained on neither split: the more records, the better.
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
    """The configuration without the scores that disagree, with the same primary score if one was
    set; and the names of further scores dropped because they are computed from those."""
    names = {one.name for one in apart}
    left = [name for name in score_names(config) if SCORE_PREFIX + name not in names]
    kept = tuple(name for name in left if all(part in left for part in SCORES[name].parts))
    scoring = dataclasses.replace(config.scoring, scores=kept or None)
    chosen = scoring.primary not in (None, AUTO)
    for one in apart:
        if not one.name.startswith(SCORE_PREFIX):
            raise StageError(f"{_parted(one)}: no choice of scores fixes this")
        if not kept:
            raise StageError(f"{_parted(one)}, and no score remains: set others in scoring.scores")
        if chosen and primary_score(config) not in kept:
            raise StageError(
                f"{_parted(one)}: --primary needs a score other than {scoring.primary}"
            )
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
    return f"{_parted(one)}: the bundle omits it"


def _indistinct(names: list[str]) -> str:
    return (
        "these scores do not distinguish the records, whose values differ only by rounding: "
        f"{', '.join(names)}; their p-values mean little"
    )
