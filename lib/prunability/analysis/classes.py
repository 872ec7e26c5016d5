"""Whom pruning hurts: how the errors of each class move, and how differently."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prunability.analysis.resampling import Array


class Bias(NamedTuple):
    """How unevenly errors moved between the classes, as fractions of what they were before.

    ``cev``, the combined error variance, is the mean squared distance of the classes' changes from their mean;
    ``sde``, the symmetric distance error, the mean distance from where false positives and false negatives change
    alike. ``left_out`` names the classes that count in neither.
    """

    cev: float
    sde: float
    left_out: tuple[int, ...]


def rates(counts: ArrayLike) -> Array:
    """False positive and false negative rate of each class, [classes, 2], from counts [of a class, taken for one].

    NaN where there is no example that could be one.
    """
    table = np.asarray(counts, dtype=np.float64)
    right, own, taken = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    with np.errstate(invalid="ignore"):
        found: Array = np.stack([(taken - right) / (table.sum() - own), (own - right) / own], axis=1)
    return found


def changes(before: ArrayLike, after: ArrayLike) -> Array:
    """Relative change of both rates of each class, [classes, 2]; NaN for a class that lacked either error."""
    old, new = rates(before), rates(after)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = (new - old) / old
    return np.where((old > 0).all(axis=1, keepdims=True), found, np.nan)


def bias(before: ArrayLike, after: ArrayLike) -> Bias:
    """CEV and SDE of a pruned network against the whole one, from their counts. Blakeney et al. 2021.

    NaN where every class is left out.
    """
    moved = changes(before, after)
    known = np.isfinite(moved).all(axis=1)
    left_out = tuple(np.flatnonzero(~known).tolist())
    if not known.any():
        return Bias(float("nan"), float("nan"), left_out)
    moved = moved[known]
    apart = ((moved - moved.mean(axis=0)) ** 2).sum(axis=1)
    return Bias(float(apart.mean()), float((np.abs(moved[:, 0] - moved[:, 1]) / 2**0.5).mean()), left_out)
