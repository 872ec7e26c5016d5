"""Sentences of the notebook on simplicity bias, computed from its tables."""

import pandas as pd

from prunability.analysis.resampling import mean
from prunability.analysis.tables import left_out
from prunability.claims.words import plain
from prunability.studies import Study


def networks(opened: Study, every: pd.DataFrame, table: pd.DataFrame) -> str:
    """Which networks were trained on which images, and what was left out."""
    rest = "; ".join(f"{number} {reason}" for reason, number in left_out(every).items())
    counts = ", ".join(f"{len(own)} {kind}" for kind, own in table.groupby("kind", sort=False))
    first = every.iloc[0]
    height, width = opened.data.shape[1:]
    return (
        f"*{plain(opened.data.title)}*, profile **{opened.profile}**: {counts}, of width "
        f"{' and '.join(map(str, sorted(table['width'].unique())))}, on {first['n_train']:,} of "
        f"{opened.data.train:,} images of {height}×{width} pixels and {opened.data.test:,} for testing. "
        f"Left out: {rest or 'none'}."
    )


def chosen(errors: dict[tuple[int, int], float]) -> str:
    """Which digits are the simple and which the complex part, of how many pairs."""
    (simple, best), *_, (hard, worst) = errors.items()
    return (
        f"Of {len(errors)} pairs of digits a linear function tells {simple[0]} and {simple[1]} best (mean squared "
        f"error {best:.3f} of labels ±1) and {hard[0]} and {hard[1]} worst ({worst:.3f}): they are the left and "
        "the right half."
    )


def rank_follows(table: pd.DataFrame, seed: int) -> str:
    """What linear layers do to the effective rank, seed by seed."""
    wide = table.pivot_table("effective_rank", "seed", "layers").dropna()
    if len(wide) < 2 or wide.shape[1] < 2:
        return "Too few seeds have networks with linear layers and without."
    change = mean(wide.iloc[:, -1] - wide.iloc[:, 0], seed)
    way = "falls" if change.high < 0 else "rises" if change.low > 0 else "does not clearly change"
    return (
        f"From {wide.columns[0]} to {wide.columns[-1]} linear layers the effective rank {way}: its change is "
        f"{change}, over {len(wide)} seeds."
    )
