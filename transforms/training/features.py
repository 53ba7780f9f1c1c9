"""Writing a backbone's features of a store's images to another store, once per record."""

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

RECORDS_SEEN = "records_seen"  # a metric: records processed by the backbone
# Half floats are off by up to 0.05% of a value, which is noise when learning from many; values out
# of range become the greatest half float. Records are scored with exact features.
_HALF, _SINGLE = np.dtype(np.float16), np.dtype(np.float32)
_MOST_NOISE = 0.01  # of a channel's deviation
_LEAST_SHARE = 0.01  # of the mean deviation: the least that is assumed for a channel
MOST_SEEN = 4096  # records of a split whose fine maps are stored, for fitting scores
_GREATEST = float(np.finfo(_HALF).max)


@dataclasses.dataclass(frozen=True)
class FeatureStores:
    """Where a split's images are, and where their maps are written.

    Attributes:
      images: the images, with targets if the records have separate ones.
      maps: the maps, with targets if these differ from the maps of the inputs.
      fine: `FeatureMaps.fine` of the first uncorrupted images; empty if only corrupted ones are
        seen.
      augmentation, corruption: see `FeatureViews`.
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
        """Creates the files for the maps (h, w, K) of all views, view by view, each in the order of
        the images, and for the fine maps of the first 4,096 images. All have the type `dtype`, from
        `stored_type`."""
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
    """The type in which maps are stored: float16 if it changes the channels of each layer by at
    most a hundredth of their standard deviations, on average; otherwise (huge or subnormal values,
    or a small deviation from a large mean) float32.

    Args:
      maps: for each layer, the maps of a few images, (n, h, w, C) float32.
    """
    for layer in maps:
        channels = layer.reshape(-1, layer.shape[-1]).astype(np.float64)
        noise = np.sqrt(np.mean(np.square(_halved(channels) - channels), axis=0))
        deviation = channels.std(axis=0)
        least = _LEAST_SHARE * deviation.mean() or 1.0  # if all are constant, in any unit
        if np.mean(noise / np.maximum(deviation, least)) > _MOST_NOISE:
            return _SINGLE
    return _HALF


def _halved(maps: np.ndarray) -> np.ndarray:
    return np.clip(maps, -_GREATEST, _GREATEST).astype(_HALF)


def stored_maps(path: Path) -> ImageStore:
    """The stored maps on which a model is trained."""
    targets = _targets_path(path)
    return ImageStore(path, ImageStore(targets) if targets.is_file() else None)


def clean_maps(path: Path, *, corrupted: bool) -> list[ImageStore]:
    """The stored maps of uncorrupted images: those on the grid, then the fine ones. Empty if there
    are no fine maps.

    Args:
      path: the path passed to `FeatureStores.create`.
      corrupted: whether the model's input images were corrupted.
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
      stores: the stores of the splits.
      config: the configuration, with the backbone and the image's shape set.

    Raises:
      InputError: at run time, features are not finite numbers.
      OutputError: at run time, maps cannot be written.
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
    """A split's number and the start of a range of rows → nothing, once their maps are written."""

    def __init__(self, stores: tuple[FeatureStores, ...], config: Configuration):
        self._stores, self._config, self._shared = stores, config, Shared()
        self._records = Metrics.counter("latentbeam", RECORDS_SEEN)

    def setup(self) -> None:
        config, rows = self._config, self._config.batch_rows
        # Loaded once for all threads of a process.
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
    """A separate seed for each batch, whichever worker processes it."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def _write(store: ImageStore, maps: np.ndarray, start: int, records: int) -> None:
    if not np.isfinite(maps).all():
        raise InputError(
            "features.backbone produces features that are not finite numbers, for a training or "
            "validation record"
        )
    stored = _halved(maps) if store.dtype == _HALF else maps
    try:
        for view, values in enumerate(stored):
            store.write(view * records + start + np.arange(len(values)), values)
    except OSError as error:
        raise OutputError(f"cannot write features: {error.strerror}") from error
