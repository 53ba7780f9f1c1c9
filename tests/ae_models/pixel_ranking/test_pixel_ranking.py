"""Rankings of pixels against scikit-learn, SciPy and their literal definitions."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import precision_recall_curve, roc_auc_score

from ae_models.pixel_ranking.counts import ImagePixels, PixelCounts
from ae_models.pixel_ranking.half_floats import CODES, codes, half_float
from ae_models.pixel_ranking.measures import Aupimo, aupro, best_f1, pixel_auroc

Image = tuple[np.ndarray, np.ndarray | None]  # a map, and the mask of anomalous pixels


def _blobs(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A mask of a few regions, some of which touch only at a corner."""
    mask = ndimage.gaussian_filter(generator.normal(size=shape), 2.0)
    mask = mask > np.quantile(mask, 0.93)
    mask[:2, :2] = np.eye(2, dtype=bool)
    return np.asarray(mask)


def _images(seed: int, levels: int | None = None) -> list[Image]:
    """Maps of several sizes, in which anomalous pixels are greater on average; half floats with
    `levels` levels. Images at odd indices are normal."""
    generator = np.random.default_rng(seed)
    images: list[Image] = []
    for number, shape in enumerate([(24, 30), (40, 17), (33, 33), (20, 50), (28, 28)]):
        mask = None if number % 2 else _blobs(shape, generator)
        values = generator.normal(size=shape) + (0.0 if mask is None else 1.2 * mask)
        if levels is not None:
            values = np.round(values * levels / 8)
        images.append((values.astype(np.float16), mask))
    return images


def _counted(images: Sequence[Image]) -> PixelCounts:
    counts = PixelCounts()
    for values, mask in images:
        counts.add(ImagePixels.of(values, mask))
    return counts


