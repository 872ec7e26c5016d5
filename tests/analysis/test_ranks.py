import itertools
import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from prunability.analysis.ranks import (
    adjusted_r2,
    granulated_taus,
    kendall_tau,
    tau_between,
    tau_difference,
    tau_estimate,
    tau_estimates,
    tau_within,
    taus,
)
from prunability.analysis.resampling import Sample

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


def alone(n: int, seed: int = 0, **resamples: int) -> Sample:
    """One run a setting."""
    return Sample(tuple(range(n)), seed, **resamples)


@settings(deadline=None)
@given(columns, st.integers(0, 1000), st.integers(1, 3))
def test_resampled_tau_is_tau_of_the_resampled_columns(
    pair: tuple[list[float], list[float]], seed: int, runs: int
) -> None:
    x, y = pair
    draws = Sample(tuple(k // runs for k in range(len(x))), seed, resamples=5).by_settings
    found = taus(x, y, draws)[:, 0, 0]
    for value, count in zip(found, draws.counts[:, draws.groups], strict=True):
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
    sample = alone(40, 3)
    estimate = tau_estimate(x, y, sample)
    samples = taus(x, y, sample.by_settings)[:, 0, 0]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])))
    assert estimate.low < estimate.value < estimate.high
    assert tau_estimate(x, y, alone(40, 3)) == estimate
    assert tau_estimate(x, y, alone(40, 4)) != estimate


def test_interval_covers() -> None:
    """Of independent settings, with seeds that agree, the 95 % interval holds 0 about 95 times in 100."""
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(200):
        x, y = rng.normal(size=(2, 30)).repeat(2, axis=1) + 0.1 * rng.normal(size=(2, 60))
        e = tau_estimate(x, y, Sample(tuple(np.arange(60) // 2), seed, resamples=1000, seed_resamples=0))
        held += e.low <= 0 <= e.high
    assert 0.88 <= held / 200 <= 0.99


def test_between_and_within_settings() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), [1, 2, 3] * 4)
    x, y = rng.integers(0, 6, (2, len(groups))).astype(float)
    sample = Sample(tuple(groups), 0)
    means = [[column[groups == g].mean() for g in range(12)] for column in (x, y)]
    assert tau_between(x, y, sample).value == pytest.approx(slow_tau(*means))
    agree = first = second = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        if groups[i] == groups[j]:
            a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
            agree, first, second = agree + a * b, first + a * a, second + b * b
    found = tau_within(x, y, sample)
    assert found.value == pytest.approx(agree / math.sqrt(first * second))
    assert found.low < found.value < found.high
    same = groups[:, None] == groups[None]
    assert taus(x, y, pairs=same)[0, 0, 0] == pytest.approx(found.value)
    assert np.isnan(tau_within(x, y, alone(len(x))).value)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        tau_estimates([[1.0, np.nan, 2.0]], [[1.0, 2.0, 3.0]], alone(3))


def apart_tau(x: np.ndarray, y: np.ndarray, cell: list[int], levels: np.ndarray) -> float:
    """Tau-b over the pairs of runs of a cell that are of different levels."""
    agree = first = second = 0
    for i, j in itertools.combinations(cell, 2):
        if levels[i] != levels[j]:
            a, b = int(np.sign(x[i] - x[j])), int(np.sign(y[i] - y[j]))
            agree, first, second = agree + a * b, first + a * a, second + b * b
    return agree / math.sqrt(first * second) if first and second else math.nan


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
        values = [apart_tau(x, y, cell, settings_[:, column]) for cell in cells.values()]
        finite = [value for value in values if not math.isnan(value)]
        assert found.used[name] == len(finite)
        assert found.used[name] + found.left_out[name] == len(cells)
        expected = sum(finite) / len(finite) if finite else math.nan
        assert found.psi[name] == pytest.approx(expected, nan_ok=True)
    finite = [value for value in found.psi.values() if not math.isnan(value)]
    assert found.mean == pytest.approx(sum(finite) / len(finite) if finite else math.nan, nan_ok=True)


def test_difference_of_taus_is_paired() -> None:
    rng = np.random.default_rng(6)
    y = rng.normal(size=30)
    x, rival = y + rng.normal(size=30), y + 3 * rng.normal(size=30)
    sample = alone(30, 2, resamples=500)
    found = tau_difference(x, rival, y, sample)
    assert found.value == pytest.approx(slow_tau(x, y) - slow_tau(rival, y))
    samples = []
    for count in sample.by_settings.counts:
        drawn = np.repeat(np.arange(30), count)
        samples.append(slow_tau(x[drawn], y[drawn]) - slow_tau(rival[drawn], y[drawn]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])))
    same = tau_difference(x, x, y, sample)
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


def test_no_measure_is_no_tau() -> None:
    assert taus(np.empty((0, 5)), np.arange(5)).shape == (1, 0, 1)
    assert granulated_taus(np.empty((0, 5)), np.arange(5), np.ones((5, 1)), ["a"]) == []
