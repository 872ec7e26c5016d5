"""How far a second training of the same settings would agree with the first: no measure can be asked for more."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from prunability.analysis.columns import finite, same_runs
from prunability.analysis.ranks import kendall_tau
from prunability.analysis.resampling import CONFIDENCE, Estimate


def share_between_settings(values: ArrayLike, settings: ArrayLike) -> Estimate:
    """Share of the variance of values [n] that lies between settings [n] and not between seeds.

    One-way random effects, ICC(1) of Shrout and Fleiss 1979 with their interval from the F distribution; with
    unequal numbers of runs the mean number n₀ of Donner 1986. NaN where every setting has one run.
    """
    same_runs(values, settings)
    ((y,),) = finite(values)
    groups = np.unique(np.asarray(settings), return_inverse=True)[1].ravel()
    sizes = np.bincount(groups)
    n, number = len(y), len(sizes)
    if n == number or number < 2:
        return Estimate(float("nan"), float("nan"), float("nan"))
    means = np.bincount(groups, y) / sizes
    between = (sizes * (means - y.mean()) ** 2).sum() / (number - 1)
    within = ((y - means[groups]) ** 2).sum() / (n - number)
    typical = (n - (sizes**2).sum() / n) / (number - 1)
    if within == 0:
        return Estimate(1.0, 1.0, 1.0)
    tail = (1 - CONFIDENCE) / 2
    ends = [f_distribution.ppf(p, number - 1, n - number) for p in (0.5, 1 - tail, tail)]
    ratios = [between / within, between / within / ends[1], between / within / ends[2]]
    value, low, high = (float((ratio - 1) / (ratio + typical - 1)) for ratio in ratios)
    return Estimate(value, low, high)


def tau_of_two_trainings(values: ArrayLike, settings: ArrayLike, seeds: ArrayLike) -> float:
    """Kendall tau between the values that two trainings of the same settings give, the mean over pairs of seeds.

    Args:
        values: [n].
        settings: [n], which setting each run is of.
        seeds: [n], the seed of each run; a pair of seeds is compared on the settings that have both.

    NaN where no two settings have two seeds in common.
    """
    same_runs(values, settings, seeds)
    places = list(zip(np.asarray(settings).tolist(), np.asarray(seeds).tolist(), strict=True))
    known = dict(zip(places, np.asarray(values, dtype=np.float64).tolist(), strict=True))
    names = sorted({setting for setting, _ in places})
    found = []
    for a, b in combinations(sorted({seed for _, seed in places}), 2):
        both = [(known[s, a], known[s, b]) for s in names if (s, a) in known and (s, b) in known]
        if len(both) > 1:
            found.append(kendall_tau(*np.array(both).T))
    return float(np.mean(found)) if found else float("nan")
