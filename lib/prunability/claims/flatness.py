"""C5: prunability is like flatness, and predicts better."""

from prunability.analysis.ranks import kendall_tau, tau_difference, tau_estimate
from prunability.analysis.resampling import Array, Estimate
from prunability.claims.criteria import POSITIVE, STRONG, Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim
from prunability.claims.scenarios import Drawn, Grid, Scenario, Shares, independent, mixed
from prunability.foundation.typography import minus
from prunability.measures import HEADLINE_MEASURE, all_measures

# The flatness measure that did best in Jiang et al. 2020 and in Dziugaite et al. 2020.
RIVAL = "pacbayes_magnitude_flatness"
SIMILAR = Threshold("similarity", STRONG.value, STRONG.alternatives)


def judge(case: Case) -> Finding:
    """Tau above that of magnitude-aware flatness, paired, and a tau with it above ``STRONG``.

    No verdict where that measure's own tau with the target is not above 0: to beat it would say nothing.
    """
    if why := case.missing([case.headline, RIVAL]):
        return case.finding("C5", [], why)
    rival, label = case.column(RIVAL), all_measures()[RIVAL].label
    statistic = f"τ of prunability minus that of {label}, with {case.goal_words}"
    difference = tau_difference(case.own, rival, case.goal, case.sample)
    criteria = [
        Criterion(statistic, difference, "above", POSITIVE),
        Criterion(f"τ of prunability with {label}", tau_estimate(case.own, rival, case.sample), "above", SIMILAR),
    ]
    theirs = tau_estimate(rival, case.goal, case.sample)
    nothing = f"{label} does not predict the {case.goal_words} itself: its τ is {theirs}"
    return case.finding("C5", criteria, "" if theirs.low > 0 else nothing)


def beside(case: Case) -> list[tuple[str, Estimate]]:
    """The same difference to every other flatness measure."""
    known = all_measures()
    others = [name for name in case.rivals if known[name].family == "flatness" and name != RIVAL]
    return [
        (
            f"τ of prunability minus that of {known[name].label}",
            tau_difference(case.own, case.column(name), case.goal, case.sample),
        )
        for name in others
    ]


def reasons(case: Case, finding: Finding) -> list[str]:
    """Which flatness measure predicts best on these runs."""
    del finding
    known = all_measures()
    best = case.best([name for name in case.rivals if known[name].family == "flatness"])
    tau = kendall_tau(case.column(best), case.goal)
    return [minus(f"Best of the flatness measures on these runs is {known[best].label}, τ = {tau:z.2f}.")]


def _rival(weight: float) -> Drawn:
    """Prunability and flatness follow the target, flatness with the weight 0.7."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = independent(grid, goal, own)
        target = drawn["test_loss"]
        ours, theirs = mixed(weight, target, drawn[HEADLINE_MEASURE]), mixed(0.7, target, drawn[RIVAL])
        return drawn | {HEADLINE_MEASURE: ours, RIVAL: theirs}

    return draw


C5 = Claim(
    "C5",
    "Prunability is similar to, but more predictive than, flatness measures.",
    "beats flatness",
    "correlation",
    judge,
    reasons,
    beside,
    scenarios=(
        Scenario(False, "as predictive as flatness", _rival(0.7)),
        Scenario(True, "correlation 0.9 with the target, flatness 0.7", _rival(0.9)),
    ),
)
