"""Verdicts in words, every number computed, and as files."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_float_dtype

from prunability.analysis.resampling import Estimate
from prunability.claims import LEAST_RUNS, NEIGHBOURS, STATED, Case, Criterion, Finding
from prunability.foundation.files import updated
from prunability.foundation.typography import minus

# Of more conditions than this the worst are shown, and all are counted.
MOST_SHOWN = 5


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown: whole texts, three decimals, a dash where there is no value; without rows, nothing."""
    if frame.empty:
        return ""
    shown = frame.rename(columns=_spaced).map(
        lambda cell: cell.replace("|", "\\|") if isinstance(cell, str) else cell
    )
    shown = shown.astype(object).where(frame.notna().to_numpy(), None)
    texts = [place for place, kind in enumerate(frame.dtypes) if not is_float_dtype(kind)]
    return minus(str(shown.to_markdown(index=False, floatfmt=".3f", missingval="–", disable_numparse=texts)))


def plain(text: str) -> str:
    """A name that somebody gave, such as a folder's, for Markdown: nothing in it is typeset."""
    return re.sub(r"([\\`*_\[\]<>$~&])", r"\\\1", " ".join(text.split()))


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")


def why(finding: Finding) -> str:
    """What the verdict rests on."""
    return {
        "supported": "every condition holds",
        "not supported": "a condition fails",
        "inconclusive": "an interval straddles its threshold",
        "cannot decide": finding.undecided,
        "insufficient n": f"a verdict needs {LEAST_RUNS} runs of a profile that may claim one",
    }[finding.verdict]


def sentence(finding: Finding, what: str) -> str:
    """The verdict in Markdown, beside the table of its conditions. ``what`` names networks and data, and
    nothing in it is typeset.
    """
    head = f"**{finding.claim}: {finding.verdict}** on {finding.n} {plain(what)}: {why(finding)}."
    counted, number = "", len(finding.criteria)
    if number > MOST_SHOWN:
        counts = Counter(c.verdict for c in finding.criteria)
        each = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        counted = f" Of {number} conditions: {each}; the {MOST_SHOWN} farthest from holding are shown."
    return f"{head}{counted}{_moved(finding)}"


def _moved(finding: Finding) -> str:
    others = finding.varied()
    moved = [f"{name} {value:g} ({verdict})" for name, value, verdict in others if verdict != finding.verdict]
    if moved:
        return f" Other thresholds change it: {', '.join(moved)}."
    return " No other threshold that was tried changes it." if others else ""


def _plainly(e: Estimate) -> str:
    """With its interval where there is one; a dash where there is no value."""
    if math.isnan(e.value):
        return "–"
    return f"{e.value:z.2f}" if math.isnan(e.low) else str(e)


def beside(case: Case, findings: Sequence[Finding]) -> pd.DataFrame:
    """The numbers that stand beside claims and decide nothing, a row each, with their intervals."""
    rows = [
        (finding.claim, statistic, _plainly(e), e.by_seeds if e.seeds else "–")
        for finding in findings
        if not (STATED[finding.claim].of_abstract and case.missing([case.headline]))
        for statistic, e in STATED[finding.claim].beside(case)
    ]
    return pd.DataFrame(rows, columns=["claim", "beside it", "estimate [by settings]", "by seeds"])


def told(case: Case, finding: Finding) -> str:
    """The numbers that stand wherever a verdict does, such as 'τ given size 0.5 [0.4, 0.6]'; none without one."""
    if finding.undecided or not finding.enough:
        return ""
    return "; ".join(f"{statistic} {estimate}" for statistic, estimate in STATED[finding.claim].told(case))


def table_of(findings: Sequence[Finding]) -> pd.DataFrame:
    """The conditions of each claim, a row each; of many those that are farthest from holding."""
    rows = [
        (finding.claim, c.statistic, c.words, c.estimate.by_seeds, c.wanted, c.verdict + c.caution)
        for finding in findings
        for c in _worst(finding.criteria)
    ]
    heads = ["claim", "condition", "estimate [by settings]", "by seeds", "wanted", "holds"]
    table = pd.DataFrame(rows, columns=heads)
    if any(finding.claim in NEIGHBOURS for finding in findings):  # their only interval is by seeds
        return table.drop(columns="by seeds").rename(columns={"estimate [by settings]": "estimate [by seeds]"})
    return table


def _worst(criteria: Sequence[Criterion]) -> Sequence[Criterion]:
    """All in their order where they are few, else those farthest from holding, the worst first."""
    if len(criteria) <= MOST_SHOWN:
        return criteria
    return sorted(criteria, key=lambda c: -c.distance)[:MOST_SHOWN]


def save(findings: Sequence[Finding], folder: Path) -> None:
    """Write ``claims.json``, keeping the claims of other notebooks that stand there."""
    with updated(folder / "claims.json") as known:
        known |= {finding.claim: finding.content() for finding in findings}
        for claim in set(known) - set(STATED):
            del known[claim]
