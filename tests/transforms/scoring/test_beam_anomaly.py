"""Model bundles as detectors for Beam's `ml.anomaly`, and the threshold equivalent to their fpr."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.ml.anomaly.aggregations import AnyVote
from apache_beam.ml.anomaly.base import AnomalyResult, EnsembleAnomalyDetector
from apache_beam.ml.anomaly.transforms import AnomalyDetection
from apache_beam.testing.util import assert_that
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ae_models.calibration.p_values import conformal_p_values, score_threshold
from ae_models.calibration.pareto_tail import ParetoTail, fit_pareto_tail
from ae_models.errors import BundleError
from transforms.beam_yaml.transforms import ReadImages
from transforms.scoring.beam_anomaly import bundle_detector

Bundles = Callable[[str], Path]
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def _check(calibration: np.ndarray, fpr: float, tail: ParetoTail | None, scores: Any) -> float:
    """Returns the threshold, after checking that it flags exactly the scores that p-values flag."""
    threshold = score_threshold(calibration, fpr, tail)
    around = [np.nextafter(np.float32(threshold), np.float32(side)) for side in (-np.inf, np.inf)]
    scores = np.float32([*scores, *calibration, *around, threshold])
    scores = scores[np.isfinite(scores)]
    by_p_value = conformal_p_values(scores, calibration, tail) <= fpr
    assert np.array_equal(scores.astype(np.float64) >= threshold, by_p_value)
    return threshold


@settings(deadline=None)
@given(
    st.lists(FINITE, min_size=1, max_size=40),
    st.lists(FINITE, max_size=20),
    st.floats(0.001, 0.999),
)
def test_the_threshold_flags_what_p_values_flag(
    calibration: list[float], scores: list[float], fpr: float
) -> None:
    _check(np.sort(np.float32(calibration)), fpr, None, scores)


def test_thresholds_that_can_be_told_by_hand() -> None:
    calibration = np.float32([1, 2, 2, 3])
    above = lambda value: float(np.nextafter(np.float32(value), np.float32(np.inf)))  # noqa: E731
    assert score_threshold(calibration, 0.2) == above(3)  # (1 + 0) / 5
    assert score_threshold(calibration, 0.4) == above(2)  # (1 + 1) / 5; (1 + 3) / 5 at 2
    assert score_threshold(calibration, 0.19) == math.inf
    assert score_threshold(calibration, 1.0) == -np.finfo(np.float32).max


@pytest.mark.parametrize("fpr", [0.2, 0.01, 1e-3, 1e-4, 1e-7])
def test_a_tail_moves_the_threshold_beyond_the_data(fpr: float) -> None:
    calibration = np.sort(np.random.default_rng(0).exponential(size=500).astype(np.float32))
    tail = fit_pareto_tail(calibration)
    threshold = _check(calibration, fpr, tail, np.linspace(0, 200, 1001))
    assert (threshold > calibration[-1]) == (fpr < 1 / 501)
    assert math.isfinite(threshold)


def _results(rows: beam.PCollection, detector: Any, check: Callable[[list], None]) -> None:
    assert_that(rows | AnomalyDetection(detector), check)


@pytest.mark.parametrize("kind", ["ae", "vae"])
def test_scores_and_labels_are_those_of_the_command(
    bundle: Bundles, digits_run: Callable[..., Path], kind: str
) -> None:
    table = pq.read_table(digits_run(kind) / "scores")
    columns = (table[name].to_pylist() for name in ("id", "score", "p_value", "is_anomaly"))
    expected = {row[0]: row[1:] for row in zip(*columns, strict=True)}

    def check(results: list[AnomalyResult]) -> None:
        found = {}
        for result in results:
            (prediction,) = result.predictions
            p_value = json.loads(prediction.info)["p_value"]
            found[result.example.id] = (prediction.score, p_value, bool(prediction.label))
            assert prediction.model_id == "latentbeam"
        assert found == expected
        assert 0 < sum(flag for *_, flag in found.values()) < len(found)

    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | ReadImages(["builtin:digits"])
        _results(rows, bundle_detector(str(bundle(kind))), check)


def test_a_record_without_a_score_keeps_its_result(bundle: Bundles, tmp_path: Path) -> None:
    digit = bytes(64)
    rows = [
        beam.Row(id="good", image=digit, image_shape=[8, 8, 1], image_dtype="uint8"),
        beam.Row(id="short", image=digit[1:], image_shape=[8, 8, 1], image_dtype="uint8"),
        beam.Row(id="encoded", image=b"no image", image_shape=None, image_dtype=None),
        beam.Row(id="none", image=None, image_shape=None, image_dtype=None),
    ]

    def check(results: list[AnomalyResult]) -> None:
        found = {}
        for result in results:
            (prediction,) = result.predictions
            info = json.loads(prediction.info)
            found[result.example.id] = (prediction.label, info.get("reason"))
        assert found.pop("good")[0] in (0, 1)
        assert found == {
            "short": (None, "wrong_shape"),
            "encoded": (None, "not_an_image"),
            "none": (None, "no_image"),
        }

    with beam.Pipeline("FnApiRunner") as pipeline:
        _results(pipeline | beam.Create(rows), bundle_detector(str(bundle("ae"))), check)


def test_rows_need_nothing_but_an_image_and_may_have_keys(bundle: Bundles) -> None:
    file = io.BytesIO()
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(file, "png")
    image = file.getvalue()

    def check(results: list[tuple[str, AnomalyResult]]) -> None:
        ((key, result),) = results
        assert key == "line 3"
        assert result.example.image == image
        assert result.predictions[0].label in (0, 1)

    with beam.Pipeline("FnApiRunner") as pipeline:
        keyed = pipeline | beam.Create([("line 3", beam.Row(image=image))])
        typed = keyed | beam.Map(lambda pair: pair).with_output_types(tuple[str, beam.Row])
        _results(typed, bundle_detector(str(bundle("ae"))), check)


def test_bundles_vote_in_an_ensemble(bundle: Bundles) -> None:
    detectors = [
        bundle_detector(str(bundle(kind)), fpr=0.2, model_id=kind) for kind in ("ae", "vae")
    ]

    def check(results: list[AnomalyResult]) -> None:
        assert len(results) == 182
        labels = [result.predictions[0].label for result in results]
        assert set(labels) == {0, 1}

    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | ReadImages(["builtin:digits"], where=["label=1"])  # trained on: some pass
        ensemble = EnsembleAnomalyDetector(detectors, aggregation_strategy=AnyVote())
        _results(rows, ensemble, check)


def test_a_bundle_that_is_not_there_is_refused() -> None:
    with pytest.raises(BundleError, match="no such model bundle"):
        bundle_detector("nowhere")
