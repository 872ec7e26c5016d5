import itertools
import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from prunability import statistics
from prunability.statistics import (
    Estimate,
    adjusted_r2,
    granulated_taus,
    interval,
    kendall_tau,
    pair_signs,
    partial_tau_estimate,
    partial_taus,
    resample_counts,
    tau_difference,
    tau_estimate,
    tau_estimates,
    taus,
)

columns = st.integers(2, 25).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-3, 3), min_size=n, max_size=n)] * 2)
)


def slow_tau(x: Iterable[float], y: Iterable[float]) -> float:
    x, y = [float(value) for value in x], [float(value) for value in y]
    agree = x_pairs = y_pairs = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        a, b = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
        agree, x_pairs, y_pairs = agree + a * b, x_pairs + a * a, y_pairs + b * b
    return agree / math.sqrt(x_pairs * y_pairs) if x_pairs and y_pairs else math.nan


@given(columns)
def test_tau_with_ties(pair: tuple[list[float], list[float]]) -> None:
    x, y = pair
    assert kendall_tau(x, y) == pytest.approx(slow_tau(x, y), nan_ok=True)
    assert kendall_tau(x, y) == pytest.approx(float(kendalltau(x, y).statistic), nan_ok=True)


@settings(deadline=None)
@given(columns, st.integers(0, 1000))
def test_resampled_tau_is_tau_of_the_resampled_columns(pair: tuple[list[float], list[float]], seed: int) -> None:
    x, y = pair
    counts = resample_counts(len(x), seed, resamples=5)
    assert (counts.sum(axis=1) == len(x)).all()
    found = taus(x, y, counts)[:, 0, 0]
    for value, count in zip(found, counts, strict=True):
        drawn = np.repeat(np.arange(len(x)), count)
        assert value == pytest.approx(slow_tau([x[i] for i in drawn], [y[i] for i in drawn]), nan_ok=True)


def test_matrix_of_taus() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 12)), rng.normal(size=(2, 12))
    found = taus(x, y)
    assert found.shape == (1, 3, 2)
    for i, j in np.ndindex(3, 2):
        assert found[0, i, j] == pytest.approx(slow_tau(list(x[i]), list(y[j])))


def test_interval_is_the_percentile_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    estimate = tau_estimate(x, y, seed=3)
    drawn = [np.repeat(np.arange(40), count) for count in resample_counts(40, 3)]
    samples = [slow_tau(list(x[d]), list(y[d])) for d in drawn[:200]]
    low, high = np.quantile(taus(x, y, resample_counts(40, 3))[:, 0, 0], [0.025, 0.975])
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert taus(x, y, resample_counts(40, 3))[:200, 0, 0] == pytest.approx(samples)
    assert estimate.low < estimate.value < estimate.high
    assert tau_estimate(x, y, seed=3) == estimate
    assert tau_estimate(x, y, seed=4) != estimate


def test_interval_leaves_undefined_resamples_out() -> None:
    samples = np.array([[0.1, np.nan], [np.nan, np.nan], [0.3, np.nan]])
    low, high = interval(samples, confidence=0.5)
    assert low[0] == pytest.approx(0.15)
    assert high[0] == pytest.approx(0.25)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_interval_covers() -> None:
    """Of independent columns the 95 % interval holds 0 about 95 times in 100."""
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(200):
        x, y = rng.normal(size=(2, 30))
        e = tau_estimate(x, y, seed)
        held += e.low <= 0 <= e.high
    assert 0.88 <= held / 200 <= 0.99


def test_partial_tau_given_one_is_kendalls_formula() -> None:
    rng = np.random.default_rng(3)
    z = rng.integers(0, 5, 30)
    x, y = z + rng.integers(0, 4, 30), z + rng.integers(0, 4, 30)
    xy, xz, yz = slow_tau(x, y), slow_tau(x, z), slow_tau(y, z)
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_taus(x, y, z)[0] == pytest.approx(expected)


