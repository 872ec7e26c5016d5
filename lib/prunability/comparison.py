"""Tables of the third experiment: what prunability says that other measures do not."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from prunability.environments import SignErrors, sign_errors
from prunability.information import conditional_information, pair_information
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.statistics import (
    Array,
    adjusted_r2,
    granulated_taus,
    interval,
    partial_tau_estimate,
    resample_counts,
    tau_estimates,
    taus,
)
from prunability.tables import TARGETS, usable
from prunability.verdicts import TARGET, family_of, strongest

# What all representatives of the families are called where they are held fixed at once.
TOGETHER = "all of these"


def _columns(table: pd.DataFrame, names: Sequence[str]) -> Array:
    columns: Array = table[list(names)].to_numpy(dtype=np.float64).T
    return columns


def clustered(table: pd.DataFrame, measures: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Normalised mutual information and tau between all usable measures, [m, m] each, named by label.

    Both are in one order: average linkage on 1 − information, neighbours put side by side.
    """
    names = usable(table, measures)[0]
    labels = [all_measures()[name].label for name in names]
    columns = _columns(table, names)
    shared, agreement = pair_information(columns)[0], taus(columns, columns)[0]
    order = np.arange(len(names))
    if len(names) > 2:
        distance = squareform(np.clip(1 - shared, 0, None), checks=False)
        order = leaves_list(optimal_leaf_ordering(linkage(distance, "average"), distance))
    return tuple(  # type: ignore[return-value]
        pd.DataFrame(matrix, labels, labels).iloc[order, order] for matrix in (shared, agreement)
    )


def shared_and_predictive(table: pd.DataFrame, measures: Sequence[str], seed: int) -> pd.DataFrame:
    """For each other measure its mutual information with prunability and its tau with test loss, with CIs."""
    names = [HEADLINE_MEASURE, *(name for name in usable(table, measures)[0] if name != HEADLINE_MEASURE)]
    columns, known = _columns(table, names), all_measures()
    values = pair_information(columns, rows=1)[0, 0]
    low, high = interval(pair_information(columns, resample_counts(len(table), seed), rows=1)[:, 0])
    estimates = tau_estimates(columns, table[TARGET], seed)
    rows = [
        (
            name, known[name].label, known[name].family, values[k], low[k], high[k],
            estimates[k][0].value, estimates[k][0].low, estimates[k][0].high,
        )
        for k, name in enumerate(names)
        if k
    ]  # fmt: skip
    heads = ["measure", "label", "family", "information", "information_low", "information_high"]
    return pd.DataFrame(rows, columns=[*heads, "tau", "tau_low", "tau_high"])


def partial_taus_table(table: pd.DataFrame, measures: Sequence[str], seed: int) -> pd.DataFrame:
    """Partial tau of prunability with each target given nothing, one measure of each family, and all of those.

    A family is represented by its measure with the highest tau with test loss: given dozens at once, little
    would be left of so few runs. Variants of prunability are not held fixed, for nothing of it would be.
    """
    known = all_measures()
    families = dict.fromkeys(known[name].family for name in measures)
    chosen = {family: strongest(table, family_of(measures, family)) for family in families}
    representatives = {family: name for family, name in chosen.items() if name is not None}
    own, rows = table[HEADLINE_MEASURE], []
    for target in TARGETS:
        plain = tau_estimates(own, table[target], seed)[0][0]
        rows.append((target, "nothing", "nothing", plain.value, plain.low, plain.high))
        for given, name in representatives.items():
            e = partial_tau_estimate(own, table[target], _columns(table, [name]), seed)
            rows.append((target, given, known[name].label, e.value, e.low, e.high))
        e = partial_tau_estimate(own, table[target], _columns(table, list(representatives.values())), seed)
        rows.append((target, TOGETHER, TOGETHER, e.value, e.low, e.high))
    return pd.DataFrame(rows, columns=["target", "given", "label", "tau", "low", "high"])


def least_information(table: pd.DataFrame, measures: Sequence[str], hyperparameters: Sequence[str]) -> pd.DataFrame:
    """K(μ), the set that attains it, and granulated tau Ψ, for each usable measure."""
    names, known = usable(table, measures)[0], all_measures()
    settings = table[list(hyperparameters)]
    columns, rows = _columns(table, names), []
    found = conditional_information(columns, table[TARGET], settings, hyperparameters)
    granulated = granulated_taus(columns, table[TARGET], settings, hyperparameters)
    for name, (value, chosen), tau in zip(names, found.least(), granulated, strict=True):
        cells = (sum(tau.used.values()), sum(tau.left_out.values()))
        given = " and ".join(chosen) or "nothing"
        rows.append((name, known[name].label, known[name].family, value, given, tau.mean, *cells))
    heads = [
        "measure",
        "label",
        "family",
        "least_information",
        "given",
        "granulated_tau",
        "cells",
        "cells_left_out",
    ]
    return pd.DataFrame(rows, columns=heads).sort_values("least_information", ignore_index=True)


def explained_variance(table: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Adjusted R² of test loss on each measure, on it with prunability, and what each adds to the other."""
    names, known = usable(table, measures)[0], all_measures()
    own = adjusted_r2(table[HEADLINE_MEASURE], table[TARGET])
    rows = []
    for name in names:
        alone = adjusted_r2(table[name], table[TARGET])
        both = alone
        if name != HEADLINE_MEASURE:
            both = adjusted_r2(_columns(table, [HEADLINE_MEASURE, name]), table[TARGET])
        rows.append((name, known[name].label, known[name].family, alone, both, both - own, both - alone))
    heads = ["measure", "label", "family", "alone", "with_prunability", "adds_to_prunability", "prunability_adds"]
    return pd.DataFrame(rows, columns=heads).sort_values("alone", ignore_index=True)


def environment_errors(
    table: pd.DataFrame, measures: Sequence[str], hyperparameters: Sequence[str], test_size: int | None
) -> tuple[SignErrors, pd.DataFrame]:
    """Sign errors of the test error by environment, and their mean, 90th percentile and maximum."""
    names, known = usable(table, measures)[0], all_measures()
    settings = table[list(hyperparameters)]
    errors = sign_errors(_columns(table, names), table["test_error"], settings, hyperparameters, test_size)
    summary = pd.DataFrame(errors.summary(), columns=["mean", "percentile_90", "maximum"])
    summary.insert(0, "measure", names)
    summary.insert(1, "label", [known[name].label for name in names])
    summary.insert(2, "family", [known[name].family for name in names])
    return errors, summary
