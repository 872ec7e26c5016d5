"""Partial association of two columns given others, by a Gaussian copula.

Not Kendall's partial tau: under conditional independence that is not 0 (Korn 1984). For a Gaussian copula, the
nonparanormal of Liu et al. 2012, ρ = sin(πτ/2), and its partial correlation is 0 exactly there.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata

from prunability.analysis.columns import finite
from prunability.analysis.ranks import taus
from prunability.analysis.resampling import Array, Draws, Estimate, Sample, estimates

# What is left of a standardised column's variance, given others, from which on it counts as their copy.
NOTHING_LEFT = 1e-6
# Alternating projections, and the change at which they have arrived.
PROJECTIONS, ARRIVED = 500, 1e-9


def copula_partials(columns: ArrayLike, given: Sequence[Sequence[int]], draws: Draws | None = None) -> Array:
    """Partial correlations [B, K] of the first two of columns [k, n] given each of K sets of the others, by place.

    From ρ = sin(πτ/2) of every pair. NaN where a column is constant, or one of the two is determined by the set.
    """
    found = np.sin(np.pi / 2 * taus(columns, columns, draws))
    result = np.full((len(found), len(given)), np.nan)
    # What is a correlation matrix as a whole is so in every part.
    known = np.asarray(np.isfinite(found).all(axis=(1, 2)))
    known[known] = np.linalg.eigvalsh(found[known])[:, 0] >= 0
    for number, chosen in enumerate(given):
        own = found[:, [0, 1, *chosen]][:, :, [0, 1, *chosen]]
        unsure = ~known & np.isfinite(own).all(axis=(1, 2))
        own[unsure] = nearest_correlation(own[unsure])
        result[known | unsure, number] = partial_correlation(own[known | unsure])
    return result


def partial_estimates(
    x: ArrayLike, y: ArrayLike, others: ArrayLike, given: Sequence[Sequence[int]], sample: Sample
) -> list[Estimate]:
    """Partial correlations of x [n] with y [n] given each of K sets of others [k, n], by place, with intervals."""
    columns = np.vstack(finite(x, y, others, sample.settings)[:3])
    shifted = [[place + 2 for place in chosen] for chosen in given]
    return estimates(lambda draws: copula_partials(columns, shifted, draws), sample)


def normal_score_partial(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> float:
    """The same from Pearson correlations of normal scores Φ⁻¹(rank / (n + 1)), as a check."""
    columns = np.vstack(finite(x, y, given))
    if (columns == columns[:, :1]).all(axis=1).any():
        return float("nan")
    scores = ndtri(rankdata(columns, axis=1) / (columns.shape[1] + 1))
    return float(partial_correlation(np.corrcoef(scores)[None])[0])


def partial_correlation(matrices: Array) -> Array:
    """Partial correlation [B] of the first two variables given the others, of correlation matrices [B, k, k].

    From the covariance that is left, R_ab − R_az R_zz⁺ R_zb; NaN where nothing is left of a or b.
    """
    own, across, given = matrices[:, :2, :2], matrices[:, :2, 2:], matrices[:, 2:, 2:]
    left = own - across @ np.linalg.pinv(given, rcond=NOTHING_LEFT, hermitian=True) @ across.transpose(0, 2, 1)
    a, b = left[:, 0, 0], left[:, 1, 1]
    scale = np.where((a > NOTHING_LEFT) & (b > NOTHING_LEFT), a * b, np.nan)
    return np.clip(left[:, 0, 1] / np.sqrt(scale), -1, 1)


def nearest_correlation(matrices: Array) -> Array:
    """The correlation matrices nearest to symmetric matrices [B, k, k] in the Frobenius norm.

    Those that have a negative eigenvalue are projected in turn on the positive semidefinite matrices and on
    those of unit diagonal, with Dykstra's correction (Higham 2002, algorithm 3.3).
    """
    found = matrices.copy()
    wrong = np.flatnonzero(np.linalg.eigvalsh(matrices)[:, 0] < 0)
    if not len(wrong):
        return found
    near, correction = matrices[wrong], np.zeros_like(matrices[wrong])
    diagonal = np.arange(near.shape[1])
    for _ in range(PROJECTIONS):
        before, shifted = near, near - correction
        values, vectors = np.linalg.eigh(shifted)
        positive = (vectors * np.clip(values, 0, None)[:, None]) @ vectors.transpose(0, 2, 1)
        correction = positive - shifted
        near = positive.copy()
        near[:, diagonal, diagonal] = 1
        if np.abs(near - before).max() < ARRIVED:
            break
    found[wrong] = near
    return found
