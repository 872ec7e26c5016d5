"""C3: prunability follows the test loss through double descent."""

import numpy as np

from prunability.analysis import widths
from prunability.analysis.ranks import tau_estimate
from prunability.analysis.resampling import Array, Estimate
from prunability.claims.criteria import STRONG, Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim
from prunability.claims.scenarios import Drawn, Grid, Scenario, Shares
from prunability.measures import HEADLINE_MEASURE

# Width steps between two peaks.
NEAR = Threshold("peak distance", 1.0, (0.0, 2.0, 3.0))


def judge(case: Case) -> Finding:
    """Tau with the target over widths and seeds above ``STRONG``, and peaks at most one width apart.

    Tau's interval is by whole widths, for these are the settings; the distance's whole interval is wanted at
    most 1. Only two curves that have an interior peak can decide it.
    """
    if why := case.missing([case.headline]):
        return case.finding("C3", [], why)
    criteria = [Criterion(f"τ of prunability with {case.goal_words}", case.tau, "above", STRONG)]
    why = widths.no_double_descent(case.table, case.target)
    if not why and widths.at_an_end(case.table, case.headline):
        why = "prunability is largest at an end of the widths, so it has no interior peak here"
    if not why:
        distance = widths.peak_distance(case.table, case.headline, case.sample.seed, case.target)
        words = f"distance between the peaks of prunability and {case.goal_words}, in width steps"
        criteria.append(Criterion(words, distance, "at most", NEAR))
    return case.finding("C3", criteria, why)


def beside(case: Case) -> list[tuple[str, Estimate]]:
    """Widths and seeds apart."""
    return case.apart("widths")


def reasons(case: Case, finding: Finding) -> list[str]:
    """Tau on either side of the interpolation threshold, and where the two curves are largest."""
    del finding
    taus = []
    for half, part in widths.halves(case.table, widths.interpolation_threshold(case.table)).items():
        chosen = case.table.index.isin(part.index)
        if half != widths.ALL:  # which is the claim's own condition
            taus.append(f"{half} {tau_estimate(case.own[chosen], case.goal[chosen], case.sample.part(chosen))}")
    places, of_loss = sorted(case.table["width"].unique()), widths.peak(case.table, case.target)
    summit = f"; the {case.goal_words} peaks at width {of_loss.at}" if of_loss is not None and of_loss.real else ""
    return [
        *([f"τ by half: {'; '.join(taus)}."] if taus else []),
        f"Prunability is largest at width {places[widths.largest(case.table, case.headline)]}{summit}.",
    ]


def _descent(same: bool) -> Drawn:
    """The test loss as it was measured; prunability follows it, or a bump anywhere within the widths."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        del goal, own
        rng, places = grid.rng, grid.settings
        loss = grid.case.goal
        means = (np.bincount(places, loss) / np.bincount(places))[places]
        noise = float((loss - means).std()) * rng.normal(size=(2, len(loss)))
        place = rng.integers(1, int(places.max()))
        bump = np.exp(-(((places - place) / 3.0) ** 2)) * float(means.std()) * 3
        return {"test_loss": means + noise[0], HEADLINE_MEASURE: (means if same else bump) + noise[1]}

    return draw


C3 = Claim(
    "C3",
    "Prunability correlates highly with test loss, also under double descent.",
    "follows double descent",
    "double-descent",
    judge,
    reasons,
    beside,
    scenarios=(
        Scenario(False, "a bump anywhere within the widths", _descent(False)),
        Scenario(True, "the curve of the test loss, with its noise", _descent(True)),
    ),
)