def test_partial_tau_given_two_is_the_recursion() -> None:
    rng = np.random.default_rng(4)
    x, y, z, w = rng.normal(size=(4, 25)) + rng.normal(size=25)

    def given_z(a: np.ndarray, b: np.ndarray) -> float:
        ab, az, bz = slow_tau(list(a), list(b)), slow_tau(list(a), list(z)), slow_tau(list(b), list(z))
        return (ab - az * bz) / math.sqrt((1 - az**2) * (1 - bz**2))

    xy, xw, yw = given_z(x, y), given_z(x, w), given_z(y, w)
    expected = (xy - xw * yw) / math.sqrt((1 - xw**2) * (1 - yw**2))
    assert partial_taus(x, y, [z, w])[0] == pytest.approx(expected)
    estimate = partial_tau_estimate(x, y, [z, w], seed=0)
    assert estimate.value == pytest.approx(expected)
    assert estimate.low < expected < estimate.high


def test_partial_tau_of_a_copy_is_undefined() -> None:
    x, y = np.random.default_rng(5).normal(size=(2, 20))
    assert np.isnan(partial_taus(x, y, x)[0])


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        tau_estimates([[1.0, np.nan, 2.0]], [[1.0, 2.0, 3.0]], 0)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 24))
def test_granulated_tau(seed: int, n: int) -> None:
    """Incomplete grids, repeated settings and ties, against loops over pairs within cells."""
    rng = np.random.default_rng(seed)
    settings_ = rng.integers(0, 3, (n, 3))
    x, y = rng.integers(0, 5, (2, n))
    _, found = granulated_taus([y, x], y, settings_, ["a", "b", "c"])
    for column, name in enumerate("abc"):
        cells: dict[tuple[int, ...], list[int]] = {}
        for run in range(n):
            key = tuple(v for k, v in enumerate(settings_[run]) if k != column)
            cells.setdefault(key, []).append(run)
        values = [slow_tau([x[i] for i in cell], [y[i] for i in cell]) for cell in cells.values()]
        finite = [value for value in values if not math.isnan(value)]
        assert found.used[name] == len(finite)
        assert found.used[name] + found.left_out[name] == len(cells)
        expected = sum(finite) / len(finite) if finite else math.nan
        assert found.psi[name] == pytest.approx(expected, nan_ok=True)
    finite = [value for value in found.psi.values() if not math.isnan(value)]
    assert found.mean == pytest.approx(sum(finite) / len(finite) if finite else math.nan, nan_ok=True)


def test_estimate_in_words() -> None:
    assert str(Estimate(0.5, -0.25, 1.0)) == "0.50 [-0.25, 1.00]"


def test_difference_of_taus_is_paired() -> None:
    rng = np.random.default_rng(6)
    y = rng.normal(size=30)
    x, rival = y + rng.normal(size=30), y + 3 * rng.normal(size=30)
    found = tau_difference(x, rival, y, seed=2)
    assert found.value == pytest.approx(slow_tau(x, y) - slow_tau(rival, y))
    samples = []
    for count in resample_counts(30, 2):
        drawn = np.repeat(np.arange(30), count)
        samples.append(slow_tau(x[drawn], y[drawn]) - slow_tau(rival[drawn], y[drawn]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])))
    same = tau_difference(x, x, y, seed=2)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_adjusted_r2() -> None:
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 25)) * np.array([[10.0], [0.1]]) + 5, rng.normal(size=25)
    y = y + 0.1 * x[0]
    for columns in (x[:1], x):
        k = len(columns)
        r2 = LinearRegression().fit(columns.T, y).score(columns.T, y)
        assert adjusted_r2(columns, y) == pytest.approx(1 - (1 - r2) * 24 / (25 - k - 1), rel=1e-6)
    assert adjusted_r2(3 * y + 1, y) == pytest.approx(1)
    assert np.isnan(adjusted_r2(x, np.ones(25)))
    assert np.isnan(adjusted_r2(np.eye(3), [1.0, 2.0, 3.0]))


def test_sums_too_large_for_float32_are_taken_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(0).integers(0, 5, (2, 20))
    counts = resample_counts(20, 0, 7)
    assert pair_signs(x).dtype == np.float32
    narrow = taus(x, y, counts)
    monkeypatch.setattr(statistics, "EXACT", 20**2)
    assert pair_signs(x).dtype == np.float64
    np.testing.assert_array_equal(taus(x, y, counts), narrow)


def test_no_measure_is_no_tau() -> None:
    assert taus(np.empty((0, 5)), np.arange(5)).shape == (1, 0, 1)
    assert granulated_taus(np.empty((0, 5)), np.arange(5), np.ones((5, 1)), ["a"]) == []
