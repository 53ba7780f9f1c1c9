"""p-values of known distributions: conformal, and beyond the data by a generalised Pareto tail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.calibration_file import write_calibration
from ae_models.calibration.p_values import conformal_p_values, least_rate, none_flagged
from ae_models.calibration.pareto_tail import ParetoTail, fit_pareto_tail
from ae_models.errors import ConfigError, StageError
from pipelines import cli
from pipelines.commands.train import train, train_configuration

EXPONENTIAL = stats.expon()
HEAVY = stats.pareto(2)  # excesses over any threshold are generalised Pareto with shape 1/2
BOUNDED = stats.uniform()
NORMAL = stats.norm()
SHAPES = {"exponential": EXPONENTIAL, "heavy": HEAVY, "bounded": BOUNDED, "normal": NORMAL}


def _draw(distribution: Any, size: int | tuple[int, int], seed: int) -> np.ndarray:
    return distribution.rvs(size=size, random_state=seed).astype(np.float32)


def _fitted(calibration: np.ndarray) -> ParetoTail:
    tail = fit_pareto_tail(calibration)
    assert tail is not None
    return tail


@pytest.mark.parametrize("decimals", [None, 1], ids=["continuous", "with ties"])
def test_conformal_p_values_are_ranks(decimals: int | None) -> None:
    calibration, scores = _draw(NORMAL, 300, 1), _draw(NORMAL, 100, 2)
    if decimals is not None:
        calibration, scores = np.round(calibration, decimals), np.round(scores, decimals)
    both = [-np.append(calibration, s).astype(float) for s in scores]  # SciPy ranks in their dtype
    ranks = [stats.rankdata(values, method="max")[-1] for values in both]
    p_values = conformal_p_values(scores, np.sort(calibration))
    np.testing.assert_array_equal(p_values, np.array(ranks) / 301)


def test_conformal_p_values_are_uniform() -> None:
    """Uniform over the steps of 1 / (n + 1), exactly, for fresh records and calibration records."""
    n, runs = 99, 5000
    draws = _draw(HEAVY, (runs, n + 1), 3)
    p_values = np.concatenate([conformal_p_values(d[:1], np.sort(d[1:])) for d in draws])
    spread = p_values - np.random.default_rng(4).uniform(size=runs) / (n + 1)
    assert stats.kstest(spread, "uniform").pvalue > 0.01


@pytest.mark.parametrize("name", ["exponential", "heavy"])
def test_extended_p_values_are_uniform(name: str) -> None:
    n, runs = 399, 5000
    generator, p_values = np.random.default_rng(5), []
    for draw in _draw(SHAPES[name], (runs, n + 1), 6):
        calibration = np.sort(draw[1:])
        tail = _fitted(calibration) if draw[0] > calibration[-1] else None
        p_values.append(conformal_p_values(draw[:1], calibration, tail)[0])
    steps = np.array(p_values)
    spread = steps - np.where(steps < 1 / (n + 1), 0, generator.uniform(size=runs) / (n + 1))
    assert stats.kstest(spread, "uniform").pvalue > 0.01


@pytest.mark.parametrize("name", SHAPES)
def test_extended_p_values_are_valid(name: str) -> None:
    """The greatest of n + 1 exceeds all others; its survival V has P(V ≤ v) = 1 − (1 − v)^(n + 1).

    P(p ≤ a) ≤ a below 1 / (n + 1) too, that is P(p ≤ a | the greatest) ≤ a (n + 1).
    """
    n, runs = 1000, 80
    drawn = np.sort(_draw(SHAPES[name], (runs, n + 1), 7))
    pairs = [(draw[-1:], draw[:-1], _fitted(draw[:-1])) for draw in drawn]
    survivals = np.concatenate([tail.p_values(record) for record, _, tail in pairs])
    uniform = 1 - (1 - survivals) ** (n + 1)
    assert stats.kstest(uniform, "uniform", alternative="greater").pvalue > 0.01
    p_values = np.concatenate([conformal_p_values(*pair) for pair in pairs])
    np.testing.assert_array_equal(p_values, np.minimum(survivals, 1 / (n + 1)))
    for share in (0.5, 0.2, 0.1):
        extreme = int(np.sum(p_values <= share / (n + 1)))
        assert stats.binomtest(extreme, runs, share, alternative="greater").pvalue > 0.01, share


@pytest.mark.parametrize("name", ["exponential", "heavy"])
def test_the_tail_is_the_true_survival_function(name: str) -> None:
    distribution = SHAPES[name]
    calibration = np.sort(_draw(distribution, 100_000, 7))
    survival = np.array([1e-5, 1e-6, 1e-7])
    scores = distribution.isf(survival).astype(np.float32)
    ratios = _fitted(calibration).p_values(scores) / survival
    assert np.all((ratios > 0.8) & (ratios < 8)), ratios
    assert ratios[0] < 2.5


@pytest.mark.parametrize("name", SHAPES)
def test_the_tail_is_the_likeliest_and_a_standard_error(name: str) -> None:
    calibration = np.sort(_draw(SHAPES[name], 1000, 8))
    tail = _fitted(calibration)
    excesses = np.sort(calibration.astype(np.float64))[-100:] - calibration[-101]
    assert (tail.threshold, tail.exceedances, tail.records) == (calibration[-101], 100, 1000)

    def likelihood(shape: float, scale: float) -> float:
        return float(stats.genpareto.logpdf(excesses, shape, scale=scale).sum())

    if tail.shape == 0:
        _, mean = stats.expon.fit(excesses, floc=0)
        assert tail.scale == pytest.approx(mean)
        return
    likeliest = (tail.shape - 0.1) / 1.1  # without the standard error, (1 + shape) / √100
    mean = excesses.mean()
    found = optimize.minimize(
        lambda point: -likelihood(point[0], mean * np.exp(point[1])),
        (0.5, 0.0),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10},
    )
    assert likelihood(likeliest, tail.scale) > -found.fun - 1e-5
    assert likelihood(tail.shape, tail.scale) > -found.fun - 1, "within a standard error"


def test_the_unit_of_the_scores_does_not_matter() -> None:
    calibration = np.sort(_draw(HEAVY, 1000, 9))
    tail, record = _fitted(calibration), np.float32([500])
    for unit in np.float32([2**-80, 2**80]):
        other = _fitted(calibration * unit)
        np.testing.assert_allclose(other.p_values(record * unit), tail.p_values(record))


def test_the_tail_takes_over_where_the_calibration_ends() -> None:
    calibration = np.sort(_draw(EXPONENTIAL, 1000, 10))
    tail = _fitted(calibration)
    greatest = calibration[-1]
    scores = np.float32([0, 1, greatest, np.nextafter(greatest, np.float32(99)), 20, 1e30, np.nan])
    plain, extended = (conformal_p_values(scores, calibration, t) for t in (None, tail))
    np.testing.assert_array_equal(extended[:3], plain[:3])
    assert extended[3] <= plain[3] == 1 / 1001
    expected = 0.1 * stats.genpareto.sf(20 - tail.threshold, tail.shape, scale=tail.scale)
    assert extended[4] == pytest.approx(expected)
    assert 0 < extended[5] < extended[4]
    assert np.isnan(extended[6])
    # A tail that is far too heavy leaves the conformal p-value; one that is too light, the p-values
    # within the data.
    fat = ParetoTail(float(calibration[899]), 50.0, 1.0, 100, 1000)
    thin = ParetoTail(float(calibration[899]), 0.0, 1e-3, 100, 1000)
    assert conformal_p_values(scores, calibration, fat)[3] == 1 / 1001
    np.testing.assert_array_equal(conformal_p_values(scores[:3], calibration, thin), plain[:3])


odd = st.tuples(
    st.sampled_from(["lognormal", "rounded", "one far off", "two scales", "offset", "equal"]),
    st.integers(0, 2**32 - 1),
    st.integers(300, 800),
)


def _odd_scores(kind: str, seed: int, n: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    power = generator.uniform(-30, 30)
    uniform = generator.uniform(size=n)
    match kind:
        case "lognormal":
            uniform = np.exp(generator.normal(size=n) * abs(power))
        case "rounded":
            uniform = np.round(5 * uniform)
        case "one far off":
            uniform = np.append(uniform[1:] * 10**power, 3e38)
        case "two scales":
            uniform[: n // 8] = 1 + 10 ** generator.uniform(-30, 30, n // 8)
        case "offset":
            uniform = 1e6 + uniform
        case "equal":
            uniform[n // 10 :] = 0
    return np.sort(np.clip(uniform, 0, 3e38).astype(np.float32))


@settings(deadline=None, max_examples=40)
@given(odd=odd)
def test_odd_scores_have_a_sane_tail_or_none(odd: tuple[str, int, int]) -> None:
    calibration = _odd_scores(*odd)
    tail = fit_pareto_tail(calibration)
    if tail is None:
        threshold = calibration[-1 - len(calibration) // 10]
        assert np.sum(calibration > threshold) < 30
        return
    above = calibration[-1] + np.append(0, np.geomspace(1e-5, 3e38, 100))
    scores = np.sort(np.clip(above, None, 3.4e38).astype(np.float32))
    p_values = conformal_p_values(scores, calibration, tail)
    assert p_values.dtype == np.float64
    assert np.all((p_values > 0) & (p_values <= 1))
    assert np.all(np.diff(p_values) <= 0), "a greater score never has a greater p-value"
    one_by_one = [conformal_p_values(scores[n : n + 1], calibration, tail) for n in range(101)]
    assert np.concatenate(one_by_one).tobytes() == p_values.tobytes()


def test_where_no_tail_can_be_fitted_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.sort(_draw(HEAVY, 300, 11))
    assert fit_pareto_tail(scores) is not None
    assert fit_pareto_tail(scores[1:]) is None
    assert fit_pareto_tail(scores[:0]) is None
    assert fit_pareto_tail(np.append(scores[1:], np.float32(np.inf))) is None
    assert fit_pareto_tail(np.append(scores[1:], np.float32(np.nan))) is None

    def fail(*args: Any, **options: Any) -> None:
        raise stats.FitError("on purpose")

    monkeypatch.setattr(stats.genpareto, "fit", fail)
    assert fit_pareto_tail(scores) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": -0.1}, "calibration.pareto_tail.shape must be at least 0. Received: -0.1"),
        ({"scale": 0.0}, "scale must be greater than 0"),
        ({"scale": np.nan}, "scale must be of type float"),
        ({"exceedances": 0}, "exceedances must be 1 to 100"),
        ({"exceedances": 101}, "exceedances must be 1 to 100.* Received: 101"),
    ],
)
def test_a_tail_that_is_none_is_refused(change: dict[str, Any], message: str) -> None:
    fine = {"threshold": 1.0, "shape": 0.1, "scale": 2.0, "exceedances": 10, "records": 100}
    ParetoTail(**fine)
    with pytest.raises(ConfigError, match=message):
        ParetoTail(**{**fine, **change})


class _FakeScorer:
    """Returns the pixels themselves as scores."""

    def score(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {"score": pixels, "score_a": 2 * pixels, "latent_mean": pixels}


@pytest.mark.parametrize("tail", ["none", "pareto"])
@pytest.mark.parametrize("decimals", [None, 0], ids=["continuous", "equal"])
def test_the_manifest_says_what_was_fitted(tmp_path: Path, tail: Any, decimals: int | None) -> None:
    scores = _draw(EXPONENTIAL, 500, 12)
    scores = scores if decimals is None else np.minimum(np.round(scores, decimals), 2)
    batches = [([f"r{n}" for n in range(500)], scores)]
    facts = write_calibration(tmp_path / "c.parquet", _FakeScorer(), batches, tail)  # type: ignore[arg-type]
    assert facts["records"] == 500
    fitted = fit_pareto_tail(np.sort(scores))
    assert (fitted is None) == (decimals == 0)
    expected = vars(fitted) if fitted and tail == "pareto" else None
    assert facts["pareto_tail"] == json.loads(json.dumps(expected))


def test_a_record_without_a_finite_score_calibrates_nothing(tmp_path: Path) -> None:
    scores = np.array([3.0, np.nan, 1.0, np.inf, 2.0], np.float32)
    ids = [f"r{n}" for n in range(5)]
    facts = write_calibration(tmp_path / "c.parquet", _FakeScorer(), [(ids, scores)])  # type: ignore[arg-type]
    assert (facts["records"], facts["not_finite"], facts["known_to"]) == (3, 2, [])
    assert (facts["minimum"], facts["median"], facts["maximum"]) == (1.0, 2.0, 3.0)
    kept = pq.read_table(tmp_path / "c.parquet").to_pandas().set_index("id")["score"]
    assert kept.to_dict() == {"r0": 3.0, "r2": 1.0, "r4": 2.0}
    with pytest.raises(StageError, match="none of the 1 calibration records has a finite score"):
        write_calibration(tmp_path / "d.parquet", _FakeScorer(), [(["r1"], scores[1:2])])  # type: ignore[arg-type]


_SETTINGS = ["model.network=dense", "model.latent_dim=4", "scoring.tail=pareto"]


@pytest.fixture(scope="module")
def tailed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a tail, trained on all digits but one."""
    path = tmp_path_factory.mktemp("tailed") / "bundle"
    overrides = [*_SETTINGS, "training.calibration_share=0.3", "scoring.fpr=0.001"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    train(["builtin:digits"], config, str(path), where=["label!=0"])
    return path


def test_a_run_says_that_its_p_values_were_extended(
    tailed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, run = open_bundle(tailed), tmp_path / "run"
    calibration = opened.calibration_scores()
    tail = opened.pareto_tail()
    assert tail == fit_pareto_tail(calibration)
    noise = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x=noise, y=np.full(50, 10))
    arguments = ["--input", "builtin:digits", str(tmp_path / "noise.npz")]
    arguments += ["--model", str(tailed), "--output", str(run)]
    with pytest.raises(SystemExit):
        cli.main(["score", *arguments])
    out = capsys.readouterr().out
    assert "extrapolated by a generalised Pareto tail" in out
    ledger = json.loads((run / "run.json").read_text())
    assert ledger["model"]["pareto_tail"] == opened.manifest["calibration"]["pareto_tail"]
    table = pq.read_table(run / "scores")
    p_values, scores = table["p_value"].to_numpy(), table["score"].to_numpy()
    beyond = scores > calibration[-1]
    smallest = 1 / (len(calibration) + 1)
    assert 0 < beyond.sum() < len(beyond)
    assert np.all(p_values[~beyond] > smallest)
    assert p_values[beyond].min() < smallest / 10
    excesses = scores[beyond].astype(float) - tail.threshold
    by_scipy = stats.genpareto.sf(excesses, tail.shape, scale=tail.scale)
    share = np.sum(calibration > tail.threshold) / len(calibration)
    np.testing.assert_allclose(p_values[beyond], np.minimum(share * by_scipy, smallest))
    np.testing.assert_array_equal(table["is_anomaly"].to_numpy(), p_values <= 0.001)


def test_inspect_shows_the_tail(tailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["inspect", str(tailed)])
    out = capsys.readouterr().out
    assert "pareto_tail:\n" in out
    assert f"shape: {open_bundle(tailed).manifest['calibration']['pareto_tail']['shape']}" in out


def test_a_bundle_without_a_tail_has_none(bundle: Callable[[str], Path]) -> None:
    assert open_bundle(bundle("ae")).manifest["calibration"]["pareto_tail"] is None
    assert open_bundle(bundle("ae")).pareto_tail() is None


def test_too_few_records_for_a_tail_are_refused_before_training(tmp_path: Path) -> None:
    config = train_configuration("ae", overrides=_SETTINGS)
    with pytest.raises(ConfigError, match=r"needs 300 calibration records: .*Received: 1\d\d"):
        train(["builtin:digits"], config, str(tmp_path / "m"))
    assert list(tmp_path.iterdir()) == []


def test_a_tail_that_cannot_be_fitted_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.training.records.LEAST_RECORDS", 8)  # fewer than the fit accepts
    config = train_configuration("ae", overrides=_SETTINGS, flags={"epochs": 1})
    train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1"])
    assert "warning: no generalised Pareto tail fits" in capsys.readouterr().err
    assert open_bundle(tmp_path / "m").pareto_tail() is None


@pytest.mark.parametrize("records", [1, 8, 9, 70, 99, 162, 999, 12_345])
def test_the_least_rate_is_one_that_flags(records: int) -> None:
    rate = least_rate(records)
    assert none_flagged(records, rate) is None
    assert 1 / (records + 1) <= rate <= 1.1 / (records + 1)
    assert rate == float(f"{rate:.2g}")
