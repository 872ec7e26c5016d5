"""Did it reproduce? One's own runs of a study against its published table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunability.analysis.ranks import kendall_tau
from prunability.analysis.tables import compared, runs_table
from prunability.claims import Finding, case_of, of_study
from prunability.claims.words import markdown
from prunability.foundation.errors import PrunabilityError
from prunability.measures import HEADLINE_MEASURE
from prunability.records.record import Record
from prunability.records.sources import of_study as records_of_study
from prunability.records.tables import Published
from prunability.records.workers import processor_of
from prunability.studies import Study
from prunability.training.config import VERSION

VALUES = {
    "test_loss": "test loss (nats)",
    "test_error": "test error (fraction)",
    "steps": "steps of training",
    HEADLINE_MEASURE: "prunability, ε = 0.1",
}


# What of a record's environment can change its bits.
ARITHMETIC = ("device", "mkl", "aten", "onednn", "threads", "torch", "python")


@dataclass(frozen=True)
class Reproduction:
    """How one's own runs compare with the published ones of the same configurations.

    ``runs`` counts those that both have, ``only_here`` and ``only_there`` the others, ``identical`` those whose
    results, measures and weights are the same bit for bit. ``values`` has a row for each of :data:`VALUES`: the
    median and the largest difference of a run's two values, and the Kendall tau between the two over runs.
    ``verdicts`` has a row a claim, ``conditions`` a row a condition, here and published. ``made`` says on what and
    with which arithmetic, where the two differ in it.
    """

    study: str
    profile: str
    runs: int
    only_here: int
    only_there: int
    identical: int
    values: pd.DataFrame
    verdicts: pd.DataFrame
    conditions: pd.DataFrame
    made: dict[str, tuple[str, str]]


def reproduction(study: Study, records: Sequence[Record], table: Published, seed: int) -> Reproduction:
    """Compare finished runs with those of a published table, and what the claims come to on each.

    Raises:
        PrunabilityError: the two are of other images, another version or another seed: nothing is comparable.
    """
    own = {record.config.hash: record for record in records}
    theirs = {record.config.hash: record for record in records_of_study(study, table.records)}
    both = [run for run in own if run in theirs]
    if not both:
        raise PrunabilityError(
            f"{study.name}, {study.profile}: no finished run here, of {study.data.title} and version {VERSION}, is "
            f"one of the published table, which is of {table.origin.data.title}, seed {table.origin.seed}, version "
            f"{table.version}"
        )
    first, second = (runs_table([side[run] for run in both]) for side in (own, theirs))
    here, there = (_findings(study, list(side.values()), seed) for side in (own, theirs))
    conditions = _conditions(here).merge(
        _conditions(there), on=["claim", "condition"], how="outer", suffixes=("", "_published")
    )
    verdicts = [(a.claim, a.verdict, b.verdict) for a, b in zip(here, there, strict=True)]
    return Reproduction(
        study.name,
        study.profile,
        len(both),
        len(own) - len(both),
        len(theirs) - len(both),
        sum(own[run].checksum == theirs[run].checksum for run in both),
        pd.DataFrame([_row(name, label, first, second) for name, label in VALUES.items()]),
        pd.DataFrame(verdicts, columns=["claim", "verdict", "verdict_published"]),
        conditions,
        _made(list(own.values()), list(theirs.values())),
    )


def _row(name: str, label: str, first: pd.DataFrame, second: pd.DataFrame) -> dict[str, object]:
    pairs = np.stack([first[name].to_numpy(float), second[name].to_numpy(float)])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    apart = np.abs(pairs[0] - pairs[1])
    tau = kendall_tau(*pairs) if pairs.shape[1] > 1 else float("nan")
    median, largest = (np.median(apart), apart.max()) if len(apart) else (np.nan, np.nan)
    return {"value": label, "median difference": float(median), "largest difference": float(largest), "τ": tau}


def _findings(study: Study, records: Sequence[Record], seed: int) -> list[Finding]:
    table = compared(runs_table(records))
    case = case_of(study, table[table["run"].isin(study.parts["grid"])].reset_index(drop=True), seed)
    return [claim.judge(case) for claim in of_study(study.name)]


def _conditions(findings: Sequence[Finding]) -> pd.DataFrame:
    # A place, such as (8 of 46), is what is compared and no part of the condition's name.
    rows = [
        (finding.claim, re.sub(r" \(\d+ of [^)]*\)", "", c.statistic), c.words)
        for finding in findings
        for c in finding.criteria
    ]
    return pd.DataFrame(rows, columns=["claim", "condition", "estimate"])


def _made(own: Sequence[Record], theirs: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """The processors, and what of the arithmetic differs, here and there."""

    def all_of(records: Sequence[Record], key: str) -> str:
        return ", ".join(sorted({str(record.environment.get(key, "not said")) for record in records}))

    processors = [", ".join(sorted({processor_of(record) for record in side})) for side in (own, theirs)]
    found = {"processor": (processors[0], processors[1])}
    found |= {key: (all_of(own, key), all_of(theirs, key)) for key in ARITHMETIC}
    return {key: (here, there) for key, (here, there) in found.items() if key == "processor" or here != there}


def words(found: Reproduction, conditions: bool = True) -> str:
    """It in Markdown, with or without the ``conditions`` whose estimates differ."""
    moved = found.verdicts[found.verdicts["verdict"] != found.verdicts["verdict_published"]]
    changes = [f"{r.claim} is *{r.verdict}* here, *{r.verdict_published}* there" for r in moved.itertuples()]
    rest = [
        f"{number} {what}"
        for number, what in (
            (found.only_here, "are only here"),
            (found.only_there, "of the published are not here"),
        )
        if number
    ]
    here, there = found.made["processor"]
    differs = [f"{key} is {a} here, {b} there" for key, (a, b) in found.made.items() if key != "processor"]
    lines = [
        f"**{found.study}, {found.profile}**: of {found.runs} runs that both have, {found.identical} are the same "
        f"bit for bit{'; ' * bool(rest)}{'; '.join(rest)}. Made here on {here}, there on {there}"
        f"{'; ' * bool(differs)}{'; '.join(differs)}. "
        f"{len(found.verdicts) - len(moved)} of {len(found.verdicts)} verdicts are the same"
        f"{': ' * bool(changes)}{'; '.join(changes)}.",
        "",
    ]
    if found.identical < found.runs:
        lines += [markdown(found.values.map(lambda v: f"{v:.3g}" if isinstance(v, float) else v)), ""]
    differing = found.conditions.fillna("–").query("estimate != estimate_published")
    if conditions and len(differing):
        lines.append(markdown(differing.rename(columns={"estimate": "here", "estimate_published": "published"})))
    return "\n".join(lines)
