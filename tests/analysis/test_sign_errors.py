import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.analysis.sign_errors import hoeffding_weights, sign_errors


def test_weights() -> None:
    n = 500
    for delta in (0.0, 0.05, 0.1, 0.3, -0.3):
        expected = max(0.0, 1 - 2 * math.exp(-2 * n * (abs(delta) / 2) ** 2)) ** 2
        assert hoeffding_weights(delta, n) == pytest.approx(expected)
    assert hoeffding_weights(0.0, 10**6) == 0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 14), weighted=st.booleans())
def test_against_loops_over_pairs(seed: int, n: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 2, (n, 3))  # repeated settings and an incomplete grid
    x, y = rng.integers(0, 4, (2, n)).astype(float), rng.integers(0, 5, n) / 5
    size = 40 if weighted else None
    found = sign_errors(x, y, table, ["a", "b", "c"], size)
    cells: dict[object, list[tuple[float, list[float], int]]] = {}
    total = squares = 0.0
    for i, j in combinations(range(n), 2):
        differ = [k for k in range(3) if table[i, k] != table[j, k]]
        if len(differ) != 1:
            continue
        weight = float(hoeffding_weights(y[i] - y[j], 40)) if weighted else 1.0
        errors = [(1 - np.sign(row[i] - row[j]) * np.sign(y[i] - y[j])) / 2 for row in x]
        key = frozenset([tuple(table[i]), tuple(table[j])])
        cells.setdefault(key, []).append((weight, errors, differ[0]))
        total, squares = total + weight, squares + weight**2
    kept = {key: cell for key, cell in cells.items() if sum(w for w, _, _ in cell) > 0}
    assert found.left_out == len(cells) - len(kept)
    assert found.effective == pytest.approx(total**2 / squares if squares else 0.0)
    expected = []
    for cell in kept.values():
        whole = sum(w for w, _, _ in cell)
        errors = [sum(w * e[row] for w, e, _ in cell) / whole for row in range(2)]
        expected.append((whole, "abc"[cell[0][2]], *errors))
    expected.sort()
    ours = sorted(zip(found.weights, found.hyperparameter, *found.errors, strict=True))
    assert len(ours) == len(expected)
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine[1] == theirs[1]
        assert [mine[0], *mine[2:]] == pytest.approx([theirs[0], *theirs[2:]])
    summary = found.summary()
    for row in range(2):
        values = sorted(e[2 + row] for e in expected)
        if values:
            tenth = values[math.ceil(0.9 * len(values) - 1e-9) - 1]
            several = any(sum(w > 0 for w, _, _ in cell) > 1 for cell in kept.values())
            ends = [tenth, values[-1]] if several else [math.nan] * 2
            assert summary[row] == pytest.approx([sum(values) / len(values), *ends], nan_ok=True)
        else:
            assert np.isnan(summary[row]).all()
