"""Rank statistics over runs: pure functions of arrays and, with draws of ``resampling``, of resamples.

Throughout, n is the number of runs, m of measures, t of targets, B of resamples, which is 1 without draws. A
value that is not finite is an error here: whoever has such a column reports it by name and leaves it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunability.analysis.columns import finite, same_runs
from prunability.analysis.resampling import EXACT, Array, Draws, Estimate, Sample, estimate, estimates, pair_sums


@dataclass(frozen=True)
class Granulated:
    """Granulated tau: ψ for each hyperparameter, and their mean Ψ.

    ``used`` and ``left_out`` count the cells of each hyperparameter; a cell is left out if no two of its runs
    differ in the hyperparameter, or if the measure or the target is the same wherever they do.
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
    (values,) = finite(columns)
    n = values.shape[1]
    signs = np.empty((len(values), n, n), dtype=np.float32 if n**2 < EXACT else np.float64)
    for row, column in zip(signs, values, strict=True):
        np.sign(column[:, None] - column[None], out=row, casting="same_kind")
    return signs


def taus(
    measures: ArrayLike, targets: ArrayLike, draws: Draws | None = None, pairs: NDArray[np.bool_] | None = None
) -> Array:
    """Kendall's tau-b [B, m, t] of measures [m, n] with targets [t, n]. Kendall 1945.

    NaN where a column is constant. ``pairs`` [n, n], symmetric, says which pairs enter; by default all. Two
    copies of a run are a tie, as they are when tau-b is taken of the resampled columns.
    """
    same_runs(measures, targets)
    x, y = pair_signs(measures), pair_signs(targets)
    if pairs is not None:
        x = x * pairs
    untied_x, untied_y = np.abs(x), np.abs(y)
    if pairs is not None:
        untied_y = untied_y * pairs
    if draws is None:
        flat_x, flat_y = x.reshape(len(x), x[0].size if len(x) else 0), y.reshape(len(y), -1)
        agreement = (flat_x @ flat_y.T if len(x) else np.empty((0, len(y))))[None]
        own, goal = untied_x.sum(axis=(1, 2))[None], untied_y.sum(axis=(1, 2))[None]
    else:
        both = (x[:, None] * y[None]).reshape(-1, *y.shape[1:])
        sums = pair_sums(np.concatenate([both, untied_x, untied_y]), draws)
        agreement, own, goal = np.split(sums, [len(both), len(both) + len(x)], axis=1)
        agreement = agreement.reshape(len(sums), len(x), len(y))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = agreement / np.sqrt(own[:, :, None].astype(np.float64) * goal[:, None])
    return found


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's tau-b of two columns [n]; NaN where one is constant."""
    return float(taus(x, y)[0, 0, 0])


def tau_estimates(measures: ArrayLike, targets: ArrayLike, sample: Sample) -> list[list[Estimate]]:
    """Tau-b of each measure [m, n] with each target [t, n], with its intervals."""
    same_runs(measures, targets, sample.settings)
    width = len(np.atleast_2d(np.asarray(targets)))
    flat = estimates(lambda draws: _rows(taus(measures, targets, draws)), sample)
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1)


def tau_estimate(x: ArrayLike, y: ArrayLike, sample: Sample) -> Estimate:
    """Tau-b of two columns [n] with its intervals."""
    return tau_estimates(x, y, sample)[0][0]


def tau_difference(x: ArrayLike, rival: ArrayLike, target: ArrayLike, sample: Sample) -> Estimate:
    """τ(x, target) − τ(rival, target) of columns [n], paired: both of the same resamples."""
    columns = np.vstack(finite(x, rival, target, sample.settings)[:2])

    def difference(draws: Draws | None) -> Array:
        found = taus(columns, target, draws)[:, :, 0]
        return found[:, 0] - found[:, 1]

    return estimate(difference, sample)


