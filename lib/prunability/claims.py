"""Claims and their verdicts, which follow from intervals and thresholds fixed beforehand."""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from filelock import FileLock

from prunability.config import digest
from prunability.statistics import Estimate

Verdict = Literal["supported", "not supported", "inconclusive", "insufficient n"]
LEAST_RUNS = 30
STRONG = 0.3
NEGLIGIBLE = 0.1
TOP_SHARE = 0.25
LITTLE_INFORMATION = 0.25
# Width steps between two peaks.
NEAR = 1.0
# About twice the Monte Carlo error of an interval's end with 1,000 resamples.
MONTE_CARLO = 0.01
# More conditions than this are counted, and the worst of them told.
MOST_SPELT_OUT = 5
# Thresholds that a verdict is also shown for.
SWEEPS = {STRONG: (0.1, 0.2, 0.3, 0.4, 0.5), LITTLE_INFORMATION: (0.1, 0.2, 0.25, 0.3, 0.4)}
# The thresholds of second conditions: what each is called, and other values of it.
FURTHER = {
    TOP_SHARE: ("rank share", (0.1, 0.5)),
    NEGLIGIBLE: ("size τ", (0.0, 0.2)),
    NEAR: ("peak distance", (0.0, 2.0, 3.0)),
}


@dataclass(frozen=True)
class Criterion:
    """One condition of a claim: an estimate on the right side of a threshold."""

    statistic: str
    estimate: Estimate
    side: Literal["above", "below"]
    threshold: float

    @property
    def wanted(self) -> str:
        """The condition in words."""
        return f"{self.side} {self.threshold:g}"

    @property
    def close(self) -> bool:
        """Whether an end of the interval is so near the threshold that another bootstrap seed may cross it."""
        return min(abs(self.estimate.low - self.threshold), abs(self.estimate.high - self.threshold)) < MONTE_CARLO

    @property
    def words(self) -> str:
        """The estimate, with more digits where they matter."""
        return self.estimate.words(3 if self.close else 2)

    @property
    def caution(self) -> str:
        """What to bear in mind where an end of the interval is close to the threshold."""
        return ", within Monte Carlo error: another bootstrap seed can decide otherwise" if self.close else ""

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
class Count(Criterion):
    """Something counted, such as a place among measures: it is at most the threshold or it is not."""

    @property
    def wanted(self) -> str:
        """The condition in words."""
        return f"at most {self.threshold:g}, the count itself"

    @property
    def close(self) -> bool:
        """Never: the interval does not decide."""
        return False

    @property
    def verdict(self) -> Verdict:
        """The count decides, not its interval."""
        return "supported" if self.estimate.value <= self.threshold else "not supported"


@dataclass(frozen=True)
class Claim:
    """A claim of the abstract with its criteria and what they come to.

    ``sensitivity`` maps other thresholds in place of ``swept`` to the verdict they would give. ``undecided``
    says why these networks cannot decide it, whatever the criteria; empty where they can.
    """

    id: str
    claim: str
    n: int
    criteria: tuple[Criterion, ...]
    verdict: Verdict
    swept: float | None
    sensitivity: dict[str, Verdict]
    undecided: str = ""


def combine(criteria: Sequence[Criterion], enough: bool, undecided: str = "") -> Verdict:
    """Supported if every criterion is, not supported if any is not, else inconclusive."""
    if not enough:
        return "insufficient n"
    if undecided:
        return "inconclusive"
    verdicts = {criterion.verdict for criterion in criteria}
    if "not supported" in verdicts:
        return "not supported"
    return "inconclusive" if "inconclusive" in verdicts else "supported"


CLAIMS = {
    "C1": "Prunability is highly predictive of generalization across a set of convolutional networks.",
    "C2": "Prunability does not grow with network size, unlike existing pruning-based measures.",
    "C3": "Prunability correlates highly with test loss, also under double descent.",
    "C4": "The success of prunability is not explained by margin, flatness or optimization speed.",
    "C5": "Prunability is similar to, but more predictive than, flatness measures.",
    "C6": "The predictions of prunability share little information with those of other baselines.",
}
# The same in a figure's row.
SHORT = {
    "C1": "predicts", "C2": "is not size", "C3": "follows double descent", "C4": "is not explained",
    "C5": "beats flatness", "C6": "shares little",
}  # fmt: skip


def judge(
    key: str,
    n: int,
    criteria: Sequence[Criterion],
    enough: bool,
    swept: float | None = STRONG,
    undecided: str = "",
) -> Claim:
    """The verdict on a claim, with those that other thresholds in place of ``swept`` would give."""

    def at(threshold: float) -> Verdict:
        moved = [
            replace(c, threshold=threshold) if c.threshold == swept and not isinstance(c, Count) else c
            for c in criteria
        ]
        return combine(moved, enough, undecided)

    sensitivity = {} if swept is None else {f"{threshold:g}": at(threshold) for threshold in SWEEPS[swept]}
    verdict = at(swept) if swept is not None else combine(criteria, enough, undecided)
    return Claim(key, CLAIMS[key], n, tuple(criteria), verdict, swept, sensitivity, undecided)


