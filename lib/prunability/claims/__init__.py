"""The claims under test: a new one is a module with its criteria, named here.

They use analysis and the rooms below it.
"""

from prunability.claims.criteria import (
    LEAST_RUNS,
    Criterion,
    Finding,
    Threshold,
    Verdict,
    decisive,
    networks_needed,
)
from prunability.claims.double_descent import C3
from prunability.claims.explained import C4
from prunability.claims.flatness import C5
from prunability.claims.predictive import C1
from prunability.claims.registry import Case, Claim, case_of
from prunability.claims.shared import C6
from prunability.claims.size import C2

CLAIMS = {claim.id: claim for claim in (C1, C2, C3, C4, C5, C6)}


def of_study(study: str) -> list[Claim]:
    """The claims that a study decides."""
    return [claim for claim in CLAIMS.values() if claim.study == study]


__all__ = [
    "CLAIMS",
    "LEAST_RUNS",
    "Case",
    "Claim",
    "Criterion",
    "Finding",
    "Threshold",
    "Verdict",
    "case_of",
    "decisive",
    "networks_needed",
    "of_study",
]