def _flat(images: Sequence[Image]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of all images are anomalous, and their values."""
    masks = [np.zeros(v.shape, bool) if mask is None else mask for v, mask in images]
    truth = np.concatenate([mask.reshape(-1) for mask in masks])
    return truth, np.concatenate([values.reshape(-1) for values, _ in images])


# Half floats in order.

_HALVES = st.floats(width=16, allow_nan=False)


@given(st.lists(_HALVES, min_size=2, max_size=20))
def test_codes_are_in_the_order_of_half_floats(values: list[float]) -> None:
    halves = np.array(values, np.float16)
    found = codes(halves).astype(int)
    order = np.sign(found[:, None] - found)
    np.testing.assert_array_equal(
        order, (halves[:, None] > halves) * 1 - (halves[:, None] < halves)
    )


@given(st.lists(st.floats(-60_000, 60_000, width=32), min_size=1, max_size=20))
def test_single_floats_have_the_code_of_the_half_float_that_is_nearest(values: list[float]) -> None:
    singles = np.array(values, np.float32).reshape(1, -1)
    found = codes(singles)
    assert (found.dtype, found.shape) == (np.uint16, singles.shape)
    np.testing.assert_array_equal(found, codes(singles.astype(np.float16)))
    values_of_codes = np.array([half_float(int(code)) for code in found[0]])
    np.testing.assert_array_equal(values_of_codes, singles[0].astype(np.float16))


def test_every_half_float_has_a_code_that_is_its_own() -> None:
    halves = np.arange(CODES, dtype=np.uint16).view(np.float16)
    numbers = np.unique(halves[~np.isnan(halves)])  # in order, with 0 once
    found = codes(numbers).astype(int)
    assert (np.diff(found) > 0).all()
    assert found.min() > 0, "0 is left for what is no number"
    np.testing.assert_array_equal([half_float(code) for code in found.tolist()], numbers)


def test_minus_zero_is_zero_and_what_is_no_number_is_least() -> None:
    assert codes(np.float16([-0.0])) == codes(np.float16([0.0]))
    for bits in (0x7E00, 0xFE00, 0xFFFF):
        assert codes(np.array([bits], np.uint16).view(np.float16)).tolist() == [0]
    assert codes(np.float32([np.nan])).tolist() == [0]
    infinite = codes(np.float16([-np.inf, -65504, 65504, np.inf])).tolist()
    assert infinite == sorted(infinite)
    assert infinite[0] > 0
    assert half_float(infinite[0]) == -np.inf
    assert half_float(infinite[-1]) == np.inf
    assert np.isnan(half_float(0))


# Counts.


def test_every_pixel_is_counted_once() -> None:
    images = _images(0)
    truth, values = _flat(images)
    counts = _counted(images)
    for found, ours in ((counts.anomalous, values[truth]), (counts.normal, values[~truth])):
        known, count = np.unique(ours, return_counts=True)
        np.testing.assert_array_equal(found[codes(known)], count)
        assert found.sum() == len(ours)
    assert (counts.images, counts.normal_images) == (5, 2)
    assert counts.overlap.sum() == pytest.approx(counts.regions)
    assert counts.usual.sum() == pytest.approx(2.0)


def test_regions_may_touch_at_a_corner() -> None:
    diagonal = np.eye(6, dtype=bool)
    assert ImagePixels.of(np.zeros((6, 6), np.float16), diagonal).regions == 1
    apart = diagonal.copy()
    apart[3, 3] = False
    assert ImagePixels.of(np.zeros((6, 6), np.float16), apart).regions == 2
    both = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    found = ImagePixels.of(np.float16(np.arange(16)).reshape(4, 4), both)
    # A region of four pixels, each a quarter of it, and a region of one.
    shares = {value: found.overlap[codes(np.float16([value]))[0]] for value in (0, 1, 6, 7, 12)}
    assert shares == {0: 0.25, 1: 0.25, 6: 0.25, 7: 0.25, 12: 1.0}


def test_an_empty_mask_is_that_of_a_normal_image() -> None:
    values = _images(0)[0][0]
    one, other = (ImagePixels.of(values, mask) for mask in (None, np.zeros(values.shape, bool)))
    for name, part in vars(one).items():
        np.testing.assert_array_equal(part, getattr(other, name))
    assert one.regions == 0
    assert _counted([(values, np.zeros(values.shape, bool))]).normal_images == 1


@pytest.mark.parametrize("cut", [0, 2, 5])
def test_counts_of_two_bands_are_those_of_all(cut: int) -> None:
    images = _images(1)
    merged = _counted(images[:cut]).merged(_counted(images[cut:]))
    for name, part in vars(_counted(images)).items():
        np.testing.assert_allclose(getattr(merged, name), part, rtol=1e-12, err_msg=name)


def test_merging_changes_neither() -> None:
    one, other = _counted(_images(1)[:2]), _counted(_images(1)[2:])
    one.merged(other).add(ImagePixels.of(*_images(2)[0]))
    for counts, images in ((one, _images(1)[:2]), (other, _images(1)[2:])):
        for name, part in vars(_counted(images)).items():
            np.testing.assert_array_equal(getattr(counts, name), part)


def test_the_memory_of_counts_does_not_depend_on_images() -> None:
    def size(counts: PixelCounts) -> int:
        return sum(np.asarray(part).nbytes for part in vars(counts).values())

    empty = size(PixelCounts())
    assert empty < (2 << 20) + 100
    assert size(_counted(_images(0))) == size(_counted(_images(0) * 5)) == empty
    large = ImagePixels.of(np.zeros((600, 700), np.float16), np.ones((600, 700), bool))
    small = ImagePixels.of(np.zeros((2, 3), np.float16), None)
    sizes = [
        sum(np.asarray(part).nbytes for part in vars(image).values()) for image in (large, small)
    ]
    assert sizes[0] == sizes[1]


# Measures.


@pytest.mark.parametrize("levels", [None, 100, 6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_auroc_is_that_of_scikit_learn(seed: int, levels: int | None) -> None:
    images = _images(seed, levels)
    found, error = pixel_auroc(_counted(images))
    assert found == pytest.approx(roc_auc_score(*_flat(images)), abs=1e-12)
    assert 0 <= error < 0.5


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(1e-4, 1e-1), st.floats(0, 1000))
def test_rounding_moves_auroc_by_no_more_than_is_said(
    seed: int, spread: float, offset: float
) -> None:
    """If all values are close to each other relative to their distance from 0, many of them become
    one half float."""
    generator = np.random.default_rng(seed)
    mask = generator.random((30, 40)) < 0.2
    values = (offset + spread * (generator.normal(size=mask.shape) + mask)).astype(np.float32)
    found, error = pixel_auroc(_counted([(values, mask)]))
    expected = roc_auc_score(mask.reshape(-1), values.reshape(-1))
    assert abs(found - expected) <= error + 1e-12


def test_the_error_of_auroc_is_half_of_the_ties() -> None:
    """All pixels are one half float: any order of them might be the true one."""
    mask = np.arange(100).reshape(10, 10) < 30
    for sign, true in ((1, 1.0), (-1, 0.0)):
        values = np.float32(100 + sign * 1e-4 * mask)
        assert roc_auc_score(mask.reshape(-1), values.reshape(-1)) == true
        assert pixel_auroc(_counted([(values, mask)])) == pytest.approx((0.5, 0.5))


def _aupro(images: Sequence[Image], limit: float) -> float:
    """One threshold at a time, and one region at a time."""
    truth, values = _flat(images)
    regions = [
        image[labels == number]
        for image, mask in images
        if mask is not None
        for labels, count in [ndimage.label(mask, np.ones((3, 3)))]
        for number in range(1, count + 1)
    ]
    points = [(0.0, 0.0)]
    for threshold in np.unique(values)[::-1]:
        rate = (values[~truth] >= threshold).mean()
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append((float(rate), float(overlap)))
    area = 0.0
    for (start, low), (end, high) in pairwise(points):
        if start < limit:
            reached = min(end, limit)
            share = 1.0 if end == start else (reached - start) / (end - start)
            area += (reached - start) * (low + low + (high - low) * share) / 2
    return area / limit


@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
@pytest.mark.parametrize(("seed", "levels"), [(0, None), (1, 60), (2, 5)])
def test_aupro_is_the_overlap_of_regions_up_to_a_rate(
    seed: int, levels: int | None, limit: float
) -> None:
    images = _images(seed, levels)
    assert aupro(_counted(images), limit) == pytest.approx(_aupro(images, limit), abs=1e-9)


@pytest.mark.parametrize("limit", [0.3, 0.05])
def test_aupro_of_a_map_that_knows_all_nothing_or_the_opposite(limit: float) -> None:
    mask = _images(0)[0][1]
    assert mask is not None
    assert aupro(_counted([(mask.astype(np.float16), mask)]), limit) == pytest.approx(1.0)
    # A straight line from (0, 0) to (1, 1): the area up to L is L² / 2.
    nothing = aupro(_counted([(np.ones(mask.shape, np.float16), mask)]), limit)
    assert nothing == pytest.approx(limit / 2)
    assert aupro(_counted([(-mask.astype(np.float16), mask)]), limit) == pytest.approx(0.0)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((30, 30), bool)
    mask[2, 2] = mask[10:28, 10:28] = True
    found = mask.astype(np.float16)
    for missed, rest in (((2, 2), 0.5), ((slice(10, 28), slice(10, 28)), 0.5)):
        values = found.copy()
        values[missed] = -1.0
        assert aupro(_counted([(values, mask)]), 0.3) == pytest.approx(rest)


@pytest.mark.parametrize("levels", [None, 100, 6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_f1_is_that_of_scikit_learn(seed: int, levels: int | None) -> None:
    images = _images(seed, levels)
    truth, values = _flat(images)
    precision, recall, _ = precision_recall_curve(truth, values)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    best = best_f1(_counted(images))
    assert best.f1 == pytest.approx(f1.max(), abs=1e-12)
    # The reported measures are those of the reported threshold.
    taken = values >= best.threshold
    hits = (taken & truth).sum()
    assert best.precision == pytest.approx(hits / taken.sum())
    assert best.recall == pytest.approx(hits / truth.sum())
    assert best.f1 == pytest.approx(2 * hits / (taken.sum() + truth.sum()))
    assert best.threshold in values


def test_the_best_f1_of_a_perfect_map_and_of_a_constant_one() -> None:
    mask = np.arange(100).reshape(10, 10) < 20
    perfect = best_f1(_counted([(np.where(mask, 3.5, -2.0).astype(np.float16), mask)]))
    assert perfect[:3] == (1.0, 1.0, 1.0)
    assert -2.0 < perfect.threshold <= 3.5
    constant = best_f1(_counted([(np.full(mask.shape, -7.0, np.float16), mask)]))
    assert constant[:3] == pytest.approx((2 * 20 / 120, 0.2, 1.0))
    assert constant.threshold <= -7.0


# AUPIMO.


def _normal_maps(seed: int) -> list[np.ndarray]:
    """Maps of different sizes, since each image's rate has the same weight."""
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype(np.float16) for shape in [(150, 200), (40, 60)]]


