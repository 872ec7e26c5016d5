"""How the verdicts that a study decides move with tolerance, pruner, target and threshold."""

from dataclasses import replace

import pandas as pd

from prunability.analysis.tables import TARGETS
from prunability.claims import Case, Claim, of_study
from prunability.foundation.progress import progress
from prunability.measures.pruning import name_of
from prunability.measures.search import HEADLINE, PRUNERS, SWEEP

AS_IT_IS = "as it is"
# Beside these, thresholds are varied, each under its own name and with a value.
VARIED = ("tolerance", "pruner", "target")


def variations(case: Case) -> list[tuple[str, str, Case]]:
    """What is varied, to what, and the case with it."""
    tolerances = [
        ("tolerance", tolerance.label, replace(case, headline=name_of("magnitude", tolerance)))
        for tolerance in SWEEP
        if tolerance != HEADLINE
    ]
    pruners = [
        ("pruner", pruner, replace(case, headline=name_of(pruner, HEADLINE)))
        for pruner in PRUNERS
        if pruner != "magnitude"
    ]
    targets = [
        ("target", words.split(" (")[0], replace(case, target=name))
        for name, words in TARGETS.items()
        if name != case.target
    ]
    return [*tolerances, *pruners, *targets]


def _of(claim: Claim, case: Case) -> list[tuple[str, str, Case]]:
    """The variations of what a claim depends on."""
    return [other for other in variations(case) if other[0] != "target" or claim.follows_target]


def sensitivity(study: str, case: Case, title: str) -> pd.DataFrame:
    """The verdict on each claim as it is and with one thing varied: claim, varied, setting, value, verdict.

    ``value`` is that of a threshold, NaN for all else. What a claim does not depend on is not varied. ``title`` is
    what progress is shown of.
    """
    rows: list[tuple[str, str, str, float, str]] = []
    nan = float("nan")
    case = replace(case, sample=replace(case.sample, seed_resamples=0))  # which decide nothing
    judged = [(claim, _of(claim, case)) for claim in of_study(study)]
    with progress(sum(1 + len(others) for _, others in judged), title) as tick:
        for claim, others in judged:
            finding = claim.judge(case)
            tick(claim.id)
            rows.append((claim.id, AS_IT_IS, "", nan, finding.verdict))
            rows += [(claim.id, name, f"{value:g}", value, verdict) for name, value, verdict in finding.varied()]
            for varied, setting, other in others:
                # Too few networks are so whatever is varied.
                verdict = claim.judge(other).verdict if finding.enough else finding.verdict
                rows.append((claim.id, varied, setting, nan, verdict))
                tick(claim.id)
    return pd.DataFrame(rows, columns=["claim", "varied", "setting", "value", "verdict"])
