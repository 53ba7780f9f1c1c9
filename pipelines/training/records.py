"""Reads images, splits them into stores for training, validation and calibration, and reports on
them."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.calibration.p_values import none_flagged, rate_interval
from ae_models.calibration.pareto_tail import LEAST_RECORDS
from ae_models.config.configuration import Configuration, ScoringConfig
from ae_models.errors import ConfigError, InputError
from ae_models.training import splits
from ae_models.training.copies import Fingerprints
from ae_models.training.image_store import Batch, ImageStore, Part, write_image_stores
from ae_models.training.levels import LevelCounts
from ae_models.training.splits import (
    CALIBRATION,
    SPLITS,
    TRAIN,
    VALIDATION,
    SplitOrder,
    group_advice,
    id_hashes,
    sizes_of_groups,
    split_sizes,
    too_few,
    too_few_groups,
)
from pipelines.beam.run import decoding_threads, run
from pipelines.console.progress import say
from pipelines.console.unread import warn_of_unread
from transforms import ReadImages, ReadOptions
from transforms.reading.read import RECORDS_READ
from transforms.records.batches import ID, TARGET
from transforms.records.passed_over import PassedOver
from transforms.records.where import Where
from transforms.runs.shards import Shard, rejected_by_reason
from transforms.tiles.draw import record_of
from transforms.training.groups import GROUP
from transforms.training.prepare import (
    RECORDS_ANALYSED,
    AnalyzeStore,
    DecodeToShards,
    read_shards,
    read_tallies,
    record_ids,
    record_images,
)
from transforms.training.rejected import rejected_advice

_READ = "records"  # shards of decoded records


class Records(NamedTuple):
    """The records of a training, on disk.

    Attributes:
      stores: one per split.
      calibration_ids: in the order of the store.
      rejected_by_reason: how many were not decoded.
      passed_over: what was found and not read.
      scale: the levels that the scaling `quantile` maps to 0 and 1.
      facts: for the manifest: near-copies of training records and, if records are grouped, the
        groups.
      advice: lines for people, about what makes scores or flags invalid.
    """

    stores: dict[str, ImageStore]
    calibration_ids: list[str]
    rejected_by_reason: dict[str, int]
    passed_over: PassedOver
    scale: tuple[int, int]
    facts: dict[str, Any]
    advice: list[str]

    def to_keep(self) -> dict[str, Any]:
        """What is not stored in the folder that they were read into, as JSON values."""
        return {
            "calibration_ids": self.calibration_ids,
            "scale": list(self.scale),
            "facts": self.facts,
            "advice": self.advice,
        }

    @classmethod
    def from_kept(cls, kept: dict[str, Any], config: Configuration, work: Path) -> Self:
        """The records that were read into a folder, completed by what `to_keep` returned."""
        stores = {split: ImageStore(_file(work, split)) for split in SPLITS}
        for split in (TRAIN, VALIDATION) if config.target else ():
            targets = ImageStore(_file(work, split, TARGET))
            stores[split] = ImageStore(stores[split].path, targets)
        folder = str(work / _READ)
        return cls(
            stores=stores,
            rejected_by_reason=rejected_by_reason(read_shards(folder)),
            passed_over=read_tallies(folder).passed_over,
            scale=tuple(kept["scale"]),
            **{name: kept[name] for name in ("calibration_ids", "facts", "advice")},
        )

    @property
    def calibrating(self) -> list[str]:
        """The ids of the calibration images; images in tiles are calibrated as complete images."""
        return list(dict.fromkeys(map(record_of, self.calibration_ids)))

    def calibration(self, rows: int) -> Iterator[Batch]:
        """Ids and images of the calibration records, in batches of `rows`."""
        for start, images in enumerate(self.stores[CALIBRATION].batches(rows)):
            yield self.calibration_ids[start * rows :][: len(images)], images


def read_records(
    inputs: Sequence[str],
    wheres: Sequence[Where],
    reading: ReadOptions,
    config: Configuration,
    options: PipelineOptions,
    work: Path,
) -> Records:
    """Reads, decodes and splits the records, and gathers statistics.

    Raises:
      InputError: there are too few records, or too few groups.
      ConfigError: there are too few records to calibrate with `scoring.tail`.
    """
    folder = str(work / _READ)
    run(
        lambda pipeline: (
            pipeline
            | ReadImages(inputs, where=wheres, options=reading)
            | DecodeToShards(config, folder, decoding_threads(options))
        ),
        options,
        "reading",
        counter=RECORDS_READ,
    )
    shards = read_shards(folder)
    passed_over = read_tallies(folder).passed_over
    warn_of_unread(passed_over.by_cause(), passed_over.names)  # before an error about too few
    order = _split_order(shards, config)
    say(_splits_line(order, config))
    return _stored(shards, order, config, passed_over, work)


def analyse(
    train: ImageStore,
    scale: tuple[int, int],
    config: Configuration,
    options: PipelineOptions,
    output: Path,
    work: Path,
) -> None:
    """Writes tf.Transform's output for the training store; `scale` as in `Records`."""
    analysis = AnalyzeStore(
        train, config, output=str(output), temporary=str(work / "tft"), scale=scale
    )
    run(lambda pipeline: pipeline | analysis, options, "analysing", counter=RECORDS_ANALYSED)


