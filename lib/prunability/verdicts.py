"""What decides each claim: statistics of the table of converged runs, put to :func:`claims.judge`."""

from collections.abc import Sequence

import pandas as pd

from prunability.claims import (
    LEAST_RUNS,
    LITTLE_INFORMATION,
    NEAR,
    NEGLIGIBLE,
    STRONG,
    TOP_SHARE,
    Claim,
    Count,
    Criterion,
    judge,
)
from prunability.descent import peak, peak_distance
from prunability.information import pair_information
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.statistics import (
    Estimate,
    interval,
    partial_tau_estimate,
    resample_counts,
    tau_difference,
    tau_estimate,
    taus,
)
from prunability.tables import usable

TARGET = "test_loss"
# What C4 weighs prunability against, in the claim's words.
EXPLANATIONS = ("margin", "flatness", "optimization speed")
MARGINS = ("inverse_margin", "negative_mean_margin")


def rivals(table: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """Usable measures that are no variant of prunability: those are no competitors of it."""
    return usable(table, [name for name in measures if not name.startswith("prunability_")])[0]


def family_of(measures: Sequence[str], family: str) -> list[str]:
    """The measures of a family."""
    return [name for name in measures if all_measures()[name].family == family]


def strongest(table: pd.DataFrame, measures: Sequence[str]) -> str | None:
    """The usable measure, no variant of prunability, with the highest tau with test loss; None without any."""
    names = rivals(table, measures)
    if not names:
        return None
    values = taus(table[names].to_numpy().T, table[TARGET])[0, :, 0]
    return names[int(values.argmax())]


def _enough(table: pd.DataFrame, may_claim: bool) -> bool:
    return may_claim and len(table) >= LEAST_RUNS and bool(usable(table, [HEADLINE_MEASURE])[0])


def predictive(table: pd.DataFrame, measures: Sequence[str], seed: int, may_claim: bool) -> Claim:
    """C1: tau of prunability with test loss above 0.3, and its rank among all measures in the top quarter.

    The rank is taken among prunability at its headline and every measure that is no variant of it. Its
    share, rank over number, has an interval by resampling runs, but a rank is a place and not an estimate:
    the criterion looks at the place itself.
    """
    if not usable(table, [HEADLINE_MEASURE])[0]:
        return judge("C1", len(table), [], False)
    names = [HEADLINE_MEASURE, *rivals(table, measures)]
    x, y = table[names].to_numpy().T, table[TARGET].to_numpy()
    values = taus(x, y)[0, :, 0]
    place = int((values > values[0]).sum()) + 1
    resampled = taus(x, y, resample_counts(len(table), seed))[:, :, 0]
    low, high = interval(((resampled > resampled[:, :1]).sum(axis=1) + 1) / len(names))
    criteria = [
        Criterion("τ of prunability with test loss", tau_estimate(x[0], y, seed), "above", STRONG),
        Count(
            f"rank ({place} of {len(names)}, its own variants not counted) as a share",
            Estimate(place / len(names), float(low), float(high)),
            "below",
            TOP_SHARE,
        ),
    ]
    return judge("C1", len(table), criteria, _enough(table, may_claim))


def follows_double_descent(table: pd.DataFrame, seed: int, may_claim: bool) -> Claim:
    """C3: tau with test loss over widths and seeds above 0.3, and peaks at most one width apart.

    Only a test-loss curve that really has an interior peak can decide it.
    """
    found = peak(table, TARGET)
    if found is None or not usable(table, [HEADLINE_MEASURE])[0]:
        return judge("C3", len(table), [], False)
    criteria = [
        Criterion(
            "τ of prunability with test loss",
            tau_estimate(table[HEADLINE_MEASURE], table[TARGET], seed),
            "above",
            STRONG,
        ),
        Criterion("prominence of the interior peak of test loss, in nats", found.prominence, "above", 0.0),
    ]
    if found.real:  # else there is no peak that another could be far from
        distance = peak_distance(table, HEADLINE_MEASURE, seed)
        words = "distance between the peaks of prunability and test loss, in width steps"
        criteria.insert(1, Count(words, distance, "below", NEAR))
    missing = "" if found.real else "the test loss has no interior peak here that stands out from its noise"
    return judge("C3", len(table), criteria, _enough(table, may_claim), undecided=missing)


def size_free(table: pd.DataFrame, seed: int, may_claim: bool) -> Claim:
    """C2: prunability does not grow with the parameter count, the kept-parameter count does."""
    size, kept = table["parameter_count"], table[HEADLINE_MEASURE] * table["prunable_weight_count"]
    own = tau_estimate(table[HEADLINE_MEASURE], size, seed)
    criteria = [
        Criterion("τ of prunability with the parameter count", own, "below", NEGLIGIBLE),
        Criterion(
            "τ of the kept-parameter count with the parameter count",
            tau_estimate(kept, size, seed),
            "above",
            STRONG,
        ),
    ]
    return judge("C2", len(table), criteria, _enough(table, may_claim))


def explanations(table: pd.DataFrame, measures: Sequence[str]) -> dict[str, str]:
    """For each of :data:`EXPLANATIONS` the measure of it that predicts the test loss best, if one is usable."""
    margins = [name for name in measures if name in MARGINS]
    members = (margins, family_of(measures, "flatness"), family_of(measures, "speed"))
    found = {words: strongest(table, names) for words, names in zip(EXPLANATIONS, members, strict=True)}
    return {words: name for words, name in found.items() if name is not None}


def not_explained(table: pd.DataFrame, measures: Sequence[str], seed: int, may_claim: bool) -> Claim:
    """C4: partial tau of prunability with test loss given margin, flatness, speed, and all three, above 0.

    Each is represented by the one of its measures that predicts the test loss best, which is the hardest
    for prunability to add to.
    """
    given = explanations(table, measures)
    known, criteria = all_measures(), []
    sets = {f"{words} ({known[name].label})": [name] for words, name in given.items()}
    if len(given) > 1:
        sets["all of them"] = list(given.values())
    for words, names in sets.items():
        columns = table[names].to_numpy().T
        partial = partial_tau_estimate(table[HEADLINE_MEASURE], table[TARGET], columns, seed)
        criteria.append(Criterion(f"partial τ with test loss given {words}", partial, "above", 0.0))
    enough = _enough(table, may_claim) and len(given) == len(EXPLANATIONS)
    return judge("C4", len(table), criteria, enough, swept=None)


def better_than_flatness(table: pd.DataFrame, measures: Sequence[str], seed: int, may_claim: bool) -> Claim:
    """C5: tau above that of the best flatness measure (paired), and a tau with that measure above 0.3."""
    name = strongest(table, family_of(measures, "flatness"))
    if name is None:
        return judge("C5", len(table), [], False)
    own, label = table[HEADLINE_MEASURE], all_measures()[name].label
    criteria = [
        Criterion(
            f"τ of prunability minus that of {label}, with test loss",
            tau_difference(own, table[name], table[TARGET], seed),
            "above",
            0.0,
        ),
        Criterion(f"τ of prunability with {label}", tau_estimate(own, table[name], seed), "above", STRONG),
    ]
    return judge("C5", len(table), criteria, _enough(table, may_claim))


def little_shared(table: pd.DataFrame, measures: Sequence[str], seed: int, may_claim: bool) -> Claim:
    """C6: normalised mutual information with every baseline that is not flatness below 0.25."""
    known = all_measures()
    names = [name for name in rivals(table, measures) if known[name].family != "flatness"]
    columns = table[[HEADLINE_MEASURE, *names]].to_numpy().T
    values = pair_information(columns, rows=1)[0, 0]
    low, high = interval(pair_information(columns, resample_counts(len(table), seed), rows=1)[:, 0])
    criteria = [
        Criterion(
            f"mutual information with {known[name].label}",
            Estimate(float(values[k]), float(low[k]), float(high[k])),
            "below",
            LITTLE_INFORMATION,
        )
        for k, name in enumerate(names, 1)
    ]
    return judge("C6", len(table), criteria, _enough(table, may_claim), swept=LITTLE_INFORMATION)
