"""C4: margin, flatness and optimization speed do not explain the success of prunability."""

from prunability.analysis.partial import normal_score_partial, partial_estimates
from prunability.analysis.ranks import kendall_tau
from prunability.analysis.resampling import Array, Estimate
from prunability.claims.criteria import POSITIVE, Criterion, Finding
from prunability.claims.registry import Case, Claim
from prunability.claims.scenarios import Drawn, Grid, Scenario, Shares, independent, mixed
from prunability.foundation.typography import minus
from prunability.measures import HEADLINE_MEASURE, all_measures

# What prunability is weighed against, in the claim's words, each by one measure that is fixed beforehand.
EXPLANATIONS = {
    "margin": "inverse_margin",
    "flatness": "pacbayes_magnitude_flatness",
    "optimization speed": "sum_of_training_losses",
}


# The same, by the places of these measures.
GIVEN = {**{words: [place] for place, words in enumerate(EXPLANATIONS)}, "all three": [*range(len(EXPLANATIONS))]}


def judge(case: Case) -> Finding:
    """The partial association with the target given each of the three, and given all three, above 0.

    It is asked only where there is a success: tau with the target has its lower end above 0.
    """
    if why := case.missing([case.headline, *EXPLANATIONS.values()]):
        return case.finding("C4", [], why)
    columns = [case.column(name) for name in EXPLANATIONS.values()]
    found = partial_estimates(case.own, case.goal, columns, list(GIVEN.values()), case.sample)
    criteria = [
        Criterion(
            f"partial association of prunability with {case.goal_words} given {_named(words)}", e, "above", POSITIVE
        )
        for words, e in zip(GIVEN, found, strict=True)
    ]
    nothing = f"nothing to explain: the τ of prunability with {case.goal_words} is {case.tau}"
    return case.finding("C4", criteria, "" if case.tau.low > 0 else nothing)


def beside(case: Case) -> list[tuple[str, Estimate]]:
    """The same from normal scores, as a check."""
    if case.missing([case.headline, *EXPLANATIONS.values()]):
        return []
    columns, nan = [case.column(name) for name in EXPLANATIONS.values()], float("nan")
    return [
        (
            f"the same by normal scores, given {words}",
            Estimate(normal_score_partial(case.own, case.goal, [columns[k] for k in places]), nan, nan),
        )
        for words, places in GIVEN.items()
    ]


def _named(words: str) -> str:
    return f"{words} ({all_measures()[EXPLANATIONS[words]].label})" if words in EXPLANATIONS else words


def reasons(case: Case, finding: Finding) -> list[str]:
    """Which of the three order the networks against what their sources expect."""
    del finding
    known = all_measures()
    taus = {known[name].label: kendall_tau(case.column(name), case.goal) for name in EXPLANATIONS.values()}
    against = [f"{label} τ = {tau:z.2f}" for label, tau in taus.items() if tau <= 0]
    return [minus(f"Against what their sources expect: {', '.join(against)}.")] if against else []


def _explained(more: float) -> Drawn:
    """Prunability and the target follow flatness; ``more`` is what prunability knows of the target's rest."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = independent(grid, goal, own)
        flat, rest = drawn[EXPLANATIONS["flatness"]], drawn["test_loss"]
        known = mixed(more, rest, drawn[HEADLINE_MEASURE])
        return drawn | {HEADLINE_MEASURE: mixed(0.8, flat, known), "test_loss": mixed(0.8, flat, rest)}

    return draw


C4 = Claim(
    "C4",
    "The success of prunability is not explained by margin, flatness or optimization speed.",
    "is not explained",
    "correlation",
    judge,
    reasons,
    beside,
    scenarios=(
        Scenario(False, "nothing but flatness at work", _explained(0.0)),
        Scenario(True, "correlation 0.7 with what flatness leaves", _explained(0.7)),
        Scenario(True, "correlation 0.9 with what flatness leaves", _explained(0.9)),
    ),
)
