"""Mutual information between the signs of pair differences (Jiang et al. 2020, their section 5.2).

V_μ and V_g are the signs (−1, 0, 1) of a measure's and a target's difference over ordered pairs of
distinct runs; U_S holds both runs' values of the hyperparameters in a set S. Logs cancel in every ratio.
n is the number of runs, m of measures, h of hyperparameters, B of resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunability.analysis.columns import finite
from prunability.analysis.ranks import pair_signs
from prunability.analysis.resampling import Array, Draws, pair_sums

# Sign pairs whose counts give those of all nine: swapping the runs of a pair flips both signs.
HALF = ((1, 1), (1, -1), (1, 0), (0, 1), (0, 0))


@dataclass(frozen=True)
class Conditional:
    """Î(V_μ; V_g | U_S), [measures, sets], for every set S of at most two hyperparameters.

    NaN where the target does not vary within any cell of S.
    """

    sets: tuple[tuple[str, ...], ...]
    values: Array

    def least(self) -> list[tuple[float, tuple[str, ...]]]:
        """K(μ) = min over S, with the S that attains it, for each measure."""
        found: list[tuple[float, tuple[str, ...]]] = []
        for row in self.values:
            if np.isnan(row).all():
                found.append((float("nan"), ()))
            else:
                place = int(np.nanargmin(row))
                found.append((float(row[place]), self.sets[place]))
        return found


def conditional_information(
    measures: ArrayLike, target: ArrayLike, settings: ArrayLike, names: Sequence[str]
) -> Conditional:
    """Normalised conditional mutual information of each measure [m, n] with a target [n].

    Î = I(V_μ; V_g | U_S) / H(V_g | U_S), every ordered pair of distinct runs with the same weight.

    Args:
        measures: the measures.
        target: the target.
        settings: [n, h], the value of each hyperparameter in each run.
        names: the h hyperparameters.
    """
    table = np.asarray(settings, dtype=np.float64)
    x, (y,), _ = finite(measures, target, table.T)
    sets = [chosen for size in range(3) for chosen in combinations(range(len(names)), size)]
    groups = [_one_hot(table[:, list(chosen)]) for chosen in sets]
    edges = np.cumsum([0, *(group.shape[1] for group in groups)])
    members = np.concatenate(groups, axis=1)
    goal = _sign_masks(y)
    values = np.empty((len(x), len(sets)))
    for row, column in enumerate(x):
        mine = _sign_masks(column)
        counts: dict[tuple[int, int], Array] = {}
        for p, q in HALF:
            pairs = mine[p] * goal[q]
            if p == q == 0:
                np.fill_diagonal(pairs, 0)
            # Whole numbers below 2**24: exact in float32.
            counted = members.T @ (pairs @ members)
            counts[p, q] = counted.astype(np.float64)
            counts[-p, -q] = counts[p, q].T
        for number in range(len(sets)):
            block = slice(edges[number], edges[number + 1])
            joint = np.stack([[counts[p, q][block, block] for q in (-1, 0, 1)] for p in (-1, 0, 1)])
            values[row, number] = _conditional_ratio(joint.reshape(3, 3, -1))
    return Conditional(tuple(tuple(names[k] for k in chosen) for chosen in sets), values)


def _one_hot(columns: Array) -> NDArray[np.float32]:
    """[n, cells]: which combination of the columns' values each run has."""
    if columns.shape[1] == 0:
        return np.ones((len(columns), 1), dtype=np.float32)
    cells, cell = np.unique(columns, axis=0, return_inverse=True)
    return np.eye(len(cells), dtype=np.float32)[cell.ravel()]


def _sign_masks(column: Array) -> dict[int, NDArray[np.float32]]:
    """For each sign, [n, n], where x_i − x_j has it."""
    signs = np.sign(column[:, None] - column[None])
    return {sign: (signs == sign).astype(np.float32) for sign in (-1, 0, 1)}


def _conditional_ratio(joint: Array) -> float:
    """I(X; Y | U) / H(Y | U) of counts [3, 3, cells]."""
    total = joint.sum()
    h_xy, h_x, h_y, h_u = (
        _plogp(part) for part in (joint, joint.sum(axis=1), joint.sum(axis=0), joint.sum(axis=(0, 1)))
    )
    remaining = h_u - h_y  # H(Y | U), times the total
    if remaining <= 1e-12 * total:
        return float("nan")
    return max(0.0, float((h_xy - h_x - h_y + h_u) / remaining))


def _plogp(counts: Array) -> float:
    positive = counts[counts > 0]
    return float((positive * np.log(positive)).sum())


def pair_information(columns: ArrayLike, draws: Draws | None = None, rows: int | None = None) -> Array:
    """Normalised mutual information [B, rows, m] between pair signs: of the first ``rows`` columns with all [m, n].

    I(V_x; V_y) / min(H(V_x), H(V_y)), of resamples where there are draws; without them B is 1. Two copies of one
    run are no pair of distinct runs and do not enter. NaN where a column is constant. By default every
    column has its row.
    """
    signs = pair_signs(columns)
    moving, rows = np.abs(signs), len(signs) if rows is None else rows
    distinct = (1 - np.eye(signs.shape[1])).astype(signs.dtype)

    def sums(values: NDArray[np.floating]) -> Array:
        found: Array = values.sum(axis=(1, 2), dtype=np.float64)[None] / 2
        return found if draws is None else pair_sums(values, draws)

    alone = sums(np.concatenate([moving, distinct[None]]))
    of_rows = [sums(np.concatenate([signs * signs[row], moving * moving[row]])) for row in range(rows)]
    agree, both = np.split(np.stack(of_rows, axis=1), 2, axis=2)
    return _ratio(agree, both, alone[:, :-1], alone[:, -1:, None])


def _ratio(agree: Array, both: Array, moving: Array, total: Array) -> Array:
    """From Σ s_x s_y and Σ |s_x s_y| [B, rows, m], Σ |s_x| [B, m] and the number of unordered pairs [B, 1, 1].

    Each pair counts in both orders.
    """
    rows = both.shape[1]
    x, y = moving[:, :rows, None], moving[:, None]
    cells = [
        ((both + agree) / 2, 2, x, y),
        ((both - agree) / 2, 2, x, y),
        (x - both, 2, x, 2 * (total - y)),
        (y - both, 2, 2 * (total - x), y),
        (2 * (total - x - y + both), 1, 2 * (total - x), 2 * (total - y)),
    ]
    information = np.zeros_like(both)
    with np.errstate(divide="ignore", invalid="ignore"):
        for joint, times, mine, others in cells:
            share = joint / (2 * total)
            term = share * np.log(joint * 2 * total / (mine * others))
            information += np.where(joint > 0, times * term, 0.0)
        p = moving[:, None] / (2 * total)
        still = 1 - 2 * p
        entropy = -2 * np.where(p > 0, p * np.log(p), 0.0) - np.where(still > 0, still * np.log(still), 0.0)
        least = np.minimum(entropy[:, 0, :rows, None], entropy)
        return np.where(least > 1e-12, information / least, np.nan)
