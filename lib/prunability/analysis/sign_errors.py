"""Robust sign error: how often a measure orders two settings wrongly, environment by environment.

Dziugaite et al. 2020: an environment is a pair of settings that differ in one hyperparameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunability.analysis.columns import finite
from prunability.analysis.resampling import Array


@dataclass(frozen=True)
class SignErrors:
    """Weighted sign errors [m, e] over the e environments that have weight.

    ``hyperparameter`` names what differs in each, ``pairs`` [e] counts its pairs of runs that have weight.
    ``left_out`` counts the environments without weight. ``effective`` is the effective sample size
    (Σw)² / Σw² over all pairs of runs.
    """

    errors: Array
    hyperparameter: list[str]
    weights: Array
    pairs: NDArray[np.int64]
    left_out: int
    effective: float

    def summary(self) -> Array:
        """Mean, 90th percentile and maximum over environments, [m, 3]; NaN without environments.

        The last two are NaN where no environment has more than one pair: they are 1 then for every measure.
        """
        if self.errors.shape[1] == 0:
            return np.full((len(self.errors), 3), np.nan)
        ends = np.quantile(self.errors, 0.9, axis=1, method="inverted_cdf")
        found = np.stack([self.errors.mean(axis=1), ends, self.errors.max(axis=1)], axis=1)
        if self.pairs.max() < 2:
            found[:, 1:] = np.nan
        return found


def hoeffding_weights(differences: ArrayLike, test_size: int) -> Array:
    """How sure it is that two test errors differ, given that they are ``differences`` apart.

    (max(0, 1 − 2 exp(−2 N (Δ/2)²)))² for N test examples: by Hoeffding's inequality the probability that
    neither of two means of N values in [0, 1] is off by Δ/2 or more (Dziugaite et al. 2020).
    """
    delta = np.abs(np.asarray(differences, dtype=np.float64))
    weights: Array = np.maximum(0.0, 1 - 2 * np.exp(-2 * test_size * (delta / 2) ** 2)) ** 2
    return weights


def sign_errors(
    measures: ArrayLike,
    target: ArrayLike,
    settings: ArrayLike,
    names: Sequence[str],
    test_size: int | None,
) -> SignErrors:
    """Sign errors of measures [m, n] with a target [n] in [0, 1], by environment.

    The error of a pair of runs is (1 − sgn(Δμ) sgn(Δg)) / 2, so that a tie counts half; an environment's is
    the mean over its pairs of runs, weighted by Hoeffding weights.

    Args:
        measures: the measures.
        target: the target, a mean over ``test_size`` test examples.
        settings: [n, h], the value of each hyperparameter in each run.
        names: the h hyperparameters.
        test_size: number of test examples; None gives every pair the weight 1.
    """
    table = np.asarray(settings, dtype=np.float64)
    x, (y,), _ = finite(measures, target, table.T)
    first, second = np.triu_indices(len(y), 1)
    differs = table[first] != table[second]
    chosen = differs.sum(axis=1) == 1
    first, second, differs = first[chosen], second[chosen], differs[chosen]
    _, setting = np.unique(table, axis=0, return_inverse=True)
    setting = setting.ravel()
    ends = np.sort(np.stack([setting[first], setting[second]], axis=1), axis=1)
    pairs, environment = np.unique(ends, axis=0, return_inverse=True)
    environment = environment.ravel()
    apart = y[first] - y[second]
    weights = np.ones(len(first)) if test_size is None else hoeffding_weights(apart, test_size)
    errors = (1 - np.sign(x[:, first] - x[:, second]) * np.sign(apart)) / 2
    total = np.bincount(environment, weights, minlength=len(pairs)).astype(np.float64)
    weighted = np.stack([np.bincount(environment, weights * row, minlength=len(pairs)) for row in errors])
    kept = total > 0
    which = np.zeros(len(pairs), dtype=int)
    which[environment] = differs.argmax(axis=1)
    squares = (weights**2).sum()
    return SignErrors(
        weighted[:, kept] / total[kept],
        [names[number] for number in which[kept]],
        total[kept],
        np.bincount(environment, weights > 0, minlength=len(pairs))[kept].astype(np.int64),
        int((~kept).sum()),
        float(weights.sum() ** 2 / squares) if squares > 0 else 0.0,
    )