def _aupimo(
    normal: list[np.ndarray], image: np.ndarray, mask: np.ndarray, bounds: tuple[float, float]
) -> float:
    """The mean of recalls at rates that are evenly spaced on a logarithmic axis, each the greatest
    of any threshold with at most that rate."""
    thresholds = np.unique(np.concatenate([m.reshape(-1) for m in (*normal, image)]))[::-1]

    def shares(values: np.ndarray) -> np.ndarray:
        """The share at or above each threshold."""
        return 1 - np.searchsorted(np.sort(values.reshape(-1)), thresholds) / values.size

    rates = np.mean([shares(values) for values in normal], axis=0)
    recalls = np.append(0.0, shares(image[mask]))
    count = 100_000
    middles = (np.arange(count) + 0.5) / count
    grid = bounds[0] * (bounds[1] / bounds[0]) ** middles
    return float(recalls[np.searchsorted(rates, grid, side="right")].mean())


@pytest.mark.parametrize("bounds", [(1e-5, 1e-4), (1e-3, 1e-1), (0.2, 0.9)])
@pytest.mark.parametrize(("seed", "step"), [(0, None), (1, None), (2, 0.5)])
def test_aupimo_is_an_integral_over_the_logarithm_of_rates(
    seed: int, step: float | None, bounds: tuple[float, float]
) -> None:
    def stepped(values: np.ndarray) -> np.ndarray:
        """With few levels, each of which has many pixels of both kinds."""
        return values if step is None else (np.round(values / step) * step).astype(np.float16)

    normal = [stepped(values) for values in _normal_maps(seed)]
    counts = _counted([(values, None) for values in normal])
    aupimo = Aupimo(counts, bounds)
    for values, mask in _images(seed)[::2]:
        assert mask is not None
        raised = stepped((values + np.float16(2) * mask).astype(np.float16))
        expected = _aupimo(normal, raised, mask, bounds)
        found = aupimo.of(ImagePixels.of(raised, mask))
        assert found == pytest.approx(expected, abs=1e-3)
        assert 0 < found <= 1


