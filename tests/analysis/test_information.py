"""Against brute-force loops over ordered pairs of runs, with ties, constants and repeated settings."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from prunability.analysis.information import conditional_information, pair_information
from prunability.analysis.resampling import Sample


def sign(a: float, b: float) -> int:
    return int(a > b) - int(a < b)


def entropy(counts: Counter[object]) -> float:
    total = sum(counts.values())
    return -sum(c / total * math.log(c / total) for c in counts.values())


def slow_conditional(x: list[int], y: list[int], cells: list[object]) -> float:
    """(H(X,U) + H(Y,U) − H(X,Y,U) − H(U)) / (H(Y,U) − H(U)), counted pair by pair."""
    seen = [(sign(x[i], x[j]), sign(y[i], y[j]), (cells[i], cells[j])) for i, j in permutations(range(len(x)), 2)]
    h_xyu = entropy(Counter(seen))
    h_xu = entropy(Counter((a, u) for a, _, u in seen))
    h_yu = entropy(Counter((b, u) for _, b, u in seen))
    h_u = entropy(Counter(u for _, _, u in seen))
    if h_yu - h_u < 1e-9:
        return math.nan
    return (h_xu + h_yu - h_xyu - h_u) / (h_yu - h_u)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 14), levels=st.integers(1, 6))
def test_conditional_information(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, levels, (2, n)), rng.integers(0, levels, n)
    table = rng.integers(0, 3, (n, 3))
    found = conditional_information(x, y, table, ["a", "b", "c"])
    assert found.sets == ((), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"))
    for row in range(2):
        expected = []
        for chosen in found.sets:
            cells: list[object] = [tuple(table[i, "abc".index(name)] for name in chosen) for i in range(n)]
            expected.append(slow_conditional(x[row].tolist(), y.tolist(), cells))
        np.testing.assert_allclose(found.values[row], expected, atol=1e-9)
        value, where = found.least()[row]
        finite = [v for v in expected if not math.isnan(v)]
        if finite:
            assert value == pytest.approx(min(finite), abs=1e-9)
            assert found.values[row][found.sets.index(where)] == value
        else:
            assert math.isnan(value)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 14), levels=st.integers(1, 8))
def test_pair_information(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, levels, (3, n))
    draws = Sample(tuple(k // 2 for k in range(n)), seed, resamples=2).by_settings
    whole, drawn = pair_information(columns), pair_information(columns, draws)
    for rows in range(1, len(columns)):
        np.testing.assert_array_equal(pair_information(columns, draws, rows), drawn[:, :rows])
    for resample, matrix in [(np.ones(n, int), whole[0]), *zip(draws.counts[:, draws.groups], drawn, strict=True)]:
        owner = np.repeat(np.arange(n), resample)
        pairs = [(i, j) for i, j in permutations(owner, 2) if i != j]
        for a, b in np.ndindex(3, 3):
            first = [sign(columns[a, i], columns[a, j]) for i, j in pairs]
            second = [sign(columns[b, i], columns[b, j]) for i, j in pairs]
            least = min(entropy(Counter(first)), entropy(Counter(second))) if pairs else 0
            expected = mutual_info_score(first, second) / least if least > 1e-9 else math.nan
            assert matrix[a, b] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_known_values() -> None:
    x = np.arange(10)
    found = pair_information([x, -x, x**3])[0]
    np.testing.assert_allclose(found, 1)  # the same order, or its reverse, tells everything
    assert conditional_information(x, -x, np.zeros((10, 1)), ["a"]).values == pytest.approx(1)


def test_independent_columns_share_little() -> None:
    x = np.random.default_rng(0).normal(size=(2, 400))
    assert pair_information(x)[0, 0, 1] < 0.01


def test_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        conditional_information([[1.0, math.nan]], [1.0, 2.0], [[0], [1]], ["a"])
    with pytest.raises(ValueError, match="not finite"):
        pair_information([[1.0, math.inf]])
