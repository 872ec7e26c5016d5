"""Intervals by resampling: whole settings with all their runs, or the runs within each setting.

n is the number of runs, G of groups that are drawn together, B of resamples, K of statistics. A setting is a
choice of all hyperparameters; its runs differ in the seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunability.foundation.seeding import seed_for
from prunability.foundation.typography import minus

Array = NDArray[np.float64]
RESAMPLES = 10_000
# Of runs within settings: an interval that decides nothing needs fewer.
SEED_RESAMPLES = 2_000
CONFIDENCE = 0.95
# Whole numbers below it are exact in float32, in which their sums are found faster.
EXACT = 2**24
# The most products of counts that are kept at once.
LARGEST = 2**25


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its interval by settings and, where settings have several runs, by seeds."""

    value: float
    low: float
    high: float
    seeds: tuple[float, float] | None = None

    def __str__(self) -> str:
        return self.words(2)

    def words(self, digits: int) -> str:
        """The value with its interval by settings, to so many decimals."""
        if not np.isfinite(self.value):
            return "undefined"
        if not np.isfinite([self.low, self.high]).all():
            return minus(f"{self.value:z.{digits}f} [no interval]")
        return minus(f"{self.value:z.{digits}f} [{self.low:z.{digits}f}, {self.high:z.{digits}f}]")

    @property
    def by_seeds(self) -> str:
        """The interval by seeds in brackets, or that there is one run a setting; a place has no interval."""
        if self.seeds is None:
            return "one run a setting" if np.isfinite(self.low) else "–"
        if not np.isfinite(self.seeds).all():
            return "none"
        return minus(f"[{self.seeds[0]:z.2f}, {self.seeds[1]:z.2f}]")


@dataclass(frozen=True)
class Draws:
    """B resamples of n runs: how often each group is drawn, [B, G], and which group each run is in, [n]."""

    groups: NDArray[np.int64]
    counts: NDArray[np.int64]

    @cached_property
    def exact(self) -> bool:
        """Whether sums over the pairs of a resample are whole numbers that float32 holds."""
        sizes = np.bincount(self.groups, minlength=self.counts.shape[1])
        return bool((self.counts @ sizes).max() ** 2 < EXACT)

    @cached_property
    def weights(self) -> NDArray[np.floating]:
        """The counts as numbers in which sums over pairs are exact."""
        return self.counts.astype(np.float32 if self.exact else np.float64)

    @cached_property
    def products(self) -> NDArray[np.floating] | None:
        """c_s c_t of each pair of groups s ≤ t, [B, G (G + 1) / 2]; None where they are too many to keep."""
        number, groups = self.weights.shape
        if number * groups * (groups + 1) // 2 > LARGEST:
            return None
        return np.concatenate([self.weights[:, s : s + 1] * self.weights[:, s:] for s in range(groups)], axis=1)


@dataclass(frozen=True)
class Sample:
    """Which setting each of n runs is of, by number, and the seed of the resamples."""

    settings: tuple[int, ...]
    seed: int
    resamples: int = RESAMPLES
    seed_resamples: int = SEED_RESAMPLES

    def part(self, chosen: ArrayLike) -> "Sample":
        """That of some of the runs, chosen by a mask [n]."""
        return replace(self, settings=tuple(np.array(self.settings)[np.asarray(chosen)].tolist()))

    @property
    def repeated(self) -> bool:
        """Whether any setting has several runs."""
        return len(set(self.settings)) < len(self.settings)

    @property
    def means(self) -> "Sample":
        """That of the settings, each as one run."""
        return replace(self, settings=tuple(range(len(set(self.settings)))))

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        return np.unique(np.array(self.settings, dtype=np.int64), return_inverse=True)[1].ravel().astype(np.int64)

    @cached_property
    def by_settings(self) -> Draws:
        """Settings drawn with replacement, each with all its runs."""
        if not self.settings:
            raise ValueError("there are no runs to resample")
        number = int(self._groups.max()) + 1
        rng = np.random.default_rng(seed_for("by settings", self.seed))
        return Draws(self._groups, _counted(rng.integers(0, number, (self.resamples, number)), number))

    @cached_property
    def by_seeds(self) -> Draws | None:
        """Runs drawn with replacement within each setting; None where each has one run, or none are asked for."""
        if not self.repeated or not self.seed_resamples:
            return None
        sizes = np.bincount(self._groups)
        rng = np.random.default_rng(seed_for("by seeds", self.seed))
        order = np.argsort(self._groups, kind="stable")
        starts = np.cumsum(sizes) - sizes
        own = self._groups[order]
        chosen = starts[own] + (rng.random((self.seed_resamples, len(own))) * sizes[own]).astype(np.int64)
        return Draws(np.arange(len(own)), _counted(order[chosen], len(own)))


