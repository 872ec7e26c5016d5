"""I1 to I5: wrong labels, unstable predictions, what calms them, and curvature at the limit of stability.

A row of the table is a network in a part of the study, ``curves`` hold what probes gave of it. The rules and their
margins were fixed before any network of the study was trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from prunability.analysis import instability as found_of
from prunability.analysis.ranks import tau_estimate
from prunability.analysis.resampling import Estimate, Sample, mean
from prunability.analysis.tables import sample_of
from prunability.claims.criteria import LEAST_RUNS, POSITIVE, STRONG, Criterion, Finding, Threshold
from prunability.claims.registry import Case, Claim
from prunability.measures import HEADLINE_MEASURE
from prunability.records.record import Record
from prunability.studies import Study

Judged = tuple[list[Criterion], str]
ALL = Threshold("share that fits", 0.9, (0.5, 0.8, 0.95))
RISE = Threshold("rise of the test error", 0.01, (0.0, 0.005, 0.02, 0.05))
# Full-batch gradient descent hovers about its limit, and a little above it.
LIMIT = Threshold("share of the limit", 1.1, (1.0, 1.25, 1.5))
# Below this share of its limit no curvature was ever held by it.
NEAR = 0.5
LEAST = 5
# What one training differs from another in; its checkpoints are runs, but no networks more.
TRAINING = ["seed", "label_noise", "width", "depth", "learning_rate", "batch_size", "warmup_epochs", "option"]


def case_of_runs(study: Study, records: Sequence[Record], seed: int) -> Case:
    """What the claims are put to: all runs of the study that did not diverge, and what probes gave of them."""
    table = found_of.instability_table(records, study.parts)
    curves = {record.config.hash: record.curves for record in records}
    return Case(table, sample_of(table, seed), (), study.claims, (), curves=curves)


def i1(case: Case) -> Judged:
    """Networks reach the target loss whatever share of labels is wrong; prunability's tau with it above ``STRONG``.

    Share 1 is: every label is one of the wrong ones, uniformly. Tau is over networks, its interval by shares.
    """
    own = case.table[case.table["part"] == "grid"]
    fits = own["status"] == "converged"
    least = fits.groupby(own["label_noise"]).mean().min()
    used = own[fits]
    if used["label_noise"].nunique() < LEAST:
        return [], "too few shares of wrong labels are fitted"
    e = tau_estimate(used[HEADLINE_MEASURE], used["label_noise"], sample_of(used, case.sample.seed))
    words = "smallest share of networks that reach the target loss, over shares of wrong labels"
    return [
        Criterion(words, Estimate(least, least, least), "above", ALL, place=True),
        Criterion("τ of prunability with the share of wrong labels", e, "above", STRONG),
    ], ""


def i2(case: Case) -> Judged:
    """Tau over test points of label entropy over a run's late epochs with that over other seeds, above ``STRONG``.

    The mean over trainings of every option, its interval by trainings.
    """
    taus = found_of.agreement(found_of.one_run(case.table, case.curves)).dropna()
    if len(taus) < LEAST:
        return [], "too few trainings have test points of which predictions change"
    words = "τ over test points of label entropy over late epochs with that over other seeds"
    return [Criterion(words, mean(taus, case.sample.seed), "above", STRONG)], ""


def i3(case: Case) -> Judged:
    """Tau over settings of mean label entropy with mean prunability above 0, its interval by settings."""
    own = found_of.settings(case.table, case.curves)
    if len(own) < LEAST:
        return [], "too few settings have several networks"
    e = tau_estimate(own["instability"], own[HEADLINE_MEASURE], Sample(tuple(range(len(own))), case.sample.seed))
    return [Criterion("τ of mean label entropy with prunability over settings", e, "above", POSITIVE)], ""


def _changes(case: Case, option: str) -> tuple[Estimate, Estimate]:
    own, seed = found_of.paired(case.table, case.curves), case.sample.seed
    own = own[own["option"] == option]
    return mean(-own["instability"], seed), mean(own["test_error"], seed)


def i4(case: Case) -> Judged:
    """Temporal smoothing lowers label entropy, and raises the test error by less than ``RISE``; paired by seed."""
    if found_of.last(case.table)["seed"].nunique() < 2:
        return [], "too few seeds"
    fall, rise = _changes(case, "temporal smoothing")
    return [
        Criterion("fall of mean label entropy by temporal smoothing, in nats", fall, "above", POSITIVE),
        Criterion("rise of the test error by temporal smoothing", rise, "below", RISE),
    ], ""


def others(case: Case) -> list[tuple[str, Estimate]]:
    """The same of label smoothing and of the confidence penalty; how far networks without an option have come."""
    plain = found_of.last(case.table)
    plain, seed = plain[plain["option"] == "none"], case.sample.seed
    found = [
        ("training error without an option", mean(plain["train_error"], seed)),
        ("test error without an option", mean(plain["test_error"], seed)),
    ]
    for option in ("label smoothing", "confidence penalty"):
        fall, rise = _changes(case, option)
        found += [
            (f"fall of mean label entropy by {option}, in nats", fall),
            ("rise of the test error by it", rise),
        ]
    return found


def i5(case: Case) -> Judged:
    """λ_max ends below ``LIMIT`` times (2 + 2μ)/η without a warm-up, and a warm-up lowers its highest value.

    At the last checkpoint, by trainings; the peaks, as log10, paired by training. No verdict where no training
    comes near its limit: then the limit held nothing.
    """
    own, tops = found_of.curvature(case.table), found_of.peaks(case.table)
    plain = own[own["warmup_epochs"] == 0]
    if len(tops) < LEAST or not np.isfinite(own["of_limit"]).all():
        return [], "too few trainings, or curvature that Lanczos did not find"
    if not plain["of_limit"].max() > NEAR:
        return [], "no training's curvature comes near the limit of stability"
    ends = plain.groupby("training")["of_limit"].last()
    lower = np.log10(tops[0]) - np.log10(tops[tops.columns.max()])
    return [
        Criterion("λ_max over (2 + 2μ)/η at the end", mean(ends, case.sample.seed), "below", LIMIT),
        Criterion("fall of the highest log₁₀ λ_max by a warm-up", mean(lower, case.sample.seed), "above", POSITIVE),
    ], ""


def _claim(key: str, part: str, words: str, short: str, rule: Callable[[Case], Judged]) -> Claim:
    def judge(case: Case) -> Finding:
        own = case.table[case.table["part"] == part]
        made, n = len(own), own.groupby(TRAINING, dropna=False).ngroups
        criteria, undecided = rule(case) if made else ([], "no network of this part is finished")
        return Finding(key, n, tuple(criteria), case.may_claim and made >= LEAST_RUNS, undecided)

    return Claim(
        key, words, short, "instability", judge, follows_target=False, of_abstract=False, case=case_of_runs
    )


I1 = _claim(
    "I1", "grid", "Networks fit random labels, and keep more weights the more labels are wrong.", "fits noise", i1
)
I2 = _claim(
    "I2",
    "options",
    "Late epochs of one training tell which test points are unstable over seeds.",
    "one run tells",
    i2,
)
I3 = _claim("I3", "settings", "Unstable settings keep more weights.", "unstable is large", i3)
I4 = replace(
    _claim(
        "I4",
        "options",
        "Targets mixed with the network's own mean predictions lower instability at no cost in test error.",
        "calms",
        i4,
    ),
    beside=others,
)
I5 = _claim(
    "I5",
    "curvature",
    "Curvature ends at the limit of stability or below it, and a warm-up lowers its peak.",
    "edge of stability",
    i5,
)
