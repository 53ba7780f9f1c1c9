"""Numbers that Python is given are held to what the flags are, with the value in the message."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ae_models import (
    ConfigError,
    ImageConfig,
    ScoringConfig,
    TrainingConfig,
    build_model,
)
from ae_models.calibration.false_discovery import benjamini_hochberg
from ae_models.config.configuration import configuration_from_mapping
from ae_models.latents.classes.model import ClassModel
from ae_models.latents.clustering.model import ClusteringConfig
from pipelines.commands.classify import ClassConfig
from pipelines.commands.cluster import cluster
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.explore.records import Choice
from pipelines.report.command import report
from transforms import (
    AutoencoderModelHandler,
    BatchLimits,
    DecodeImages,
    RejectLimit,
    ScoreImages,
    ScoreImagesByCategory,
    ShardLimits,
)
from transforms.reading.sample_ids import choose_ids
from transforms.results.assign_classes import AssignClasses
from transforms.results.reader import sample_rows
from transforms.training.prepare import DecodeToShards

_IMAGE = ImageConfig(height=8, width=8, channels=1, bits=8)
_CONFIG = configuration_from_mapping({"model": {"kind": "ae"}})
_LATENTS = np.zeros((40, 2), np.float32)
_NO_RATES = (7, 0, 1, -0.1, math.nan, math.inf, "often")
_NO_COUNTS = (0, -1, 1.5, math.nan, math.inf, True, "many")
_NO_SEEDS = (-1, 0.5, "x")

_RATES: dict[str, Callable[[Any], Any]] = {
    "ScoreImages": lambda v: ScoreImages("b", fpr=v),
    "ScoreImagesByCategory": lambda v: ScoreImagesByCategory({"a": "b"}, "c", fpr=v),
    "AutoencoderModelHandler": lambda v: AutoencoderModelHandler("b", fpr=v),
    "AssignClasses": lambda v: AssignClasses("model.npz", fpr=v),
    "ScoringConfig": lambda v: ScoringConfig(fpr=v),
    "ClassConfig": lambda v: ClassConfig(fpr=v),
    "ClassModel.fit": lambda v: ClassModel.fit(_LATENTS, None, ["a"] * 40, held_out=v),
    "benjamini_hochberg": lambda v: benjamini_hochberg(lambda: [np.ones(1)], 1, v),
    "score": lambda v: score(["builtin:digits"], "b", "o", fpr=v),
    "relabel --fpr": lambda v: relabel("run", "o", fpr=v),
    "relabel --fdr": lambda v: relabel("run", "o", fdr=v),
}
_COUNTS: dict[str, Callable[[Any], Any]] = {
    "ScoreImages": lambda v: ScoreImages("b", decoding_threads=v),
    "ScoreImagesByCategory": lambda v: ScoreImagesByCategory(
        {"a": "b"}, "c", max_models_per_worker=v
    ),
    "AutoencoderModelHandler": lambda v: AutoencoderModelHandler("b", max_rows=v),
    "DecodeImages rows": lambda v: DecodeImages(_IMAGE, v),
    "DecodeImages threads": lambda v: DecodeImages(_IMAGE, 1, threads=v),
    "DecodeToShards": lambda v: DecodeToShards(_CONFIG, "f", v),
    "BatchLimits": lambda v: BatchLimits(rows=v),
    "ShardLimits": lambda v: ShardLimits(file_rows=v),
    "TrainingConfig": lambda v: TrainingConfig(batch_size=v),
    "ImageConfig": lambda v: ImageConfig(height=v),
    "ClassConfig": lambda v: ClassConfig(components=v),
    "ClassModel.fit": lambda v: ClassModel.fit(_LATENTS, None, ["a"] * 40, components=v),
    "ClusteringConfig": lambda v: ClusteringConfig(clusters=v),
    "cluster": lambda v: cluster("run", "o", sample=v),
    "report": lambda v: report("run", "b", "o.html", anomalies=v),
    "score": lambda v: score(["builtin:digits"], "b", "o", checkpoint_every=v),
    "sample_rows": lambda v: sample_rows("run", [], count=v, seed=0),
    "choose_ids": lambda v: choose_ids(["builtin:digits"], v, 0),
    "build_model": lambda v: build_model(_CONFIG.model, (8, 8, v)),
    "explore": lambda v: Choice(["builtin:digits"], count=v),
}
_SEEDS: dict[str, Callable[[Any], Any]] = {
    "TrainingConfig": lambda v: TrainingConfig(seed=v),
    "build_model": lambda v: build_model(_CONFIG.model, (8, 8, 1), v),
    "ClassConfig": lambda v: ClassConfig(seed=v),
    "ClassModel.fit": lambda v: ClassModel.fit(_LATENTS, None, ["a"] * 40, seed=v),
    "ClusteringConfig": lambda v: ClusteringConfig(seed=v),
    "cluster": lambda v: cluster("run", "o", seed=v),
    "report": lambda v: report("run", "b", "o.html", seed=v),
    "explore": lambda v: Choice(["builtin:digits"], seed=v),
}


def _refused(call: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        call(value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("value", _NO_RATES)
@pytest.mark.parametrize("name", _RATES)
def test_rates_are_between_0_and_1(name: str, value: Any) -> None:
    if name == "ClassModel.fit" and value == 0:  # nothing is held out
        _RATES[name](value)
    else:
        _refused(_RATES[name], value)


@pytest.mark.parametrize("value", _NO_COUNTS)
@pytest.mark.parametrize("name", _COUNTS)
def test_counts_are_whole_numbers_of_at_least_1(name: str, value: Any) -> None:
    _refused(_COUNTS[name], value)


@pytest.mark.parametrize("value", _NO_SEEDS)
@pytest.mark.parametrize("name", _SEEDS)
def test_seeds_are_whole_numbers_of_at_least_0(name: str, value: Any) -> None:
    _refused(_SEEDS[name], value)


@pytest.mark.parametrize("value", [-1, 1.5, math.nan, True, "many"])
def test_rejects_are_counted_in_whole_numbers(value: Any) -> None:
    _refused(lambda count: RejectLimit(count=count), value)
