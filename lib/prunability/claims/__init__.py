"""The claims under test: a new one is a module of this package that ends in a ``Claim``.

They use analysis and the rooms below it.
"""

from importlib import import_module
from pkgutil import iter_modules

from prunability.claims.criteria import (
    LEAST_RUNS,
    Criterion,
    Finding,
    Threshold,
    Verdict,
    decisive,
    networks_needed,
)
from prunability.claims.registry import CLAIMS, NEIGHBOURS, STATED, Case, Claim, case_of, judged, of_study

__all__ = [
    "CLAIMS",
    "LEAST_RUNS",
    "NEIGHBOURS",
    "STATED",
    "Case",
    "Claim",
    "Criterion",
    "Finding",
    "Threshold",
    "Verdict",
    "case_of",
    "decisive",
    "judged",
    "networks_needed",
    "of_study",
]


def _claims() -> list[Claim]:
    """Every claim that a module of this package states, by id."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    stated = [value for module in modules for value in vars(module).values() if isinstance(value, Claim)]
    return sorted(stated, key=lambda claim: claim.id)


for _claim in _claims():
    if _claim.id in STATED:
        raise ValueError(f"two claims are called {_claim.id}")
    (CLAIMS if _claim.of_abstract else NEIGHBOURS)[_claim.id] = _claim
