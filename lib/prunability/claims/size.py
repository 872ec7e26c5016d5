"""C2: prunability does not grow with network size."""

from scipy.stats import rankdata

from prunability.analysis.partial import partial_estimates
from prunability.analysis.ranks import tau_estimate
from prunability.analysis.resampling import Array, Estimate
from prunability.claims.criteria import Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim
from prunability.claims.scenarios import Drawn, Grid, Scenario, Shares, independent, mixed, unit
from prunability.measures import HEADLINE_MEASURE

# One standard error of tau between independent variables at n = 48.
NEGLIGIBLE = Threshold("τ with size", 0.1, (0.0, 0.2))


def judge(case: Case) -> Finding:
    """Tau with the parameter count below 0.1."""
    if why := case.missing([case.headline, "parameter_count"]):
        return case.finding("C2", [], why)
    own = tau_estimate(case.own, case.column("parameter_count"), case.sample)
    return case.finding("C2", [Criterion("τ of prunability with the parameter count", own, "below", NEGLIGIBLE)])


def _given_size(case: Case) -> Estimate:
    (given,) = partial_estimates(case.own, case.goal, case.column("parameter_count"), [[0]], case.sample)
    return given


def told(case: Case) -> list[tuple[str, Estimate]]:
    """Prunability given the size: what falls with the size predicts with it, and may say no more than it does."""
    return [(f"partial association with {case.goal_words} given size", _given_size(case))]


def beside(case: Case) -> list[tuple[str, Estimate]]:
    """The kept-parameter count, which grows with the size almost by construction; prunability given the size."""
    size, kept = case.column("parameter_count"), case.column("kept_parameter_count")
    words = f"partial association of prunability with {case.goal_words} given the parameter count"
    return [
        ("τ of the kept-parameter count with the parameter count", tau_estimate(kept, size, case.sample)),
        (words, _given_size(case)),
    ]


def _with_size(weight: float) -> Drawn:
    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = independent(grid, goal, own)
        size = unit(rankdata(grid.case.column("parameter_count")))
        return drawn | {HEADLINE_MEASURE: mixed(weight, size, drawn[HEADLINE_MEASURE])}

    return draw


C2 = Claim(
    "C2",
    "Prunability does not grow with network size, unlike existing pruning-based measures.",
    "does not grow with size",
    "correlation",
    judge,
    beside=beside,
    told=told,
    follows_target=False,
    scenarios=(
        Scenario(False, "correlation 0.3 with the size", _with_size(0.3)),
        Scenario(True, "independent of the size", _with_size(0.0)),
        Scenario(True, "correlation −0.5 with the size", _with_size(-0.5)),
    ),
)
