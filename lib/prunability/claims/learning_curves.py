"""F1 to F3, N1 and N2: flatness, margins and prunability along training, and over the size of the training set.

Each rule takes the table of compared runs and a seed, and gives its conditions and why the runs cannot decide. The
rules, and which flatness and which margin they are about, were fixed before any of the runs was made.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from prunability.analysis import learning_curves as curves
from prunability.analysis.ranks import tau_difference, tau_estimate, tau_within
from prunability.analysis.resampling import Estimate, Sample, mean
from prunability.analysis.tables import compared, runs_table
from prunability.claims.criteria import LEAST_RUNS, POSITIVE, STRONG, Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim, case_of
from prunability.measures import HEADLINE_MEASURE
from prunability.records.record import Record
from prunability.studies import Study

Judged = tuple[list[Criterion], str]
CLOSE = Threshold("−r", 0.7, (0.5, 0.6, 0.8, 0.9))
# Trainings, or choices of hyperparameters, below which a rule has too few to draw from.
LEAST = 5
OWN, RIVALS = HEADLINE_MEASURE, {"log_trace": "the Hessian trace", "inverse_margin": "the margin"}


def case_of_runs(study: Study, records: Sequence[Record], seed: int) -> Case:
    """What the claims are put to: all compared runs of the study."""
    return case_of(study, compared(runs_table(records)), seed)


def _independent(table: pd.DataFrame, seed: int) -> Sample:
    return Sample(tuple(range(len(table))), seed)


def f1(table: pd.DataFrame, seed: int) -> Judged:
    """−r of log10 of the Hessian trace with the 10th percentile of the margins above ``CLOSE``.

    Pearson's r over all checkpoints whose training error is below ``FITS``; its interval is by trainings.
    """
    found = curves.fitted(table)
    if found["training"].nunique() < LEAST:
        return [], "too few trainings reach so small a training error"
    words = "−r of the log of the Hessian trace with the 10th percentile of the margins"
    return [Criterion(words, _flat_and_wide(found, seed), "above", CLOSE)], ""


def _flat_and_wide(found: pd.DataFrame, seed: int) -> Estimate:
    sample = Sample(tuple(found["training"]), seed, seed_resamples=0)
    return curves.pearson(-found["log_trace"], found["margin"], sample)


def f2(table: pd.DataFrame, seed: int) -> Judged:
    """An equal margin takes something from the largest batch's excess of test loss, and leaves it not above 0.

    Paired by seed. Where the excess is not above 0 at equal epochs there is nothing that could go away.
    """
    gaps = curves.batch_gaps(table)
    if len(gaps) < 2 or not np.isfinite(gaps.to_numpy(float)).all():
        return [], "the margins of the smallest and the largest batch do not meet in two seeds or more"
    if not (before := mean(gaps["equal_epochs"], seed)).low > 0:
        return [], f"at equal epochs the largest batch's test loss exceeds the smallest's by {before} nats"
    taken = mean(gaps["equal_epochs"] - gaps["equal_margin"], seed)
    left = mean(gaps["equal_margin"], seed).low
    return [
        Criterion(
            "excess of the largest batch's test loss that an equal margin takes, in nats", taken, "above", POSITIVE
        ),
        Criterion(
            "lower end of what it leaves, in nats", Estimate(left, left, left), "at most", POSITIVE, place=True
        ),
    ], ""


def f3(table: pd.DataFrame, seed: int) -> Judged:
    """Prunability's tau with the test loss above that of the Hessian trace and that of the margin, in two ways.

    Over trainings at equal training loss, and over the checkpoints of each training, the mean of these.
    """
    equal, along = curves.equal_loss(table).dropna(), curves.along(table).dropna()
    if min(len(equal), len(along)) < LEAST:
        return [], "too few trainings have a positive margin where all have the same training loss, or three times"
    criteria = []
    for rival, words in RIVALS.items():
        e = tau_difference(equal[OWN], equal[rival], equal["test_loss"], _independent(equal, seed))
        criteria.append(
            Criterion(f"τ of prunability minus τ of {words}, at equal training loss", e, "above", POSITIVE)
        )
        e = mean(along[OWN] - along[rival], seed)
        criteria.append(Criterion(f"τ of prunability minus τ of {words}, along training", e, "above", POSITIVE))
    return criteria, ""


def n1(table: pd.DataFrame, seed: int) -> Judged:
    """Tau of prunability at few examples with the test loss at all above ``STRONG``; means over seeds, by choices.

    Few are the most that are at most ``FEW`` of all.
    """
    found = curves.orders(table, seed)
    found = found[(found["name"] == OWN) & (found["n_train"] <= curves.FEW * table["n_train"].max())]
    if found.empty or found["n"].min() < LEAST:
        return [], "too few choices of hyperparameters reach the target loss on few examples and on all"
    row = found.sort_values("n_train").iloc[-1]
    words = f"τ of prunability on {row['n_train']} examples with the test loss on all"
    return [Criterion(words, Estimate(row["tau"], row["low"], row["high"]), "above", STRONG)], ""


def n2(table: pd.DataFrame, seed: int) -> Judged:
    """Tau of prunability with the test loss above ``STRONG`` over choices, sizes and seeds; interval by choices."""
    found = curves.choices(table)
    if found["choice"].nunique() < LEAST:
        return [], "too few choices of hyperparameters reach the target loss"
    e = tau_estimate(found[OWN], found["test_loss"], Sample(tuple(found["choice"]), seed, seed_resamples=0))
    return [Criterion("τ of prunability with the test loss over settings and sizes", e, "above", STRONG)], ""


def at_each_size(case: Case) -> list[tuple[str, Estimate]]:
    """Tau of prunability with the test loss at each size alone, and over sizes and seeds within each setting."""
    found, seed = curves.choices(case.table), case.sample.seed
    if len(found) < 2:
        return []
    sample = Sample(tuple(found["choice"]), seed, seed_resamples=0)
    alone = [
        (f"τ on {n} examples", tau_estimate(own[OWN], own["test_loss"], Sample(tuple(own["choice"]), seed)))
        for n, own in found.groupby("n_train")
    ]
    return [
        *alone,
        ("τ over sizes and seeds within each setting", tau_within(found[OWN], found["test_loss"], sample)),
    ]


def within_batches(case: Case) -> list[tuple[str, Estimate]]:
    """F1's correlation among the checkpoints of each batch size alone."""
    return [
        (f"the same with batches of {batch}", _flat_and_wide(own, case.sample.seed))
        for batch, own in curves.fitted(case.table).groupby("batch_size")
        if len(own) > 2
    ]


