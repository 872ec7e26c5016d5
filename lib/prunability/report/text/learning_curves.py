"""Sentences of the notebook on flatness, margins and the size of the training set, computed from its tables."""

import pandas as pd

from prunability.analysis.tables import left_out
from prunability.claims.criteria import STRONG
from prunability.claims.words import plain
from prunability.studies import Study


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{value:,}" for value in sorted(values.unique()))


def networks(opened: Study, table: pd.DataFrame) -> str:
    """Which networks were trained along training and over sizes, and what was left out."""
    along, to_target = table[~table["stop_at_target"]], table[table["stop_at_target"]]
    rest = "; ".join(f"{number} {reason}" for reason, number in left_out(table).items())
    first, goal = along.iloc[0], to_target["target_loss"].iloc[0]
    return (
        f"Profile **{opened.profile}**, *{plain(opened.data.title)}*. Along training: {len(along)} checkpoints of "
        f"networks of width {first['width']} and depth {first['depth']:g} on {first['n_train']:,} examples, with "
        f"learning rate {first['learning_rate']:g}, batches of {_listed(along['batch_size'])} and "
        f"{along['seed'].nunique()} seeds, after {_listed(along['epochs'])} epochs, the longest for the largest "
        f"batch alone. Over sizes: {len(to_target)} networks trained to a loss of {goal:g} nats on "
        f"{_listed(to_target['n_train'])} examples. Left out: {rest or 'none'}."
    )


def ordered(orders: pd.DataFrame) -> str:
    """From how many examples on the order of settings is much that of all examples, by test loss."""
    if orders.empty:
        return "Too few settings reach the target loss at every size to be ordered."
    own = orders[orders["name"] == "test_loss"].sort_values("n_train")
    holds = own["n_train"][(own["low"] > STRONG.value)[::-1].cummin()[::-1]]
    if holds.empty:
        return f"From no smaller size on does the interval of the test loss's τ stay above {STRONG.value:g}."
    return f"From {holds.iloc[0]:,} examples on the interval of the test loss's τ stays above {STRONG.value:g}."
