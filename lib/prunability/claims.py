"""The claims under test and their verdicts, which follow from intervals and thresholds fixed beforehand."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from prunability.measures import HEADLINE_MEASURE
from prunability.measures.pruning import name_of
from prunability.pruning import SWEEP
from prunability.statistics import (
    Estimate,
    interval,
    resample_counts,
    tau_estimate,
    tau_estimates,
    taus,
)
from prunability.tables import usable

Verdict = Literal["supported", "not supported", "inconclusive", "insufficient n"]
LEAST_RUNS = 30
STRONG = 0.3
NEGLIGIBLE = 0.1
TOP_SHARE = 0.25
STRONG_SWEEP = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Criterion:
    """One condition of a claim: an estimate on the right side of a threshold."""

    statistic: str
    estimate: Estimate
    side: Literal["above", "below"]
    threshold: float

    @property
    def verdict(self) -> Verdict:
        """Supported, or not, where the whole interval lies on one side; else inconclusive."""
        low, high = self.estimate.low, self.estimate.high
        if not np.isfinite([low, high]).all():
            return "inconclusive"
        right, wrong = (low > self.threshold, high <= self.threshold)
        if self.side == "below":
            right, wrong = (high < self.threshold, low >= self.threshold)
        return "supported" if right else "not supported" if wrong else "inconclusive"


@dataclass(frozen=True)
class Rank(Criterion):
    """A place among measures as a share of their number: it is at most the threshold or it is not."""

    @property
    def verdict(self) -> Verdict:
        """The place decides, not its interval."""
        return "supported" if self.estimate.value <= self.threshold else "not supported"


@dataclass(frozen=True)
class Claim:
    """A claim of the abstract with its criteria and what they come to.

    ``sensitivity`` maps other thresholds in place of 0.3 to the verdict they would give.
    """

    id: str
    claim: str
    n: int
    criteria: tuple[Criterion, ...]
    verdict: Verdict
    sensitivity: dict[str, Verdict]


def combine(criteria: Sequence[Criterion], enough: bool) -> Verdict:
    """Supported if every criterion is, not supported if any is not, else inconclusive."""
    if not enough:
        return "insufficient n"
    verdicts = {criterion.verdict for criterion in criteria}
    if "not supported" in verdicts:
        return "not supported"
    return "inconclusive" if "inconclusive" in verdicts else "supported"


def _claim(key: str, text: str, n: int, criteria: Sequence[Criterion], enough: bool) -> Claim:
    def at(threshold: float) -> Verdict:
        moved = [replace(c, threshold=threshold) if c.threshold == STRONG else c for c in criteria]
        return combine(moved, enough)

    sensitivity = {f"{threshold:g}": at(threshold) for threshold in STRONG_SWEEP}
    return Claim(key, text, n, tuple(criteria), combine(criteria, enough), sensitivity)


def predictive(table: pd.DataFrame, measures: Sequence[str], seed: int, may_claim: bool) -> Claim:
    """C1: tau of prunability with test loss above 0.3, and its rank among all measures in the top quarter.

    The rank is taken among prunability at its headline and every measure that is no variant of it, for
    its own variants are not competitors. Its share, rank over number, has an interval by resampling runs,
    but a rank is a place and not an estimate: the criterion looks at the place itself.
    """
    rivals = [name for name in measures if not name.startswith("prunability_")]
    names, _ = usable(table, [HEADLINE_MEASURE, *rivals])
    n = len(table)
    enough = may_claim and n >= LEAST_RUNS and HEADLINE_MEASURE in names
    if HEADLINE_MEASURE not in names or n < 2:
        return _claim("C1", CLAIMS["C1"], n, [], False)
    x, y = table[names].to_numpy().T, table["test_loss"].to_numpy()
    values = taus(x, y)[0, :, 0]
    tau = tau_estimates(x, y, seed)[0][0]
    place = int((values > values[0]).sum()) + 1
    share = place / len(names)
    resampled = taus(x, y, resample_counts(n, seed))[:, :, 0]
    places = ((resampled > resampled[:, :1]).sum(axis=1) + 1) / len(names)
    low, high = interval(places)
    return _claim(
        "C1",
        CLAIMS["C1"],
        n,
        [
            Criterion("tau of prunability with test loss", tau, "above", STRONG),
            Rank(
                f"rank ({place} of {len(names)}) as a share of the number of measures",
                Estimate(share, float(low), float(high)),
                "below",
                TOP_SHARE,
            ),
        ],
        enough,
    )


def size_free(table: pd.DataFrame, seed: int, may_claim: bool, measure: str = HEADLINE_MEASURE) -> Claim:
    """C2: prunability does not grow with the parameter count, the kept-parameter count does."""
    n = len(table)
    enough = may_claim and n >= LEAST_RUNS
    if n < 2:
        return _claim("C2", CLAIMS["C2"], n, [], False)
    size = table["parameter_count"]
    kept = table[measure] * table["prunable_weight_count"]
    return _claim(
        "C2",
        CLAIMS["C2"],
        n,
        [
            Criterion(
                "tau of prunability with the parameter count",
                tau_estimate(table[measure], size, seed),
                "below",
                NEGLIGIBLE,
            ),
            Criterion(
                "tau of the kept-parameter count with the parameter count",
                tau_estimate(kept, size, seed),
                "above",
                STRONG,
            ),
        ],
        enough,
    )


CLAIMS = {
    "C1": "Prunability is highly predictive of generalization across a set of convolutional networks.",
    "C2": "Prunability does not grow with network size, unlike existing pruning-based measures.",
}


def sentence(claim: Claim, what: str) -> str:
    """The verdict in words, in Markdown, every number computed. ``what`` names networks and data."""
    reasons = {
        "supported": "every condition holds",
        "not supported": "a condition fails",
        "inconclusive": "an interval straddles its threshold",
        "insufficient n": f"a verdict needs {LEAST_RUNS} converged runs of a profile that may claim one",
    }
    parts = [
        f"the {c.statistic} is {c.estimate} (wanted: {c.side} {c.threshold:g}; {c.verdict})" for c in claim.criteria
    ]
    moved = ", ".join(f"{threshold}: {verdict}" for threshold, verdict in claim.sensitivity.items())
    return (
        f"**{claim.id}: {claim.verdict}.** *{claim.claim}* On {claim.n} {what}, {'; '.join(parts)}. "
        f"The verdict is *{claim.verdict}* because {reasons[claim.verdict]}. "
        f"With another threshold in place of {STRONG:g} it would be: {moved}."
    )


def table_of(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a criterion, for the notebook."""
    return pd.DataFrame(
        [
            {
                "claim": claim.id, "statistic": c.statistic, "estimate": str(c.estimate),
                "wanted": f"{c.side} {c.threshold:g}", "holds": c.verdict, "n": claim.n, "verdict": claim.verdict,
            }
            for claim in claims
            for c in claim.criteria
        ]
    )  # fmt: skip


def save(claims: Sequence[Claim], folder: Path, provenance: dict[str, object]) -> None:
    """Write ``claims.json``, keeping the claims of other notebooks that stand there."""
    path = folder / "claims.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for claim in claims:
        criteria = [{**asdict(c), "holds": c.verdict} for c in claim.criteria]
        known[claim.id] = {**asdict(claim), "criteria": criteria, "provenance": provenance}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False) + "\n")


def size_sweep(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Tau of prunability and of the kept-parameter count with the parameter count, at every tolerance."""
    rows = []
    for tolerance in SWEEP:
        name = name_of("magnitude", tolerance)
        kept = table[name] * table["prunable_weight_count"]
        for label, column in (("prunability", table[name]), ("kept parameters", kept)):
            e = tau_estimate(column, table["parameter_count"], seed)
            rows.append((tolerance.kind, tolerance.amount, label, e.value, e.low, e.high, len(table)))
    return pd.DataFrame(rows, columns=["kind", "amount", "measure", "tau", "low", "high", "n"])