def test_aupimo_takes_the_rates_of_its_authors_where_none_are_named() -> None:
    normal = _normal_maps(3)
    counts = _counted([(values, None) for values in normal])
    values, mask = _images(3)[0]
    assert mask is not None
    image = ImagePixels.of((values + np.float16(3) * mask).astype(np.float16), mask)
    assert Aupimo(counts).of(image) == Aupimo(counts, (1e-5, 1e-4)).of(image)
    assert Aupimo(counts).of(image) != Aupimo(counts, (1e-4, 1e-3)).of(image)


def test_aupimo_of_what_lies_above_all_normal_pixels_below_them_and_halfway() -> None:
    counts = _counted([(values, None) for values in _normal_maps(0)])
    mask = np.arange(100).reshape(10, 10) < 20
    half = np.arange(100).reshape(10, 10) < 10

    def of(anomalous: np.ndarray, level: float = 100.0) -> float:
        # Its own normal pixels do not count, however great they are.
        values = np.where(mask, anomalous, level).astype(np.float16)
        return Aupimo(counts).of(ImagePixels.of(values, mask))

    assert of(np.full(mask.shape, 50.0)) == pytest.approx(1.0)
    assert of(np.full(mask.shape, -50.0)) == 0.0
    assert of(np.where(half, 50.0, -50.0)) == pytest.approx(0.5)
    # The greatest normal pixel is counted with its ties: there is none at any lower rate.
    greatest = max(float(values.max()) for values in _normal_maps(0))
    rate = np.mean([(values >= greatest).mean() for values in _normal_maps(0)])
    assert 1e-5 < rate < 1e-4
    assert of(np.full(mask.shape, greatest)) == pytest.approx(-4 - np.log10(rate))


def test_aupimo_knows_the_normal_pixels_of_normal_images_alone() -> None:
    normal: list[Image] = [(values, None) for values in _normal_maps(0)]
    values, mask = _images(0)[0]
    image = ImagePixels.of(values, mask)
    loud: Image = (np.full((30, 30), 60.0, np.float16), np.eye(30, dtype=bool))
    bounds = (1e-3, 1e-1)
    alone, beside = (
        Aupimo(_counted(images), bounds).of(image) for images in (normal, [*normal, loud])
    )
    assert alone == beside
