"""Rank statistics over runs: pure functions of arrays, with intervals by resampling runs.

Throughout, n is the number of runs, m of measures, B of resamples. A value that is not finite is an error
here: whoever has such a column reports it by name and leaves it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunability.seeding import seed_for

Array = NDArray[np.float64]
RESAMPLES = 1000
CONFIDENCE = 0.95
# Whole numbers below it are exact in float32, in which their sums are found faster.
EXACT = 2**24


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.words(2)

    def words(self, digits: int) -> str:
        """The value with its interval, to so many decimals."""
        if not np.isfinite(self.value):
            return "undefined"
        if not np.isfinite([self.low, self.high]).all():
            return f"{self.value:.{digits}f} [no interval]"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class Granulated:
    """Granulated tau: ψ for each hyperparameter, and their mean Ψ.

    ``used`` and ``left_out`` count the cells of each hyperparameter; a cell is left out if it has fewer
    than two runs or if the measure or the target is constant in it.
    """

    psi: dict[str, float]
    used: dict[str, int]
    left_out: dict[str, int]

    @property
    def mean(self) -> float:
        """Ψ, the mean over the hyperparameters that have a ψ; NaN if none has."""
        values = [value for value in self.psi.values() if np.isfinite(value)]
        return float(np.mean(values)) if values else float("nan")


def pair_signs(columns: ArrayLike) -> NDArray[np.floating]:
    """Signs of x_i − x_j, [m, n, n], of columns [m, n].

    Raises:
        ValueError: a value is not finite.
    """
    values = np.atleast_2d(np.asarray(columns, dtype=np.float64))
    if not np.isfinite(values).all():
        raise ValueError("a column has a value that is not finite")
    n = values.shape[1]
    signs = np.empty((len(values), n, n), dtype=np.float32 if n**2 < EXACT else np.float64)
    for row, column in zip(signs, values, strict=True):
        np.sign(column[:, None] - column[None], out=row, casting="same_kind")
    return signs


def pair_sums(values: NDArray[np.floating], counts: NDArray[np.int64]) -> Array:
    """Σ_{i<j} c_i c_j v_ij [B] for whole numbers v [n, n] and each row c of counts [B, n].

    v is symmetric and 0 on its diagonal: two copies of one run are no pair.
    """
    weights = counts.astype(values.dtype)
    found: Array = np.einsum("bi,bi->b", weights @ values, weights).astype(np.float64) / 2
    return found


@lru_cache(maxsize=8)
def resample_counts(n: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """How often each run is drawn, [B, n]: n draws with replacement, seeded. Not to be written to."""
    draws = np.random.default_rng(seed_for("bootstrap", seed)).integers(0, n, (resamples, n))
    counts = np.stack([np.bincount(row, minlength=n) for row in draws])
    counts.flags.writeable = False
    return counts


def taus(measures: ArrayLike, targets: ArrayLike, counts: ArrayLike | None = None) -> Array:
    """Kendall's tau-b [B, m, t] of measures [m, n] with targets [t, n], for runs drawn ``counts`` [B, n] times.

    Without counts, B is 1 and every run enters once. Two copies of a run are a tie, as they are when tau-b
    is taken of the resampled columns. NaN where a column is constant. Kendall 1945.
    """
    x, y = pair_signs(measures), pair_signs(targets)
    drawn = np.ones((1, x.shape[1]), dtype=np.int64) if counts is None else np.atleast_2d(np.asarray(counts))
    shapes = (len(x), len(y)), (len(x),), (len(y),)
    agreement, untied_x, untied_y = (np.empty((len(drawn), *shape)) for shape in shapes)
    for i, j in np.ndindex(len(x), len(y)):
        agreement[:, i, j] = pair_sums(x[i] * y[j], drawn)
    for untied, signs in ((untied_x, x), (untied_y, y)):
        for i, own in enumerate(signs):
            untied[:, i] = pair_sums(np.abs(own), drawn)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = agreement / np.sqrt(untied_x[:, :, None] * untied_y[:, None])
    return found


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's tau-b of two columns [n]; NaN where one is constant."""
    return float(taus(x, y)[0, 0, 0])


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
    )
    return ends[:, 0].reshape(values.shape[1:]), ends[:, 1].reshape(values.shape[1:])


def tau_estimates(measures: ArrayLike, targets: ArrayLike, seed: int) -> list[list[Estimate]]:
    """Tau-b of each measure [m, n] with each target [t, n], with 95 % bootstrap intervals."""
    counts = resample_counts(np.atleast_2d(np.asarray(measures)).shape[1], seed)
    values = taus(measures, targets)[0]
    low, high = interval(taus(measures, targets, counts))
    return [
        [Estimate(float(values[i, j]), float(low[i, j]), float(high[i, j])) for j in range(values.shape[1])]
        for i in range(values.shape[0])
    ]


