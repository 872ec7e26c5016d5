"""Sentences of the notebook on noise and instability, computed from its tables."""

from collections.abc import Mapping

import pandas as pd

from prunability.analysis.ranks import kendall_tau
from prunability.claims.words import plain
from prunability.foundation.typography import minus, significant
from prunability.report.figures.parts import counted
from prunability.studies import Study


def _listed(values: pd.Series, form: str = "{:g}") -> str:
    return ", ".join(form.format(value) for value in sorted(values.unique()))


def networks(opened: Study, table: pd.DataFrame) -> str:
    """Which networks were trained in each part of the study."""
    own = {name: table[table["part"] == name] for name in opened.parts}
    noisy, options, steps = own["grid"], own["options"], own["curvature"]
    chosen, n = own["settings"], noisy["n_train"].iloc[0]
    return (
        f"Profile **{opened.profile}**, *{plain(opened.data.title)}*, {n:,} training examples. "
        f"Wrong labels: {counted(len(noisy), 'network')} on {_listed(noisy['label_noise'], '{:.0%}')} of them. "
        f"Settings: {counted(len(chosen), 'network')} of {chosen['setting'].nunique()} settings. "
        f"Options: {counted(len(options), 'checkpoint')} after {_listed(options['max_epochs'])} epochs on "
        f"{options['label_noise'].iloc[0]:.0%} wrong labels, {options['seed'].nunique()} seeds. "
        f"Curvature: {counted(len(steps), 'checkpoint')} of networks of one hidden layer of "
        f"{steps['width'].iloc[0]} units, after {_listed(steps['steps'])} steps."
    )


def wrong_labels(noisy: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """What changes from the least share of wrong labels to the largest, means over seeds."""
    if noisy.empty:
        return "No network reached the target loss."
    means = noisy.groupby("label_noise")[[*labels, "test_error"]].mean()
    first, last = means.iloc[0], means.iloc[-1]
    changes = "; ".join(
        f"{label} {significant(first[name])} to {significant(last[name])}" for name, label in labels.items()
    )
    return minus(
        f"From {means.index[0]:.0%} to {means.index[-1]:.0%} wrong labels, means over seeds: {changes}; "
        f"test error {first['test_error']:.2f} to {last['test_error']:.2f}. What networks learn from right labels "
        "is all that wrong ones can take: the closer these test errors, the less there is to see in the rest."
    )


def training_points(table: pd.DataFrame) -> str:
    """How unstable examples with wrong and with right labels are, and how that goes with their margin."""
    means = table.groupby("wrong")["entropy"].mean()
    tau = kendall_tau(table["margin"], table["entropy"])
    named = {True: "wrong", False: "right"}
    words = ", ".join(f"{value:.3f} nats with a {named[bool(label)]} label" for label, value in means.items())
    return minus(f"Mean label entropy over late epochs: {words}. Its τ with the margin is {tau:z.2f}.")


def stable(points: pd.DataFrame) -> str:
    """How many test points change their prediction at all."""
    changing = (points[["one_run", "over_seeds"]] > 0).mean()
    return (
        f"Of test points, means over trainings, {changing['one_run']:.0%} change their predicted class in the late "
        f"epochs of a run, {changing['over_seeds']:.0%} over the other seeds."
    )