def tau_between(x: ArrayLike, y: ArrayLike, sample: Sample) -> Estimate:
    """Tau-b of two columns [n] averaged over the runs of each setting, with its interval by settings."""
    parts = finite(x, y, sample.settings)
    settings = np.unique(sample.settings, return_inverse=True)[1]
    sizes = np.bincount(settings)
    first, second = (np.bincount(settings, part[0]) / sizes for part in parts[:2])
    return tau_estimate(first, second, sample.means)


def tau_within(x: ArrayLike, y: ArrayLike, sample: Sample) -> Estimate:
    """Tau-b of two columns [n] over the pairs of runs of one setting, with its interval by settings.

    NaN where every setting has one run.
    """
    same_runs(x, y, sample.settings)
    settings = np.unique(sample.settings, return_inverse=True)[1]
    same = settings[:, None] == settings[None]
    member = np.eye(len(set(sample.settings)))[settings]
    signs_x, signs_y = pair_signs(x)[0] * same, pair_signs(y)[0] * same
    # The sums over pairs of each setting, [3, G]: a setting drawn twice counts twice.
    sums = np.stack([(v @ member).sum(axis=0) for v in (signs_x * signs_y, np.abs(signs_x), np.abs(signs_y))])

    def within(counts: Array) -> Array:
        agreement, own, goal = (counts @ sums.T).T
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Array = agreement / np.sqrt(own * goal)
        return found

    def drawn(draws: Draws | None) -> Array:
        return within(np.ones((1, sums.shape[1])) if draws is None else draws.counts.astype(np.float64))

    return estimate(drawn, sample.means)


def granulated_taus(
    measures: ArrayLike, target: ArrayLike, settings: ArrayLike, names: Sequence[str]
) -> list[Granulated]:
    """Granulated tau (Jiang et al. 2020, their section 5.1) of each measure [m, n] with a target [n].

    Args:
        measures: the measures.
        target: the target.
        settings: [n, h], the value of each hyperparameter in each run.
        names: the h hyperparameters.

    ψ_i is the mean, over all settings of the other hyperparameters, of tau over the pairs of runs that differ
    in hyperparameter i: runs that differ in the seed alone are none.
    """
    table = np.asarray(settings, dtype=np.float64)
    x, (y,), _ = finite(measures, target, table.T)
    found = [Granulated({}, {}, {}) for _ in x]
    for column, name in enumerate(names):
        _, cell = np.unique(np.delete(table, column, axis=1), axis=0, return_inverse=True)
        groups = [np.flatnonzero(cell.ravel() == number) for number in range(cell.max(initial=-1) + 1)]
        inside = []
        for group in groups:
            level = table[group, column]
            inside.append(taus(x[:, group], y[group], pairs=level[:, None] != level[None])[0, :, 0])
        for own, values in zip(found, np.array(inside).reshape(len(inside), len(x)).T, strict=True):
            known = values[np.isfinite(values)]
            own.psi[name] = float(known.mean()) if len(known) else float("nan")
            own.used[name], own.left_out[name] = len(known), len(groups) - len(known)
    return found


def adjusted_r2(columns: ArrayLike, target: ArrayLike) -> float:
    """Adjusted R² of a linear regression, with an intercept, of a target [n] on columns [k, n].

    1 − (1 − R²)(n − 1)/(n − k − 1); NaN for a constant target or fewer than k + 2 runs.
    """
    x, (y,) = finite(columns, target)
    n, k = len(y), len(x)
    if n < k + 2 or (spread := ((y - y.mean()) ** 2).sum()) == 0:
        return float("nan")
    # Centred and scaled, so that columns of very different size are solved for equally well.
    centred = x - x.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(centred, axis=1, keepdims=True)
    design = (centred / np.where(scale > 0, scale, 1)).T
    left = y - y.mean() - design @ np.linalg.lstsq(design, y - y.mean(), rcond=None)[0]
    return float(1 - (left**2).sum() / spread * (n - 1) / (n - k - 1))