def _split_order(shards: list[Shard], config: Configuration) -> SplitOrder:
    hashes, keys = _hashes(shards, ID), None
    training, fpr = config.training, config.scoring.fpr
    if config.is_grouped:
        keys = _hashes(shards, GROUP)
    try:
        sizes = _sizes(shards, len(hashes), keys, config)
        order = SplitOrder(hashes, sizes, keys)
        if min(order.sizes.values()) < splits.LEAST_RECORDS:
            raise InputError(
                f"{too_few(len(hashes), fpr)}; many share an id"
                if training.group is None
                else too_few_groups(order, training.group)
            )
    except InputError as error:
        lines = [str(error), rejected_advice(shards)]
        raise InputError("; ".join(line for line in lines if line)) from error
    check_calibration(_calibrating(order, config), config.scoring)
    return order


def _sizes(
    shards: list[Shard], records: int, keys: np.ndarray | None, config: Configuration
) -> dict[str, int]:
    """How many records each split gets. A split of tiles gets the tiles of the images that it would
    have: calibration uses complete images."""
    training, fpr = config.training, config.scoring.fpr
    shares = (training.validation_share, training.calibration_share, fpr)
    if config.image.tile is None or keys is None:
        return split_sizes(records, *shares)
    if training.group is None:
        return sizes_of_groups(keys, split_sizes(len(np.unique(keys)), *shares))
    names = (map(record_of, ids) for ids in record_ids(shards))
    images = len(np.unique(np.concatenate(list(map(id_hashes, names)))))
    sizes = split_sizes(images, *shares)
    held_out = {
        split: round(sizes[split] * records / images) for split in (VALIDATION, CALIBRATION)
    }
    return {TRAIN: records - sum(held_out.values()), **held_out}


def _calibrating(order: SplitOrder, config: Configuration) -> int:
    """The number of calibration images."""
    whole = config.image.tile is None or config.training.group is not None
    return (order.sizes if whole else order.groups)[CALIBRATION]


def check_calibration(records: int, scoring: ScoringConfig) -> str | None:
    """Advice if this number of calibration records is too small to flag anything.

    Raises:
      ConfigError: there are too few for `scoring.tail`.
    """
    if scoring.tail == "none":
        return none_flagged(records, scoring.fpr)
    if records < LEAST_RECORDS:
        raise ConfigError(
            f"scoring.tail 'pareto' needs {LEAST_RECORDS} calibration records: train on more "
            f"records, or raise training.calibration_share. Received: {records}"
        )
    return None


def _hashes(shards: list[Shard], column: str) -> np.ndarray:
    return np.concatenate([id_hashes([]), *map(id_hashes, record_ids(shards, column))])


def _splits_line(order: SplitOrder, config: Configuration) -> str:
    sizes, groups, fpr = order.sizes, order.groups, config.scoring.fpr
    grouped = config.training.group is not None
    of_tiles = config.image.tile is not None
    if of_tiles and not grouped:
        sizes = groups
    train, validate, calibrate = (
        f"{sizes[split]:,} of {groups[split]:,} groups" if grouped else f"{sizes[split]:,}"
        for split in SPLITS
    )
    what = "records"
    if of_tiles:
        what = f"tiles of images (at most {config.training.tiles} each)" if grouped else "images"
    line = f"{what}: {train} train, {validate} validate, {calibrate} calibrate"
    low, high = rate_interval(sizes[CALIBRATION], fpr)
    if high == 0 or grouped:  # records of a group are alike: the interval would be too narrow
        return line
    return (
        f"{line}: at fpr {fpr:g}, {low:.2%} to {high:.2%} of normal records will be flagged (with "
        "90% probability)"
    )


def _file(work: Path, *names: str) -> Path:
    return work / f"{'-'.join(names)}.npy"


class _Ids:
    """The ids of the calibration records, in the order of the store."""

    def __init__(self, count: int):
        self.ids = [""] * count

    def __call__(self, part: Part) -> None:
        if part.split == CALIBRATION:
            for place, name in zip(part.places.tolist(), part.ids, strict=True):
                self.ids[place] = name


def _stored(
    shards: list[Shard],
    order: SplitOrder,
    config: Configuration,
    passed_over: PassedOver,
    work: Path,
) -> Records:
    ids, levels = _Ids(order.sizes[CALIBRATION]), LevelCounts(config.image.dtype)
    fingerprints = Fingerprints(order)
    group = config.training.group
    stores = write_image_stores(
        {split: _file(work, split) for split in SPLITS},
        order,
        record_images(shards, config.image, grouped=config.is_grouped),
        [ids, levels, fingerprints],
    )
    if config.target:
        targets = write_image_stores(
            {split: _file(work, split, TARGET) for split in (TRAIN, VALIDATION)},
            order,
            record_images(shards, config.image, TARGET, grouped=config.is_grouped),
        )
        stores |= {split: ImageStore(stores[split].path, own) for split, own in targets.items()}
    seen = levels.levels()
    copies = fingerprints.copies(stores)
    facts = {"copies": {split: dataclasses.asdict(found) for split, found in copies.items()}}
    advice = [
        rejected_advice(shards),
        seen.advice() if config.preprocessing.scaling == "unit" else None,
        group_advice(order, group) if group is not None else None,
        # Tiles of background only are alike, whatever their image.
        *(found.advice(s) for s, found in copies.items() if config.image.tile is None),
    ]
    return Records(
        stores=stores,
        calibration_ids=ids.ids,
        rejected_by_reason=rejected_by_reason(shards),
        passed_over=passed_over,
        scale=seen.scale,
        facts=facts if group is None else {**facts, "groups": order.groups},
        advice=[line for line in advice if line],
    )
