"""A backbone's features of the images of a store, once for each record, into another store."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.config.configuration import Configuration
from ae_models.config.steps import Step
from ae_models.errors import InputError, OutputError
from ae_models.training.feature_views import FeatureViews
from ae_models.training.image_store import ImageStore, empty_store
from transforms.execution.timing import ProgressLog

RECORDS_SEEN = "records_seen"  # a metric: by the backbone
# Half floats are off by up to 0.05% of a value, which is noise to what is learned of many; what one
# cannot hold becomes the greatest that it can. Records are scored by exact features.
_HALF, _SINGLE = np.dtype(np.float16), np.dtype(np.float32)
_MOST_NOISE = 0.01  # of a channel's deviation
_LEAST_SHARE = 0.01  # of the mean deviation: what a channel that hardly varies counts as having
MOST_SEEN = 4096  # records of a split whose fine maps are kept, for scores to be fitted to
_GREATEST = float(np.finfo(_HALF).max)


@dataclasses.dataclass(frozen=True)
class FeatureStores:
    """Where a split's images are, and where their maps are to be.

    Attributes:
      images: with targets, where records have some of their own.
      maps: with targets where those of the inputs are others.
      fine: what `FeatureMaps.fine` gives of the first images as they are; none where only corrupted
        ones are seen.
      augmentation, corruption: as `FeatureViews` has them.
    """

    images: ImageStore
    maps: ImageStore
    fine: tuple[ImageStore, ...] = ()
    augmentation: tuple[Step, ...] = ()
    corruption: tuple[Step, ...] = ()

    @classmethod
    def create(
        cls,
        images: ImageStore,
        path: Path,
        features: FeatureMaps,
        *,
        dtype: np.dtype,
        augmentation: tuple[Step, ...] = (),
        corruption: tuple[Step, ...] = (),
    ) -> "FeatureStores":
        """Makes the files that maps (h, w, K) of all views are to be written to, view by view, each
        in the order of the images; and those of the fine maps of the first 4,096 images. All are of
        the type that `stored_type` has found."""
        full = (len(images) << len(augmentation), *features.shape)
        targets, fine = None, tuple[ImageStore, ...]()
        if corruption or images.targets:
            targets = empty_store(_targets_path(path), full, dtype)
        if not (corruption and images.targets):
            seen = min(len(images), MOST_SEEN)
            fine = tuple(
                empty_store(_fine_path(path, number), (seen, *shape), dtype)
                for number, shape in enumerate(features.fine_shapes)
            )
        maps = ImageStore(empty_store(path, full, dtype).path, targets)
        return cls(images, maps, fine, augmentation, corruption)


def stored_type(maps: Iterable[np.ndarray]) -> np.dtype:
    """float16, where that moves the channels of no layer by more than a hundredth of their standard
    deviations, on average; else float32: for huge values, subnormal ones, or those that hardly
    deviate from a large mean.

    Args:
      maps: of each layer, (n, h, w, C) float32, of a few images.
    """
    for layer in maps:
        channels = layer.reshape(-1, layer.shape[-1]).astype(np.float64)
        noise = np.sqrt(np.mean(np.square(_halved(channels) - channels), axis=0))
        deviation = channels.std(axis=0)
        least = _LEAST_SHARE * deviation.mean() or 1.0  # where all are constant, in any unit
        if np.mean(noise / np.maximum(deviation, least)) > _MOST_NOISE:
            return _SINGLE
    return _HALF


def _halved(maps: np.ndarray) -> np.ndarray:
    return np.clip(maps, -_GREATEST, _GREATEST).astype(_HALF)


def stored_maps(path: Path) -> ImageStore:
    """What was written for a model to be trained on."""
    targets = _targets_path(path)
    return ImageStore(path, ImageStore(targets) if targets.is_file() else None)


def clean_maps(path: Path, *, corrupted: bool) -> list[ImageStore]:
    """What was written of images as they are: their maps on the grid, then the fine ones. None
    where these are not there.

    Args:
      path: as `FeatureStores.create` has it.
      corrupted: whether the images that the model is given were.
    """
    fine = list[ImageStore]()
    while (own := _fine_path(path, len(fine))).is_file():
        fine.append(ImageStore(own))
    return [ImageStore(_targets_path(path) if corrupted else path), *fine] if fine else []


def _targets_path(path: Path) -> Path:
    return path.with_stem(f"{path.stem}-targets")


def _fine_path(path: Path, number: int) -> Path:
    return path.with_stem(f"{path.stem}-fine-{number}")


class WriteFeatures(beam.PTransform):
    """Applies the backbone to each record of the stores, in batches.

    Args:
      stores: of the splits.
      config: with the backbone and the image's shape known.

    Raises:
      InputError: while it runs: features that are no finite numbers.
      OutputError: while it runs: maps cannot be written.
    """

    def __init__(self, stores: Iterable[FeatureStores], config: Configuration):
        super().__init__()
        self._stores, self._config = tuple(stores), config

    def expand(self, pipeline: beam.Pipeline) -> Any:
        rows = self._config.batch_rows
        ranges = [
            (index, start)
            for index, stores in enumerate(self._stores)
            for start in range(0, len(stores.images), rows)
        ]
        return (
            pipeline
            | "Ranges" >> beam.Create(ranges)
            | "Reshuffle" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(_Write(self._stores, self._config))
        )


class _Write(beam.DoFn):
    """A split's number and the first of some rows → nothing, once their maps are written."""

    def __init__(self, stores: tuple[FeatureStores, ...], config: Configuration):
        self._stores, self._config, self._shared = stores, config, Shared()
        self._records = Metrics.counter("latentbeam", RECORDS_SEEN)

    def setup(self) -> None:
        config, rows = self._config, self._config.batch_rows
        # Once for all threads of a process.
        features = self._shared.acquire(lambda: FeatureMaps(config.features, config.image))
        self._views = [
            FeatureViews(features, rows, stores.augmentation, stores.corruption)
            for stores in self._stores
        ]
        self._progress = ProgressLog()

    def process(self, element: tuple[int, int]) -> None:
        index, start = element
        stores, views = self._stores[index], self._views[index]
        images = stores.images.read(start, start + self._config.batch_rows)
        targets = stores.images.targets
        wanted = None if targets is None else targets.read(start, start + len(images))
        inputs, outputs = views(images, wanted, _seed(self._config.training.seed, *element))
        _write(stores.maps, inputs.grid, start, len(stores.images))
        if stores.maps.targets is not None and outputs is not None:
            _write(stores.maps.targets, outputs.grid, start, len(stores.images))
        if stores.fine and start < len(stores.fine[0]):
            clean = outputs if stores.corruption and outputs is not None else inputs
            for store, layer in zip(stores.fine, clean.fine, strict=True):
                _write(store, layer[None, : len(store) - start], start, len(store))
        self._records.inc(len(images))
        self._progress.add(len(images))


def _seed(*numbers: int) -> int:
    """One of its own for each batch, whoever makes it."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def _write(store: ImageStore, maps: np.ndarray, start: int, records: int) -> None:
    if not np.isfinite(maps).all():
        raise InputError(
            "features.backbone gives features that are no finite numbers, of a training or a "
            "validation record"
        )
    stored = _halved(maps) if store.dtype == _HALF else maps
    try:
        for view, values in enumerate(stored):
            store.write(view * records + start + np.arange(len(values)), values)
    except OSError as error:
        raise OutputError(f"cannot write features: {error.strerror}") from error
