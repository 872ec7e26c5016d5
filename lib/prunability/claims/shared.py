"""C6: prunability shares little information with other baselines."""

from collections import Counter

import numpy as np

from prunability.analysis.information import pair_information
from prunability.analysis.ranks import kendall_tau, taus
from prunability.analysis.resampling import Array, Draws, estimates
from prunability.claims.criteria import STRONG, Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim
from prunability.claims.scenarios import Grid, Scenario, Shares, independent, mixed
from prunability.measures import HEADLINE_MEASURE, all_measures

# A quarter of what two measures could share. Without ties the information is a function of |τ|.
LITTLE = Threshold("information", 0.25, (0.1, 0.2, 0.3, 0.4))
# Measures whose |τ| is larger say the same: one stands for all.
TWINS = 0.95


def baselines(case: Case) -> list[str]:
    """Rivals that are neither flatness nor made from prunability, the first of those that say the same."""
    known = all_measures()
    names = [n for n in case.rivals if known[n].family != "flatness" and known[n].of_prunability == "no"]
    columns = np.array([case.column(name) for name in names]).reshape(len(names), len(case.table))
    alike = np.abs(taus(columns, columns)[0]) > TWINS
    kept: list[int] = []
    for place in range(len(names)):
        if not alike[place, kept].any():
            kept.append(place)
    return [names[place] for place in kept]


def judge(case: Case) -> Finding:
    """Normalised mutual information with every baseline below ``LITTLE``."""
    if why := case.missing([case.headline]):
        return case.finding("C6", [], why)
    names = baselines(case)
    columns = [case.own, *(case.column(name) for name in names)]

    def information(draws: Draws | None) -> Array:
        found: Array = pair_information(columns, draws, rows=1)[:, 0, 1:]
        return found

    criteria = [
        Criterion(f"mutual information with {all_measures()[name].label}", estimate, "below", LITTLE)
        for name, estimate in zip(names, estimates(information, case.sample), strict=True)
    ]
    return case.finding("C6", criteria)


def reasons(case: Case, finding: Finding) -> list[str]:
    """Which families share more, and whether they predict the target themselves."""
    over = [
        name for name, c in zip(baselines(case), finding.criteria, strict=True) if c.estimate.value >= LITTLE.value
    ]
    if not over:
        return []
    families = Counter(all_measures()[name].family for name in over)
    predictive = sum(abs(kendall_tau(case.column(name), case.goal)) > STRONG.value for name in over)
    return [
        f"{len(over)} of {len(finding.criteria)} baselines share at least {LITTLE.value:g} "
        f"({', '.join(f'{family} {number}' for family, number in families.items())}); {predictive} of them "
        f"predict the {case.goal_words} themselves (|τ| above {STRONG.value:g})."
    ]


def _sharing(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
    """One baseline has a correlation of 0.85 with prunability."""
    drawn = independent(grid, goal, own)
    return drawn | {"path_norm": mixed(0.85, drawn[HEADLINE_MEASURE], drawn["path_norm"])}


C6 = Claim(
    "C6",
    "The predictions of prunability share little information with those of other baselines.",
    "shares little",
    "correlation",
    judge,
    reasons,
    follows_target=False,
    scenarios=(
        Scenario(False, "correlation 0.85 with a baseline", _sharing),
        Scenario(True, "independent of all baselines", independent),
    ),
)
