import numpy as np
import pytest
from scipy.stats import kendalltau

from prunability.analysis.reliability import share_between_settings, tau_of_two_trainings


def runs(between: float, within: float, settings: int = 30, seeds: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return between * rng.normal(size=(settings, 1)) + within * rng.normal(size=(settings, seeds))


def test_the_share_by_sums_of_squares() -> None:
    values = runs(1.0, 0.5)
    names = np.repeat(np.arange(30), 3)
    found = share_between_settings(values.ravel(), names)
    msb = 3 * values.mean(axis=1).var(ddof=1)
    msw = values.var(axis=1, ddof=1).mean()
    assert found.value == pytest.approx((msb - msw) / (msb + 2 * msw))
    order = np.random.default_rng(1).permutation(90)
    assert share_between_settings(values.ravel()[order], names[order]).value == pytest.approx(found.value)


def test_its_interval_covers() -> None:
    truth, held = 1 / (1 + 0.5**2), 0
    for seed in range(300):
        e = share_between_settings(runs(1.0, 0.5, seed=seed).ravel(), np.repeat(np.arange(30), 3))
        held += e.low <= truth <= e.high
    assert 0.92 <= held / 300 <= 0.98


def test_seeds_that_change_nothing_and_one_seed_a_setting() -> None:
    assert share_between_settings([1.0, 1.0, 2.0, 2.0], [0, 0, 1, 1]).value == 1
    assert np.isnan(share_between_settings([1.0, 2.0], [0, 1]).value)


def test_unequal_numbers_of_runs() -> None:
    values, names = runs(1.0, 0.5, settings=200).ravel(), np.repeat(np.arange(200), 3)
    kept = np.random.default_rng(2).random(600) < 0.8
    part = share_between_settings(values[kept], names[kept])
    assert part.value == pytest.approx(share_between_settings(values, names).value, abs=0.05)


def test_tau_of_two_trainings() -> None:
    values, names, seeds = runs(1.0, 0.5), np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30)
    pairs = [kendalltau(values[:, a], values[:, b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))]
    assert tau_of_two_trainings(values.ravel(), names, seeds) == pytest.approx(np.mean(pairs))
    order = np.random.default_rng(3).permutation(90)
    shuffled = tau_of_two_trainings(values.ravel()[order], names[order], seeds[order])
    assert shuffled == pytest.approx(np.mean(pairs))
    kept = ~((names < 5) & (seeds == 2))  # some settings lack a run
    pairs[1:] = [kendalltau(values[5:, a], values[5:, 2]).statistic for a in (0, 1)]
    found = tau_of_two_trainings(values.ravel()[kept], names[kept], seeds[kept])
    assert found == pytest.approx(np.mean(pairs))
    assert np.isnan(tau_of_two_trainings([1.0, 2.0], [0, 1], [0, 0]))