def at_equal_margin(case: Case) -> list[tuple[str, Estimate]]:
    """What an equal margin leaves of F2's excess: the upper end is the largest that these seeds may have missed."""
    left = curves.batch_gaps(case.table)["equal_margin"].dropna()
    words = "excess of the largest batch's test loss at an equal margin, in nats"
    return [(words, mean(left, case.sample.seed))] if len(left) > 1 else []


def _claim(
    key: str,
    words: str,
    short: str,
    rule: Callable[[pd.DataFrame, int], Judged],
    used: Callable[[pd.DataFrame], pd.DataFrame],
) -> Claim:
    def judge(case: Case) -> Finding:
        criteria, undecided = rule(case.table, case.sample.seed)
        n = len(used(case.table))
        made = int((case.table["stop_at_target"] == key.startswith("N")).sum())
        enough = case.may_claim and made >= LEAST_RUNS
        return Finding(key, n, tuple(criteria), enough, undecided)

    return Claim(key, words, short, "learning-curves", judge, of_abstract=False, case=case_of_runs)


F1 = replace(
    _claim(
        "F1",
        "Where nine in ten training examples are fitted, flat networks have large margins.",
        "flat is wide",
        f1,
        curves.fitted,
    ),
    beside=within_batches,
)
F2 = replace(
    _claim(
        "F2",
        "The worse test loss of large batches goes away at an equal margin.",
        "margins, not batches",
        f2,
        curves.checkpoints,
    ),
    beside=at_equal_margin,
)
F3 = _claim(
    "F3",
    "The test loss follows prunability more closely than flatness or margin, at equal training loss and in time.",
    "closer than both",
    f3,
    curves.fitted,
)
N1 = _claim(
    "N1",
    "Prunability on few examples orders settings as their test loss on all does.",
    "tells early",
    n1,
    curves.choices,
)
N2 = replace(
    _claim(
        "N2",
        "Prunability predicts the test loss also where the number of examples varies.",
        "across sizes",
        n2,
        curves.choices,
    ),
    beside=at_each_size,
)
