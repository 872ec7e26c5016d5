"""CEV and SDE by hand, on tables of three classes."""

import math

import numpy as np
import pytest

from prunability.analysis.classes import Bias, bias, changes, rates

# Ten examples a class: rows are what they are, columns what they are taken for.
WHOLE = [[8, 1, 1], [2, 8, 0], [0, 1, 9]]
PRUNED = [[6, 3, 1], [2, 6, 2], [1, 1, 8]]


def test_rates_by_hand() -> None:
    assert rates(WHOLE).tolist() == [[2 / 20, 2 / 10], [2 / 20, 2 / 10], [1 / 20, 1 / 10]]
    assert rates(PRUNED).tolist() == [[3 / 20, 4 / 10], [4 / 20, 4 / 10], [3 / 20, 2 / 10]]


def test_cev_and_sde_by_hand() -> None:
    # False positives 2 → 3, 2 → 4, 1 → 3; false negatives 2 → 4, 2 → 4, 1 → 2.
    assert changes(WHOLE, PRUNED).flatten().tolist() == pytest.approx([0.5, 1, 1, 1, 2, 1])
    mean = 3.5 / 3
    cev = ((0.5 - mean) ** 2 + (1 - mean) ** 2 + (2 - mean) ** 2) / 3
    sde = (0.5 + 0 + 1) / 3 / math.sqrt(2)
    assert bias(WHOLE, PRUNED)[:2] == pytest.approx((cev, sde))
    assert bias(WHOLE, PRUNED).left_out == ()


def test_nothing_moves() -> None:
    assert bias(WHOLE, WHOLE) == Bias(0.0, 0.0, ())
    worse = [[6, 2, 2], [4, 6, 0], [0, 2, 8]]  # every error twice as often: nobody is hurt more than another
    assert bias(WHOLE, worse)[:2] == pytest.approx((0, 0))


@pytest.mark.parametrize(
    ("whole", "left_out"),
    [
        ([[10, 0, 0], [0, 8, 2], [0, 1, 9]], (0,)),  # without any error
        ([[9, 0, 1], [0, 8, 2], [0, 1, 9]], (0,)),  # without a false positive
        ([[10, 0, 0], [1, 8, 1], [0, 1, 9]], (0,)),  # without a false negative
        ([[0, 0, 0], [1, 8, 1], [1, 1, 8]], (0,)),  # without an example
        ([[10, 0, 0], [0, 10, 0], [0, 0, 10]], (0, 1, 2)),
    ],
)
def test_a_class_without_errors_is_named_and_left_out(whole: list[list[int]], left_out: tuple[int, ...]) -> None:
    found = bias(whole, PRUNED)
    assert found.left_out == left_out
    assert np.flatnonzero(np.isnan(changes(whole, PRUNED)).all(axis=1)).tolist() == list(left_out)
    assert np.isfinite(changes(whole, PRUNED)).all(axis=1).sum() == 3 - len(left_out)
    kept = [place for place in range(3) if place not in left_out]
    assert math.isnan(found.cev) == math.isnan(found.sde) == (not kept)
    if kept:
        moved = ((rates(PRUNED) - rates(whole)) / rates(whole).clip(1e-9))[kept]
        assert found.cev == pytest.approx(moved.var(axis=0).sum())
        assert found.sde == pytest.approx(np.abs(moved @ [1, -1]).mean() / math.sqrt(2))
