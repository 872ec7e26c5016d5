"""Conditions on statistics and what they come to: thresholds are fixed beforehand, verdicts follow."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from prunability.analysis.resampling import Estimate

Verdict = Literal["supported", "not supported", "inconclusive", "cannot decide", "insufficient n"]
Side = Literal["above", "below", "at most"]
LEAST_RUNS = 30
# About twice the Monte Carlo error of an interval's end with 10,000 resamples.
MONTE_CARLO = 0.004


@dataclass(frozen=True)
class Threshold:
    """What a statistic is held against, with other values that a verdict is also shown for."""

    name: str
    value: float
    alternatives: tuple[float, ...] = ()


# Three standard errors of tau between independent variables at n = 48; the verdicts with others are shown.
STRONG = Threshold("τ", 0.3, (0.1, 0.2, 0.4, 0.5))
POSITIVE = Threshold("zero", 0.0)


@dataclass(frozen=True)
class Criterion:
    """One condition of a claim: the whole interval of an estimate on the right side of a threshold.

    A ``place``, such as a rank among measures, is taken as it is: its interval decides nothing.
    """

    statistic: str
    estimate: Estimate
    side: Side
    threshold: Threshold
    place: bool = False

    @property
    def wanted(self) -> str:
        """The condition in words."""
        return f"{self.side} {self.threshold.value:g}{', the value itself' if self.place else ''}"

    @property
    def close(self) -> bool:
        """Whether an end of the interval is so near the threshold that another bootstrap seed may cross it."""
        ends = (self.estimate.low, self.estimate.high)
        return not self.place and min(abs(end - self.threshold.value) for end in ends) < MONTE_CARLO

    @property
    def words(self) -> str:
        """The estimate, with more digits where they matter."""
        return f"{self.estimate.value:z.2f}" if self.place else self.estimate.words(3 if self.close else 2)

    @property
    def caution(self) -> str:
        """What to bear in mind where an end of the interval is close to the threshold."""
        return ", within Monte Carlo error: another bootstrap seed can decide otherwise" if self.close else ""

    @property
    def verdict(self) -> Verdict:
        """Supported, or not, where the whole interval lies on one side; else inconclusive."""
        at = self.threshold.value
        low, high = (self.estimate.value,) * 2 if self.place else (self.estimate.low, self.estimate.high)
        if not np.isfinite([low, high]).all():
            return "inconclusive"
        right = {"above": low > at, "below": high < at, "at most": high <= at}[self.side]
        wrong = {"above": high <= at, "below": low >= at, "at most": low > at}[self.side]
        return "supported" if right else "not supported" if wrong else "inconclusive"

    @property
    def distance(self) -> float:
        """How far the estimate is on the wrong side."""
        return (self.estimate.value - self.threshold.value) * (-1 if self.side == "above" else 1)


@dataclass(frozen=True)
class Finding:
    """What the runs of a study say of a claim.

    ``undecided`` says why they cannot decide it, whatever the criteria; empty where they can. ``enough`` is
    whether there are as many runs as a verdict needs, of a profile that may claim one.
    """

    claim: str
    n: int
    criteria: tuple[Criterion, ...]
    enough: bool
    undecided: str = ""

    @property
    def verdict(self) -> Verdict:
        """Supported if every criterion is, not supported if any is not, else inconclusive."""
        if not self.enough:
            return "insufficient n"
        if self.undecided:
            return "cannot decide"
        verdicts = {criterion.verdict for criterion in self.criteria}
        if "not supported" in verdicts:
            return "not supported"
        return "inconclusive" if "inconclusive" in verdicts else "supported"

    def varied(self) -> list[tuple[str, float, Verdict]]:
        """The verdicts with another value of each of its thresholds: which, what value, verdict."""
        return [
            (threshold.name, value, self._at(threshold, value))
            for threshold in dict.fromkeys(c.threshold for c in self.criteria)
            for value in threshold.alternatives
        ]

    def _at(self, threshold: Threshold, value: float) -> Verdict:
        moved = replace(threshold, value=value)
        criteria = [replace(c, threshold=moved) if c.threshold == threshold else c for c in self.criteria]
        return replace(self, criteria=tuple(criteria)).verdict

    def content(self) -> dict[str, Any]:
        """All of it, for a file."""
        criteria = [{**asdict(c), "wanted": c.wanted, "holds": c.verdict} for c in self.criteria]
        moved = [{"threshold": name, "value": value, "verdict": verdict} for name, value, verdict in self.varied()]
        return {**asdict(self), "verdict": self.verdict, "criteria": criteria, "with_other_thresholds": moved}


def decisive(criteria: Sequence[Criterion]) -> Criterion | None:
    """The condition that a verdict hangs on: of those that hold least the farthest from holding, places last."""
    order: tuple[Verdict, ...] = ("not supported", "inconclusive", "supported")
    if not criteria:
        return None
    worst = min((c.verdict for c in criteria), key=order.index)
    return max((c for c in criteria if c.verdict == worst), key=lambda c: (not c.place, c.distance))


def networks_needed(criterion: Criterion, n: int) -> int | None:
    """About how many networks an interval needs to leave its threshold behind, if the estimate stays as it is.

    An interval's width falls with the root of n. None where the estimate is on the wrong side, or so close to
    the threshold that it would take ten thousand times as many.
    """
    value, low, high = criterion.estimate.value, criterion.estimate.low, criterion.estimate.high
    gap, reach = -criterion.distance, value - low if criterion.side == "above" else high - value
    return round(n * (reach / gap) ** 2) if gap > reach / 100 else None
