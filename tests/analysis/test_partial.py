"""The partial association of a Gaussian copula, against the definitions, with simulated truths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import kendalltau, norm, rankdata

from prunability.analysis.partial import (
    copula_partials,
    nearest_correlation,
    normal_score_partial,
    partial_correlation,
    partial_estimates,
)
from prunability.analysis.resampling import Sample


def residual_correlation(matrix: np.ndarray) -> float:
    """−P_xy / √(P_xx P_yy) of the inverse P."""
    inverse = np.linalg.inv(matrix)
    return float(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 6))
def test_partial_correlation_is_that_of_the_inverse(seed: int, k: int) -> None:
    matrix = np.atleast_2d(np.corrcoef(np.random.default_rng(seed).normal(size=(k, 4 * k))))
    assert partial_correlation(matrix[None])[0] == pytest.approx(residual_correlation(matrix))


def test_by_the_definition() -> None:
    x, y, z, w = np.random.default_rng(0).normal(size=(4, 40)) + np.random.default_rng(1).normal(size=40)
    columns = [x, y, z, w]
    rho = np.sin(np.pi / 2 * np.array([[kendalltau(a, b).statistic for b in columns] for a in columns]))
    found = copula_partials(columns, [[2], [3], [2, 3]])[0]
    for value, given_ in zip(found, ([2], [3], [2, 3]), strict=True):
        part = rho[np.ix_([0, 1, *given_], [0, 1, *given_])]
        assert value == pytest.approx(residual_correlation(part))
    scores = [norm.ppf(rankdata(column) / 41) for column in columns]
    assert normal_score_partial(x, y, [z, w]) == pytest.approx(residual_correlation(np.corrcoef(scores)))


def test_it_is_zero_under_conditional_independence() -> None:
    """Where Kendall's partial tau is not: x and y follow z, each with noise of its own."""
    rng = np.random.default_rng(2)
    values, kendalls = [], []
    for _ in range(200):
        z = rng.normal(size=60)
        x, y = np.exp(z + 0.6 * rng.normal(size=60)), z + 0.6 * rng.normal(size=60)
        values.append(copula_partials([x, y, z], [[2]])[0, 0])
        xy, xz, yz = (kendalltau(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
        kendalls.append((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    error = np.std(values) / 200**0.5
    assert abs(np.mean(values)) < 4 * error
    assert np.mean(kendalls) > 10 * error


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_the_nearest_correlation_matrix(seed: int) -> None:
    """Against a search over unit vectors, whose inner products are all correlation matrices."""
    rng = np.random.default_rng(seed)
    r = rng.uniform(-1, 1, 3)
    matrix = np.array([[1, r[0], r[1]], [r[0], 1, r[2]], [r[1], r[2], 1]])
    found = nearest_correlation(matrix[None])[0]
    np.testing.assert_allclose(np.diag(found), 1)
    assert np.linalg.eigvalsh(found)[0] > -1e-6
    if np.linalg.eigvalsh(matrix)[0] >= 0:
        np.testing.assert_array_equal(found, matrix)

    def distance(flat: np.ndarray) -> float:
        vectors = flat.reshape(3, 3) / np.linalg.norm(flat.reshape(3, 3), axis=1, keepdims=True)
        return float(((vectors @ vectors.T - matrix) ** 2).sum())

    best = min(minimize(distance, rng.normal(size=9)).fun for _ in range(3))
    assert ((found - matrix) ** 2).sum() == pytest.approx(best, abs=1e-5)


def test_a_copy_and_a_constant_are_undefined() -> None:
    x, y = np.random.default_rng(5).normal(size=(2, 20))
    assert np.isnan(copula_partials([x, y, x], [[2]])[0, 0])
    assert np.isnan(copula_partials([x, y, np.ones(20)], [[2]])[0, 0])
    assert np.isnan(normal_score_partial(x, y, np.ones(20)))


def test_intervals_hold_the_value() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(size=60)
    x, y = z + rng.normal(size=60), z + rng.normal(size=60)
    one, both = partial_estimates(x, y, [z, rng.normal(size=60)], [[0], [0, 1]], Sample(tuple(range(60)), 0))
    for found in (one, both):
        assert found.low < found.value < found.high
    assert one.value == copula_partials([x, y, z], [[2]])[0, 0]
