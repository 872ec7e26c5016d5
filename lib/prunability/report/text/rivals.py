"""Sentences of the notebook on prunability's rivals, in Markdown, every number computed from the tables."""

import math
from typing import Any

import pandas as pd
from scipy.optimize import brentq

from prunability.analysis.resampling import Estimate
from prunability.analysis.sign_errors import SignErrors
from prunability.claims.shared import LITTLE
from prunability.claims.words import markdown
from prunability.foundation.typography import minus
from prunability.measures import HEADLINE_MEASURE
from prunability.report.text.correlation import not_ranked

# So many of the best measures are shown of a long table, and prunability.
SHOWN = 5


def most_information(least: pd.DataFrame) -> str:
    """The measures with the largest K(μ) and prunability, with their places, from a table of all by K(μ)."""
    table = least.sort_values("least_information", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "place", [f"{place + 1}" for place in range(len(table))])
    shown = table[(table.index < SHOWN) | (table["measure"] == HEADLINE_MEASURE)].drop(
        columns=["measure", "family"]
    )
    return markdown(shown.assign(given=shown["given"].str.replace("_", " ")))


def comparison(
    runs_used: pd.DataFrame, measures: list[str], shared: pd.DataFrame, partial: pd.DataFrame, gains: pd.DataFrame
) -> str:
    """What the comparison with other measures shows, and which measures could not enter it."""
    ordered = shared.sort_values("information")
    closest, farthest = ordered.iloc[-1], ordered.iloc[0]
    rows = {str(row.given): row for row in partial[partial["target"] == "test_loss"].itertuples()}
    plain, explained = rows["nothing"], rows["all three"]
    others = gains[gains["measure"] != HEADLINE_MEASURE]
    most = others.sort_values("adds_to_prunability").iloc[-1]
    return "\n".join(
        [
            f"- Of all measures, {closest['label']} shares most with prunability "
            f"({closest['information']:z.2f} of the smaller entropy), {farthest['label']} least "
            f"({farthest['information']:z.2f}).",
            f"- The association of prunability with test loss is {_interval(plain)}, as the correlation of a "
            f"Gaussian copula; given margin, flatness and optimization speed it is {_interval(explained)}.",
            f"- {most['label']} adds most to prunability in a linear regression of the test loss: adjusted R² "
            f"changes by {minus(format(most['adds_to_prunability'], '+.2f'))}.",
            *not_ranked(runs_used, measures),
        ]
    )


def environments(weighted: SignErrors, summary: pd.DataFrame, test_size: int) -> str:
    """How many environments can be told from sampling noise, and prunability's sign errors there."""
    total = weighted.errors.shape[1] + weighted.left_out
    lines = [
        f"Environments with a weight: {weighted.errors.shape[1]} of {total}. With {test_size} test images, the "
        f"test errors of the other {weighted.left_out} may differ by chance alone. The effective sample size is "
        f"{weighted.effective:.1f}."
    ]
    own = summary[summary["measure"] == HEADLINE_MEASURE]
    if len(own) and weighted.errors.shape[1]:
        row = own.iloc[0]
        ends = ""
        if weighted.pairs.max() > 1:  # with one pair an environment both are 1 for every measure
            ends = f", the 90th percentile {row['percentile_90']:z.2f} and the maximum {row['maximum']:z.2f}"
        place = int((summary["mean"] < row["mean"]).sum()) + 1
        ordered = summary.sort_values("mean", kind="stable")
        best, worst = ordered.iloc[0], ordered.iloc[-1]
        lines.append(
            f"There, prunability's sign error has the mean {row['mean']:z.2f}{ends}: number {place} of "
            f"{len(summary)} from the smallest, which is {best['mean']:z.2f} ({best['label']}), to the largest, "
            f"{worst['mean']:z.2f} ({worst['label']})."
        )
    return " ".join(lines)


def information_as_tau() -> str:
    """What C6's threshold means as a rank correlation: without ties the information is a function of |τ|."""

    def information(tau: float) -> float:
        shares = ((1 + tau) / 2, (1 - tau) / 2)
        return 1 + sum(share * math.log2(share) for share in shares if share)

    tau = brentq(lambda tau: information(tau) - LITTLE.value, 0, 1)
    return (
        f"Where neither of two measures has ties, their mutual information is a function of |τ| alone: "
        f"{LITTLE.value:g} is that of |τ| = {tau:z.2f}."
    )


def _interval(row: Any) -> str:
    return str(Estimate(row.association, row.low, row.high))
