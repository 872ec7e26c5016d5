"""Made-up runs of which a claim is known to be true or false: what its rule says of them shows how it errs.

Columns are drawn on the grid of a study: a sum of random main effects of its hyperparameters, a part of each
setting's own, and a part of each seed's. ``benchmarks/calibration.py`` counts the verdicts.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from prunability.analysis.reliability import share_between_settings
from prunability.analysis.resampling import Array
from prunability.claims.registry import Case
from prunability.measures import HEADLINE_MEASURE


class Shares(NamedTuple):
    """Of a column's variance, that of main effects, of each setting's own, and of seeds."""

    main: float
    setting: float
    seed: float


def shares(table: pd.DataFrame, name: str, hyperparameters: tuple[str, ...]) -> Shares:
    """As the ranks of a column of runs have them."""
    ranks = rankdata(table[name])
    between = share_between_settings(ranks, table["setting"]).value
    design = np.column_stack([pd.get_dummies(table[h]).to_numpy(float) for h in hyperparameters])
    centred, y = design - design.mean(axis=0), ranks - ranks.mean()
    left = y - centred @ np.linalg.lstsq(centred, y, rcond=None)[0]
    main = min(1 - (left**2).mean() / (y**2).mean(), between)
    return Shares(main, between - main, 1 - between)


class Grid:
    """The settings and seeds of a study, on which columns are drawn."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case, self.rng = case, rng
        self.settings = np.array(case.sample.settings)
        self.levels = [np.unique(case.table[h], return_inverse=True)[1] for h in case.hyperparameters]

    def column(self, parts: Shares) -> Array:
        """A column [n] of unit variance, independent of all others; no direction of main effects is preferred."""
        main = sum(self.rng.normal(size=int(level.max()) + 1)[level] for level in self.levels)
        own = self.rng.normal(size=int(self.settings.max()) + 1)[self.settings]
        drawn = (unit(np.asarray(main)), unit(own), unit(self.rng.normal(size=len(self.settings))))
        return unit(np.sqrt(parts) @ np.stack(drawn))


def unit(values: Array) -> Array:
    """Of mean 0 and variance 1, where they vary."""
    centred: Array = values - values.mean()
    found: Array = centred / (centred.std() or 1.0)
    return found


def mixed(weight: float, one: Array, other: Array) -> Array:
    """A column whose correlation with ``one`` is the weight, where the two are independent."""
    found: Array = weight * one + (1 - weight**2) ** 0.5 * other
    return found


# Draws what replaces columns of the runs, by name, in the shares that the target and the measures have.
Drawn = Callable[[Grid, Shares, Shares], dict[str, Array]]


class Scenario(NamedTuple):
    """Whether the claim is true of what is drawn, what that is in words, and the draw."""

    true: bool
    words: str
    draw: Drawn


def independent(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
    """The case's measures and the test loss, none knowing of another."""
    drawn = {name: grid.column(own) for name in grid.case.measures}
    return drawn | {"test_loss": grid.column(goal)}


def following(weight: float) -> Drawn:
    """The same, but prunability's correlation with the test loss is the weight."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = independent(grid, goal, own)
        return drawn | {HEADLINE_MEASURE: mixed(weight, drawn["test_loss"], drawn[HEADLINE_MEASURE])}

    return draw
