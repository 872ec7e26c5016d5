"""Tables of the third experiment: what prunability says that other measures do not."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from prunability.analysis.information import conditional_information, pair_information
from prunability.analysis.partial import partial_estimates
from prunability.analysis.ranks import adjusted_r2, granulated_taus, tau_estimates, taus
from prunability.analysis.resampling import Array, Draws, Estimate, estimates
from prunability.analysis.sign_errors import SignErrors, sign_errors
from prunability.analysis.tables import TARGETS, usable
from prunability.claims import Case
from prunability.claims.explained import EXPLANATIONS
from prunability.measures import HEADLINE_MEASURE, all_measures

TARGET = "test_loss"


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


def shared_and_predictive(case: Case, measures: Sequence[str]) -> pd.DataFrame:
    """For each other measure its mutual information with prunability and its tau with test loss, with intervals."""
    names = [name for name in usable(case.table, measures)[0] if name != HEADLINE_MEASURE]
    columns, known = _columns(case.table, [HEADLINE_MEASURE, *names]), all_measures()

    def information(draws: Draws | None) -> Array:
        found: Array = pair_information(columns, draws, rows=1)[:, 0, 1:]
        return found

    shared = estimates(information, case.sample)
    predictive = tau_estimates(columns[1:], case.goal, case.sample)
    rows = [
        (name, known[name].label, known[name].family, i.value, i.low, i.high, t.value, t.low, t.high)
        for name, i, (t,) in zip(names, shared, predictive, strict=True)
    ]
    heads = ["measure", "label", "family", "information", "information_low", "information_high"]
    return pd.DataFrame(rows, columns=[*heads, "tau", "tau_low", "tau_high"])


def partial_table(case: Case) -> pd.DataFrame:
    """Partial association of prunability with each target given nothing, each of C4's three, and other families.

    Of a family that C4 does not name the measure with the highest tau with the test loss is held fixed: it is
    chosen on these runs and decides nothing. Variants of prunability are not held fixed, for nothing of it
    would be left.
    """
    known, table = all_measures(), case.table
    given = {words: name for words, name in EXPLANATIONS.items() if name in case.rivals}
    sets = {words: [place] for place, words in enumerate(given)} | {"all three": [*range(len(given))]}
    labels = {words: known[name].label for words, name in given.items()} | {"all three": "all three"}
    own = {known[name].family for name in given.values()}
    for family in dict.fromkeys(known[name].family for name in case.rivals):
        if family not in own:
            members = [name for name in case.rivals if known[name].family == family]
            given[family] = case.best(members)
            chosen = " (best here)" if len(members) > 1 else ""
            sets[family], labels[family] = [len(given) - 1], f"{known[given[family]].label}{chosen}"
    rows = []
    for target in TARGETS:
        ((plain,),) = tau_estimates(case.own, table[target], case.sample)
        rows.append((target, "nothing", "nothing", *(np.sin(np.pi / 2 * end) for end in _ends(plain))))
        others = _columns(table, list(given.values()))
        found = partial_estimates(case.own, table[target], others, list(sets.values()), case.sample)
        rows += [(target, words, labels[words], *_ends(e)) for words, e in zip(sets, found, strict=True)]
    return pd.DataFrame(rows, columns=["target", "given", "label", "association", "low", "high"])


def _ends(e: Estimate) -> tuple[float, float, float]:
    return e.value, e.low, e.high


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
