"""C1: prunability predicts generalization."""

import pandas as pd

from prunability.analysis.ranks import kendall_tau, taus
from prunability.analysis.resampling import Array, Draws, Estimate, estimate
from prunability.analysis.tables import granulated, least_level
from prunability.claims.criteria import STRONG, Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim
from prunability.claims.scenarios import Scenario, following, independent
from prunability.foundation.typography import minus
from prunability.measures import all_measures

TOP_SHARE = Threshold("rank share", 0.25, (0.1, 0.5))


def judge(case: Case) -> Finding:
    """Tau with the target above ``STRONG``, and its rank among all measures in the top quarter.

    The rank is taken among prunability and every measure that is no variant of it. It is a place and not an
    estimate: the place itself decides, and its interval stands beside.
    """
    if why := case.missing([case.headline]):
        return case.finding("C1", [], why)
    values = _taus(case, None)[0]
    place, number = int((values > values[0]).sum()) + 1, len(values)
    words = f"rank ({place} of {number}, its own variants not counted) as a share"
    nan = float("nan")
    criteria = [
        Criterion(f"τ of prunability with {case.goal_words}", case.tau, "above", STRONG),
        Criterion(words, Estimate(place / number, nan, nan), "at most", TOP_SHARE, place=True),
    ]
    return case.finding("C1", criteria)


def _taus(case: Case, draws: Draws | None) -> Array:
    """Tau with the target of prunability and of each rival, [B, 1 + rivals]."""
    columns = [case.own, *(case.column(name) for name in case.rivals)]
    found: Array = taus(columns, case.goal, draws)[:, :, 0]
    return found


def beside(case: Case) -> list[tuple[str, Estimate]]:
    """How firm the rank is, and where the correlation comes from: a level of a hyperparameter, settings, seeds."""

    def share(draws: Draws | None) -> Array:
        found = _taus(case, draws)
        place: Array = ((found > found[:, :1]).sum(axis=1) + 1) / found.shape[1]
        return place

    level, lowest = least_level(case.table, case.headline, case.target, case.hyperparameters, case.sample)
    return [
        ("rank as a share", estimate(share, case.sample)),
        (f"smallest τ at one level of one hyperparameter ({level})", lowest),
        *case.apart("settings"),
    ]


def reasons(case: Case, finding: Finding) -> list[str]:
    """Which hyperparameters it orders and which not, and which measure predicts best instead."""
    del finding
    best = case.best(case.rivals)
    tau = kendall_tau(case.column(best), case.goal)
    return [
        within(granulated(case.table, [case.headline], case.hyperparameters)),
        minus(f"Best on these runs is {all_measures()[best].label}, τ = {tau:z.2f}."),
    ]


def within(table: pd.DataFrame) -> str:
    """Where prunability, whose rows of granulated tau these are, orders runs that differ in one hyperparameter."""
    part = table[table["psi"].notna() & (table["hyperparameter"] != "mean")].sort_values("psi")
    if part.empty:
        return "Prunability does not vary within any hyperparameter."
    worst, best = part.iloc[0], part.iloc[-1]
    return minus(
        f"Prunability orders runs best where only the {_words(best)} differs (ψ = {best['psi']:z.2f}), worst where "
        f"only the {_words(worst)} does (ψ = {worst['psi']:z.2f})."
    )


def _words(row: pd.Series) -> str:
    return str(row["hyperparameter"]).replace("_", " ")


C1 = Claim(
    "C1",
    "Prunability is highly predictive of generalization across a set of convolutional networks.",
    "predicts",
    "correlation",
    judge,
    reasons,
    beside,
    scenarios=(
        Scenario(False, "prunability independent of the target", independent),
        Scenario(True, "correlation 0.8 with the target", following(0.8)),
        Scenario(True, "correlation 0.9 with the target", following(0.9)),
    ),
)
