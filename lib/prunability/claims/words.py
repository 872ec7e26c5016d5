"""Verdicts in words, every number computed, and as files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prunability.claims import CLAIMS, LEAST_RUNS, Case, Finding
from prunability.foundation.files import updated

# More conditions than this are counted, and the worst of them told.
MOST_SPELT_OUT = 5


def sentence(finding: Finding, what: str) -> str:
    """The verdict in Markdown. ``what`` names networks and data."""
    reasons = {
        "supported": "every condition holds",
        "not supported": "a condition fails",
        "inconclusive": f"an interval straddles its threshold: these {finding.n} networks do not tell",
        "cannot decide": finding.undecided,
        "insufficient n": f"a verdict needs {LEAST_RUNS} runs of a profile that may claim one",
    }
    shown, counted = finding.criteria, ""
    if len(shown) > MOST_SPELT_OUT:
        counts = Counter(c.verdict for c in shown)
        counted = f"of {len(shown)} conditions, {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}; "
        shown = tuple(sorted(shown, key=lambda c: c.distance)[-MOST_SPELT_OUT:][::-1])
        counted += f"the {len(shown)} farthest from holding: "
    parts = [f"the {c.statistic} is {c.words} (wanted: {c.wanted}; {c.verdict}{c.caution})" for c in shown]
    return (
        f"**{finding.claim}: {finding.verdict}.** *{CLAIMS[finding.claim].words}* On {finding.n} {what}, {counted}"
        f"{'; '.join(parts) or 'there is nothing to judge'}. The verdict is *{finding.verdict}* because "
        f"{reasons[finding.verdict]}.{_moved(finding)}"
    )


def _moved(finding: Finding) -> str:
    found: dict[str, list[str]] = {}
    for name, value, verdict in finding.varied():
        found.setdefault(name, []).append(f"{value:g} {verdict}")
    words = [f"{name} at {', '.join(verdicts)}" for name, verdicts in found.items()]
    return f" With one other threshold it would be: {'; '.join(words)}." if words else ""


def beside(case: Case, findings: Sequence[Finding]) -> str:
    """The numbers that stand beside claims and decide nothing, a line each, with their intervals by seeds."""
    return "\n".join(
        f"- {finding.claim}, {statistic}: {e if e.low == e.low else f'{e.value:.2f}'}"
        + (f", by seeds {e.by_seeds}" if e.seeds else "")
        for finding in findings
        if not case.missing([case.headline])
        for statistic, e in CLAIMS[finding.claim].beside(case)
    )


def table_of(findings: Sequence[Finding]) -> pd.DataFrame:
    """One row a criterion, for the notebook."""
    return pd.DataFrame(
        [
            {
                "claim": finding.claim, "statistic": c.statistic, "estimate [by settings]": c.words,
                "by seeds": c.estimate.by_seeds, "wanted": c.wanted, "holds": c.verdict, "n": finding.n,
                "verdict": finding.verdict,
            }
            for finding in findings
            for c in finding.criteria
        ]
    )  # fmt: skip


def save(findings: Sequence[Finding], folder: Path) -> None:
    """Write ``claims.json``, keeping the claims of other notebooks that stand there."""
    with updated(folder / "claims.json") as known:
        known |= {finding.claim: finding.content() for finding in findings}
        for claim in set(known) - set(CLAIMS):
            del known[claim]