def tau_estimate(x: ArrayLike, y: ArrayLike, seed: int) -> Estimate:
    """Tau-b of two columns [n] with its 95 % bootstrap interval."""
    return tau_estimates(x, y, seed)[0][0]


def partial_taus(x: ArrayLike, y: ArrayLike, given: ArrayLike, counts: ArrayLike | None = None) -> Array:
    """Partial Kendall tau [B] of x [n] with y [n] given one or several columns [k, n].

    From the inverse P of the matrix of taus: −P_xy / sqrt(P_xx P_yy); with one given column this is
    (τ_xy − τ_xz τ_yz) / sqrt((1 − τ_xz²)(1 − τ_yz²)), Kendall 1942. NaN where the matrix has no inverse.
    """
    columns = np.vstack([np.atleast_2d(x), np.atleast_2d(y), np.atleast_2d(given)])
    matrices = taus(columns, columns, counts)
    regular = np.flatnonzero(np.isfinite(matrices).all(axis=(1, 2)))
    regular = regular[np.linalg.matrix_rank(matrices[regular], hermitian=True) == len(columns)]
    inverse = np.linalg.inv(matrices[regular])
    scale = inverse[:, 0, 0] * inverse[:, 1, 1]
    result = np.full(len(matrices), np.nan)
    result[regular] = -inverse[:, 0, 1] / np.sqrt(np.where(scale > 0, scale, np.nan))
    return result


def partial_tau_estimate(x: ArrayLike, y: ArrayLike, given: ArrayLike, seed: int) -> Estimate:
    """Partial tau given one or several columns, with its 95 % bootstrap interval."""
    counts = resample_counts(len(np.asarray(x)), seed)
    low, high = interval(partial_taus(x, y, given, counts))
    return Estimate(float(partial_taus(x, y, given)[0]), float(low), float(high))


def granulated_taus(
    measures: ArrayLike, target: ArrayLike, settings: ArrayLike, names: Sequence[str]
) -> list[Granulated]:
    """Granulated tau (Jiang et al. 2020, their section 5.1) of each measure [m, n] with a target [n].

    Args:
        measures: the measures.
        target: the target.
        settings: [n, h], the value of each hyperparameter in each run.
        names: the h hyperparameters.

    ψ_i is the mean, over all settings of the other hyperparameters, of tau among the runs that differ only
    in hyperparameter i.
    """
    table = np.asarray(settings, dtype=np.float64)
    x, y = np.atleast_2d(np.asarray(measures, dtype=np.float64)), np.asarray(target, dtype=np.float64)
    found = [Granulated({}, {}, {}) for _ in x]
    for column, name in enumerate(names):
        _, cell = np.unique(np.delete(table, column, axis=1), axis=0, return_inverse=True)
        groups = [np.flatnonzero(cell.ravel() == number) for number in range(cell.max() + 1)]
        inside = [taus(x[:, group], y[group])[0, :, 0] for group in groups if len(group) > 1]
        for own, values in zip(found, np.array(inside).reshape(len(inside), len(x)).T, strict=True):
            finite = values[np.isfinite(values)]
            own.psi[name] = float(finite.mean()) if len(finite) else float("nan")
            own.used[name], own.left_out[name] = len(finite), len(groups) - len(finite)
    return found


def tau_difference(x: ArrayLike, rival: ArrayLike, target: ArrayLike, seed: int) -> Estimate:
    """τ(x, target) − τ(rival, target) of columns [n], with a 95 % interval from a paired bootstrap."""
    columns = np.vstack([np.atleast_2d(x), np.atleast_2d(rival)])
    value = taus(columns, target)[0, :, 0]
    samples = taus(columns, target, resample_counts(columns.shape[1], seed))[:, :, 0]
    low, high = interval(samples[:, 0] - samples[:, 1])
    return Estimate(float(value[0] - value[1]), float(low), float(high))


def adjusted_r2(columns: ArrayLike, target: ArrayLike) -> float:
    """Adjusted R² of a linear regression, with an intercept, of a target [n] on columns [k, n].

    1 − (1 − R²)(n − 1)/(n − k − 1); NaN for a constant target or fewer than k + 2 runs.
    """
    x, y = np.atleast_2d(np.asarray(columns, dtype=np.float64)), np.asarray(target, dtype=np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a column has a value that is not finite")
    n, k = len(y), len(x)
    spread = ((y - y.mean()) ** 2).sum()
    if n < k + 2 or spread == 0:
        return float("nan")
    # Centred and scaled, so that columns of very different size are solved for equally well.
    centred = x - x.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(centred, axis=1, keepdims=True)
    design = (centred / np.where(scale > 0, scale, 1)).T
    left = y - y.mean() - design @ np.linalg.lstsq(design, y - y.mean(), rcond=None)[0]
    return float(1 - (left**2).sum() / spread * (n - 1) / (n - k - 1))