def _counted(drawn: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """How often each group is drawn in each row."""
    rows = np.arange(len(drawn))[:, None] * groups
    return np.bincount((rows + drawn).ravel(), minlength=len(drawn) * groups).reshape(len(drawn), groups)


def pair_sums(values: NDArray[np.floating], draws: Draws) -> Array:
    """Σ_{i<j} c_i c_j v_ij, [B, K], for whole numbers v [K, n, n], symmetric and 0 on the diagonal.

    Two copies of one run are no pair; a run and a copy of another are one, also within a setting.
    """
    groups = draws.counts.shape[1]
    if groups < values.shape[1] or not np.array_equal(draws.groups, np.arange(groups)):
        member = np.eye(groups, dtype=values.dtype)[draws.groups]
        values = member.T @ values @ member
    values = values.astype(draws.weights.dtype, copy=False)
    if draws.products is not None:
        first, second = np.triu_indices(groups)
        halved = values[:, first, second] * np.where(first == second, 0.5, 1.0).astype(values.dtype)
        return (draws.products @ halved.T).astype(np.float64)
    found = np.empty((len(draws.counts), len(values)))
    for place, own in enumerate(values):
        found[:, place] = np.einsum("bi,bi->b", draws.weights @ own, draws.weights) / 2
    return found


def interval(samples: ArrayLike, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Percentile interval over the first axis; resamples without a value (NaN) are left out."""
    tail = (1 - confidence) / 2
    values = np.asarray(samples, dtype=np.float64)
    columns = values.reshape(len(values), -1).T
    ends = np.array(
        [
            np.quantile(finite, [tail, 1 - tail]) if len(finite := column[np.isfinite(column)]) else [np.nan] * 2
            for column in columns
        ]
    ).reshape(-1, 2)
    return ends[:, 0].reshape(values.shape[1:]), ends[:, 1].reshape(values.shape[1:])


def estimates(statistic: Callable[[Draws | None], Array], sample: Sample) -> list[Estimate]:
    """K statistics with their intervals; ``statistic`` gives them [B, K] for draws, and [1, K] for None."""
    value = statistic(None)[0]
    low, high = interval(statistic(sample.by_settings))
    ends = None if sample.by_seeds is None else np.stack(interval(statistic(sample.by_seeds)), axis=1)
    return [
        Estimate(
            float(value[k]),
            float(low[k]),
            float(high[k]),
            None if ends is None else (float(ends[k, 0]), float(ends[k, 1])),
        )
        for k in range(len(value))
    ]


def estimate(statistic: Callable[[Draws | None], Array], sample: Sample) -> Estimate:
    """One statistic, given as [B], with its intervals."""
    (found,) = estimates(lambda draws: statistic(draws)[:, None], sample)
    return found


def mean(values: ArrayLike, seed: int) -> Estimate:
    """The mean of values [n] of independent networks, with its interval.

    Raises:
        ValueError: a value is not finite.
    """
    own = np.asarray(values, dtype=np.float64)
    if not np.isfinite(own).all():
        raise ValueError("a value is not finite")

    def drawn(draws: Draws | None) -> Array:
        found: Array = (np.ones((1, len(own))) if draws is None else draws.counts) @ own / len(own)
        return found

    return estimate(drawn, Sample(tuple(range(len(own))), seed))
