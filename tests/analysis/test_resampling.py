"""Resamples of settings and of runs within them, against loops over the resampled runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.analysis import resampling
from prunability.analysis.resampling import Draws, Estimate, Sample, estimate, interval, pair_sums

groups = st.lists(st.integers(0, 4), min_size=2, max_size=14)


def resampled(draws: Draws, row: int) -> list[tuple[int, int]]:
    """(run, copy) of each run of a resample."""
    return [(run, copy) for run, group in enumerate(draws.groups) for copy in range(draws.counts[row, group])]


@settings(deadline=None)
@given(groups, st.integers(0, 10**6))
def test_settings_are_drawn_with_all_their_runs(names: list[int], seed: int) -> None:
    draws = Sample(tuple(names), seed, resamples=20).by_settings
    number = len(set(names))
    assert (draws.counts.sum(axis=1) == number).all()
    for one, other in np.ndindex(len(names), len(names)):
        assert (draws.groups[one] == draws.groups[other]) == (names[one] == names[other])


@settings(deadline=None)
@given(groups, st.integers(0, 10**6))
def test_seeds_are_drawn_within_their_settings(names: list[int], seed: int) -> None:
    draws = Sample(tuple(names), seed, seed_resamples=20).by_seeds
    sizes = {name: names.count(name) for name in names}
    if max(sizes.values()) == 1:
        assert draws is None
        return
    assert draws is not None
    counts = draws.counts[:, np.argsort(draws.groups)]
    for name, size in sizes.items():
        assert (counts[:, np.array(names) == name].sum(axis=1) == size).all()
    if len(names) == 2:
        assert len(np.unique(counts, axis=0)) > 1


@pytest.mark.parametrize("largest", [2**25, 0])
@settings(deadline=None, max_examples=40)
@given(names=groups, seed=st.integers(0, 10**6))
def test_sums_over_pairs(largest: int, names: list[int], seed: int) -> None:
    """Whether the products of counts are kept or not."""
    rng = np.random.default_rng(seed)
    half = rng.integers(-1, 2, (2, len(names), len(names)))
    values = np.triu(half, 1) + np.triu(half, 1).transpose(0, 2, 1)
    sample = Sample(tuple(names), seed, resamples=4, seed_resamples=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "LARGEST", largest)
        for draws in filter(None, (sample.by_settings, sample.by_seeds)):
            found = pair_sums(values.astype(np.float32), draws)
            for row in range(4):
                runs = resampled(draws, row)
                for k in range(2):
                    pairs = [(i, j) for a, (i, _) in enumerate(runs) for j, _ in runs[:a]]
                    assert found[row, k] == sum(values[k, i, j] for i, j in pairs)


def test_sums_too_large_for_float32_are_taken_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample((0, 0, 1, 2), 0, resamples=5)
    values = (1 - np.eye(4, dtype=np.float32))[None]
    narrow = pair_sums(values, sample.by_settings)
    assert sample.by_settings.weights.dtype == np.float32
    monkeypatch.setattr(resampling, "EXACT", 9)
    wide = Sample((0, 0, 1, 2), 0, resamples=5)
    np.testing.assert_array_equal(pair_sums(values, wide.by_settings), narrow)
    assert wide.by_settings.weights.dtype == np.float64


def test_interval_leaves_undefined_resamples_out() -> None:
    samples = np.array([[0.1, np.nan], [np.nan, np.nan], [0.3, np.nan]])
    low, high = interval(samples, confidence=0.5)
    assert (low[0], high[0]) == pytest.approx((0.15, 0.25))
    assert np.isnan([low[1], high[1]]).all()


def test_intervals_of_a_mean_are_the_textbooks() -> None:
    """By settings as wide as the means of settings vary, by seeds as wide as runs within them do."""
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(40), 3)
    values = rng.normal(size=40)[names] + 0.1 * rng.normal(size=120)

    def mean(draws: Draws | None) -> np.ndarray:
        weights = np.ones((1, 120)) if draws is None else draws.counts[:, draws.groups]
        found: np.ndarray = weights @ values / weights.sum(axis=1)
        return found

    found = estimate(mean, Sample(tuple(names), 0))
    assert found.value == pytest.approx(values.mean())
    means = values.reshape(40, 3).mean(axis=1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * means.std() / 40**0.5, rel=0.03)
    assert found.seeds is not None
    within = np.sqrt((values.reshape(40, 3).var(axis=1) / 3).mean() / 40)
    assert found.seeds[1] - found.seeds[0] == pytest.approx(2 * 1.96 * within, rel=0.08)
    assert estimate(mean, Sample(tuple(names), 0)) == found
    assert estimate(mean, Sample(tuple(names), 1)) != found
    assert estimate(mean, Sample(tuple(range(120)), 0)).seeds is None


def test_estimate_in_words() -> None:
    assert str(Estimate(0.5, -0.25, 1.0)) == "0.50 [−0.25, 1.00]"
    nan = float("nan")
    assert str(Estimate(0.5, nan, nan)) == "0.50 [no interval]"
    assert str(Estimate(nan, nan, nan)) == "undefined"
    assert Estimate(0.5, 0.4, 0.6).by_seeds == "one run a setting"
    assert Estimate(0.5, 0.4, 0.6, (0.45, 0.55)).by_seeds == "[0.45, 0.55]"


def test_no_estimate_reads_as_minus_nothing() -> None:
    assert str(Estimate(-0.001, -0.004, 0.2)) == "0.00 [0.00, 0.20]"
