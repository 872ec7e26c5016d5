"""Did it reproduce? One's own runs of a study against its published table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunability.claims import case_of, of_study
from prunability.config import PrunabilityError
from prunability.gathering import of_study as records_of_study
from prunability.measures import HEADLINE_MEASURE
from prunability.published import Published
from prunability.statistics import kendall_tau
from prunability.store import Record, processor_of
from prunability.studies import Study
from prunability.tables import compared, runs_table

VALUES = {
    "test_loss": "test loss (nats)",
    "test_error": "test error (fraction)",
    "steps": "steps of training",
    HEADLINE_MEASURE: "prunability, ε = 0.1",
}


@dataclass(frozen=True)
class Reproduction:
    """How one's own runs compare with the published ones of the same configurations.

    ``identical`` counts those whose results, measures and weights are the same bit for bit. ``values`` has a row
    for each of :data:`VALUES`: the median and the largest difference of a run's two values, and the Kendall tau
    between the two over runs. ``claims`` has a row for each condition of each claim, there and here.
    """

    study: str
    profile: str
    runs: int
    identical: int
    missing: int
    values: pd.DataFrame
    claims: pd.DataFrame
    here: tuple[str, ...]
    there: tuple[str, ...]


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
            f"{study.name}, {study.profile}: no run here is one of the published table, which is of "
            f"{table.origin.data.title}, seed {table.origin.seed}, version {table.version}"
        )
    first, second = (runs_table([side[run] for run in both]) for side in (own, theirs))
    claims = _claims(study, list(own.values()), seed).merge(
        _claims(study, list(theirs.values()), seed),
        on=["claim", "condition"],
        how="outer",
        suffixes=("", "_published"),
    )
    return Reproduction(
        study.name,
        study.profile,
        len(both),
        sum(own[run].checksum == theirs[run].checksum for run in both),
        len(theirs) - len(both),
        pd.DataFrame([_row(name, label, first, second) for name, label in VALUES.items()]),
        claims,
        tuple(sorted({processor_of(record) for record in own.values()})),
        tuple(sorted({processor_of(record) for record in theirs.values()})),
    )


def _row(name: str, label: str, first: pd.DataFrame, second: pd.DataFrame) -> dict[str, object]:
    pairs = np.stack([first[name].to_numpy(float), second[name].to_numpy(float)])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    apart = np.abs(pairs[0] - pairs[1])
    tau = kendall_tau(*pairs) if pairs.shape[1] > 1 else float("nan")
    median, largest = (np.median(apart), apart.max()) if len(apart) else (np.nan, np.nan)
    return {"value": label, "median difference": float(median), "largest difference": float(largest), "τ": tau}


def _claims(study: Study, records: Sequence[Record], seed: int) -> pd.DataFrame:
    table = compared(runs_table(records))
    case = case_of(study, table[table["run"].isin(study.parts["grid"])].reset_index(drop=True), seed)
    rows = []
    for claim in of_study(study.name):
        finding = claim.judge(case)
        # A place, such as (8 of 46), is what is compared and no part of the condition's name.
        rows += [
            (claim.id, re.sub(r" \(\d+ of [^)]*\)", "", c.statistic), c.words, finding.verdict)
            for c in finding.criteria
        ]
    return pd.DataFrame(rows, columns=["claim", "condition", "estimate", "verdict"])


def words(found: Reproduction) -> str:
    """All of it in Markdown."""
    verdicts = found.claims.dropna().drop_duplicates("claim")
    moved = verdicts[verdicts["verdict"] != verdicts["verdict_published"]]
    changes = [f"{r.claim} is *{r.verdict}* here, *{r.verdict_published}* there" for r in moved.itertuples()]
    lines = [
        f"**{found.study}, {found.profile}**: of {found.runs} runs that both have, {found.identical} are the same "
        f"bit for bit{f'; {found.missing} of the published are not here' if found.missing else ''}. Made here on "
        f"{', '.join(found.here)}, there on {', '.join(found.there)}. "
        f"{len(verdicts) - len(moved)} of {len(verdicts)} verdicts are the same"
        f"{': ' + '; '.join(changes) if changes else ''}.",
        "",
    ]
    if found.identical < found.runs:
        lines += _markdown(found.values.map(lambda v: f"{v:.3g}" if isinstance(v, float) else v))
    shown = found.claims[["claim", "condition", "estimate", "estimate_published"]].fillna("–")
    differing = shown[shown["estimate"] != shown["estimate_published"]]
    if len(differing):
        heads = {"estimate": "here", "estimate_published": "published"}
        lines += _markdown(differing.rename(columns=heads))
    return "\n".join(lines)


def _markdown(frame: pd.DataFrame) -> list[str]:
    rows = [list(frame.columns), ["---"] * frame.shape[1], *frame.to_numpy().tolist()]
    return [f"| {' | '.join(map(str, row))} |" for row in rows] + [""]