def further(claim: Claim) -> list[tuple[str, str, Verdict]]:
    """The verdicts with other thresholds of its second conditions: what is varied, to what, verdict."""
    rows = []
    for threshold in dict.fromkeys(c.threshold for c in claim.criteria):
        if threshold not in FURTHER or threshold == claim.swept:
            continue
        name, values = FURTHER[threshold]
        for value in values:
            moved = [replace(c, threshold=value) if c.threshold == threshold else c for c in claim.criteria]
            verdict = combine(moved, claim.verdict != "insufficient n", claim.undecided)
            rows.append((name, f"{value:g}", verdict))
    return rows


def decisive(claim: Claim) -> Criterion | None:
    """The condition that a verdict hangs on: the first that holds least, of many the farthest from holding."""
    if not claim.criteria:
        return None
    order: tuple[Verdict, ...] = ("not supported", "inconclusive", "supported")
    worst = min((c.verdict for c in claim.criteria), key=order.index)
    found = [c for c in claim.criteria if c.verdict == worst]
    if len(claim.criteria) <= MOST_SPELT_OUT:
        return found[0]
    return max(found, key=lambda c: c.estimate.value if c.side == "below" else -c.estimate.value)


def networks_needed(criterion: Criterion, n: int) -> int | None:
    """About how many networks an interval needs to leave its threshold behind, if the estimate stays as it is.

    An interval's width falls with the root of n. None where the estimate is on the wrong side, or so close to
    the threshold that it would take ten thousand times as many.
    """
    value, low, high = criterion.estimate.value, criterion.estimate.low, criterion.estimate.high
    gap = value - criterion.threshold if criterion.side == "above" else criterion.threshold - value
    reach = value - low if criterion.side == "above" else high - value
    return round(n * (reach / gap) ** 2) if gap > reach / 100 else None


def sentence(claim: Claim, what: str) -> str:
    """The verdict in words, in Markdown, every number computed. ``what`` names networks and data."""
    reasons = {
        "supported": "every condition holds",
        "not supported": "a condition fails",
        "inconclusive": claim.undecided
        or f"an interval straddles its threshold: these {claim.n} networks do not tell",
        "insufficient n": f"a verdict needs {LEAST_RUNS} runs of a profile that may claim one",
    }
    shown = claim.criteria
    counted = ""
    if len(shown) > MOST_SPELT_OUT:
        counts = Counter(c.verdict for c in shown)
        counted = f"of {len(shown)} conditions, {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}; "
        # The farthest from what is wanted.
        far = sorted(shown, key=lambda c: c.estimate.value if c.side == "below" else -c.estimate.value)
        shown = tuple(far[-MOST_SPELT_OUT:][::-1])
        counted += f"the {len(shown)} farthest from holding: "
    parts = [f"the {c.statistic} is {c.words} (wanted: {c.wanted}; {c.verdict}{c.caution})" for c in shown]
    return (
        f"**{claim.id}: {claim.verdict}.** *{claim.claim}* On {claim.n} {what}, {counted}{'; '.join(parts)}. "
        f"The verdict is *{claim.verdict}* because {reasons[claim.verdict]}.{_moved(claim)}"
    )


def _moved(claim: Claim) -> str:
    if claim.swept is None:
        return ""
    others = ", ".join(f"{threshold}: {verdict}" for threshold, verdict in claim.sensitivity.items())
    return f" With another threshold in place of {claim.swept:g}, all else as it is, it would be: {others}."


def table_of(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a criterion, for the notebook."""
    return pd.DataFrame(
        [
            {
                "claim": claim.id, "statistic": c.statistic, "estimate": c.words,
                "wanted": c.wanted, "holds": c.verdict, "n": claim.n, "verdict": claim.verdict,
            }
            for claim in claims
            for c in claim.criteria
        ]
    )  # fmt: skip


def save(claims: Sequence[Claim], folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write ``claims.json``, keeping the claims of other notebooks that stand there."""
    path = folder.resolve() / "claims.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Notebooks run side by side and share this file; the lock stands elsewhere, so as not to be published.
    with FileLock(Path(tempfile.gettempdir()) / f"prunability-{digest(str(path))[:16]}.lock"):
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            known = {}
        for claim in claims:
            criteria = [{**asdict(c), "wanted": c.wanted, "holds": c.verdict} for c in claim.criteria]
            known[claim.id] = {**asdict(claim), "criteria": criteria, "provenance": provenance}
        text = json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False)
        partial = path.with_suffix(".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
