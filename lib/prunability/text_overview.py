"""Sentences of the overview, in Markdown, every number computed from the runs."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from prunability.claims import CLAIMS, LITTLE_INFORMATION, NEGLIGIBLE, STRONG, Claim, networks_needed, sentence
from prunability.descent import correlations, peak, top
from prunability.figures_overview import SIGNS
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.overview import Evidence, Overview, of_claim
from prunability.sensitivity import AS_IT_IS, THRESHOLDS
from prunability.statistics import Estimate, kendall_tau
from prunability.studies import STUDIES
from prunability.tables import granulated, ranked_measures
from prunability.text import within
from prunability.verdicts import explanations, family_of, rivals, strongest


def where(overview: Overview) -> str:
    """Where each profile's runs come from."""
    lines = []
    for found in overview.evidence:
        study, gathered = found.session.study, found.session.gathered
        words = gathered.words.removeprefix(f"Runs on {gathered.title}: ")
        lines.append(f"- **{study.profile}**, {study.name}, {study.data.title}: {words}")
    return "\n".join(lines)


def verdicts(table: pd.DataFrame) -> str:
    """The verdicts in a table: a row a claim, a column a profile."""
    names = list(dict.fromkeys(table["profile"]))
    lines = [f"| claim | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for claim, part in table.groupby("claim"):
        known = dict(zip(part["profile"], part["verdict"], strict=True))
        cells = [f"{SIGNS[known[name]]} {known[name]}" if name in known else "no results" for name in names]
        lines.append(f"| **{claim}** {CLAIMS[str(claim)]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sentences(overview: Overview) -> str:
    """One paragraph for each claim and profile."""
    return "\n\n".join(sentence(claim, found.what) for key in CLAIMS for found, claim in of_claim(overview, key))


def moved(table: pd.DataFrame) -> str:
    """How many of the variations change each verdict, and which."""
    lines = []
    for (claim, profile), part in table.groupby(["claim", "profile"], sort=False):
        base = part.loc[part["varied"] == AS_IT_IS, "verdict"].iloc[0]
        rest = part[(part["varied"] != AS_IT_IS)]
        other = rest[rest["verdict"] != base]
        words = [
            f"{row['varied'] + ' ' if row['varied'] in THRESHOLDS else ''}{row['setting']} ({row['verdict']})"
            for _, row in other.iterrows()
        ]
        change = f"changes with {', '.join(words)}" if words else "does not change"
        lines.append((str(claim), f"- **{claim}**, {profile}: *{base}*; of {len(rest)} variations it {change}."))
    return "\n".join(line for _, line in sorted(lines, key=lambda item: item[0]))


def failures(overview: Overview) -> str:
    """What did not reproduce, and why, as far as the runs tell."""
    lines = []
    for key, claim in CLAIMS.items():
        for found, decided in of_claim(overview, key):
            if decided.verdict != "supported":
                profile = found.session.study.profile
                lines.append(f"**{key}, {profile}: {decided.verdict}** ({claim[0].lower()}{claim[1:-1]}).\n")
                lines += [f"- {line}" for line in (*_conditions(decided), *_reasons(found, decided))]
                lines.append("")
    return "\n".join(lines) or "Every claim is supported by every profile that has results."


def _conditions(claim: Claim) -> list[str]:
    if claim.verdict == "insufficient n":
        return [f"n = {claim.n} networks, or a profile that may claim nothing."]
    lines = [claim.undecided] if claim.undecided else []
    failed = [c for c in claim.criteria if c.verdict == "not supported"]
    open_ = [c for c in claim.criteria if c.verdict == "inconclusive"]
    if len(failed) > 3:
        lines.append(f"{len(failed)} of {len(claim.criteria)} conditions fail.")
    else:
        lines += [f"It fails because the {c.statistic} is {c.words} (wanted: {c.wanted})." for c in failed]
    for c in open_ if not failed else ():
        needed = networks_needed(c, claim.n)
        more = (
            f"if that estimate stays, about {needed:,} networks would tell"
            if needed
            else "that estimate is at the threshold or on its wrong side, so more networks alone would not help"
        )
        lines.append(f"It is open because the {c.statistic} is {c.words} (wanted: {c.wanted}); {more}.")
    return lines


def _reasons(found: Evidence, claim: Claim) -> list[str]:
    """What else the runs say of a claim that is not supported."""
    table, known = found.table, all_measures()
    if claim.id == "C1" and claim.criteria:
        hyperparameters = found.session.study.hyperparameters
        return [within(granulated(table, [HEADLINE_MEASURE], hyperparameters)), _best(table)]
    if claim.id == "C3" and claim.criteria:
        seed = found.session.parameters.seed
        loss = correlations(table, [HEADLINE_MEASURE], seed)
        loss = loss[loss["target"].str.startswith("test loss")]
        taus = [f"{row['half']} {Estimate(row['tau'], row['low'], row['high'])}" for _, row in loss.iterrows()]
        widths, of_loss = sorted(table["width"].unique()), peak(table, "test_loss")
        summit = f"; the test loss peaks at width {of_loss.at}" if of_loss is not None and of_loss.real else ""
        return [
            f"τ with test loss by half: {'; '.join(taus)}.",
            f"Prunability is largest at width {widths[top(table, HEADLINE_MEASURE)]}{summit}.",
        ]
    if claim.id == "C4" and claim.criteria:
        own = kendall_tau(table[HEADLINE_MEASURE], table["test_loss"])
        lines = [_direction(table, words, [name]) for words, name in explanations(table, ranked_measures()).items()]
        if own <= NEGLIGIBLE:
            lines.append(f"There is little success to explain: the τ of prunability with test loss is {own:.2f}.")
        return [line for line in lines if line]
    if claim.id == "C5" and claim.criteria:
        flatness = rivals(table, family_of(ranked_measures(), "flatness"))
        near = {name: kendall_tau(table[HEADLINE_MEASURE], table[name]) for name in flatness}
        alike = max(near, key=lambda name: near[name])
        words = f"Of the flatness measures {known[alike].label} is most like prunability, τ = {near[alike]:.2f}."
        return [line for line in (_direction(table, "flatness", flatness), words) if line]
    if claim.id == "C6" and claim.criteria:
        names = [name for name in rivals(table, ranked_measures()) if known[name].family != "flatness"]
        over = [
            name for name, c in zip(names, claim.criteria, strict=True) if c.estimate.value >= LITTLE_INFORMATION
        ]
        if not over:
            return []
        families = Counter(known[name].family for name in over)
        predictive = sum(abs(kendall_tau(table[name], table["test_loss"])) > STRONG for name in over)
        return [
            f"{len(over)} of {len(names)} baselines share at least {LITTLE_INFORMATION:g} with prunability "
            f"({', '.join(f'{number} of {family}' for family, number in families.items())}); "
            f"{predictive} of them order the networks by test loss themselves, one way or the other (|τ| above "
            f"{STRONG:g})."
            + (" Whatever predicts well must share what it predicts." if 2 * predictive > len(over) else "")
        ]
    return []


def _direction(table: pd.DataFrame, family: str, names: Sequence[str]) -> str:
    """That no measure of a family orders the networks as its source expects, if so."""
    taus = {name: kendall_tau(table[name], table["test_loss"]) for name in names}
    best = max(taus, key=lambda name: taus[name])
    if taus[best] > 0:
        return ""
    return (
        f"No measure of {family} orders these networks by test loss in the direction its source expects: even the "
        f"best, {all_measures()[best].label}, has τ = {taus[best]:.2f}."
    )


def _best(table: pd.DataFrame) -> str:
    """Which measure predicts best instead."""
    name = strongest(table, ranked_measures())
    if name is None:
        return "No measure can be ranked."
    tau = kendall_tau(table[name], table["test_loss"])
    return f"The best predictor of the test loss is {all_measures()[name].label}, τ = {tau:.2f}."


def limitations(overview: Overview) -> str:
    """What all of this cannot speak for."""
    profiles = dict.fromkeys(name for known in STUDIES.values() for name in known)
    lines, shown = [], set()
    for found in overview.evidence:
        study, first = found.session.study, found.session.study.runs[0]
        shown.add(study.profile)
        missing = (
            f", {found.session.gathered.missing} of its runs missing" if found.session.gathered.missing else ""
        )
        devices = ", ".join(found.session.provenance()["devices"])
        lines.append(
            f"- **{study.profile}, {study.name}**: n = {len(found.table)}{missing}; {first.data.n_train:,} "
            f"training images of {study.data.title}, label noise {first.data.label_noise:.0%}; widths "
            f"{found.table['width'].min()} to {found.table['width'].max()}; {first.training.precision}; made on "
            f"{devices}."
        )
    rest = [name for name in profiles if name not in shown]
    if rest:
        lines.append(
            f"- **No results are shown** of the profiles {', '.join(rest)}: nothing is said of their scale."
        )
    tests = {found.session.study.data.title: found.session.study.data.test for found in overview.evidence}
    images = ", ".join(f"{number:,} of {title}" for title, number in tests.items())
    lines += [
        f"- **Noise of the target**: test losses rest on so many test images ({images}), which lowers every τ.",
        "- **Many verdicts**: each interval is a 95 % interval of its own; nothing corrects for their number.",
        "- **Grids**: intervals resample the runs of one grid and say nothing of another. One family of networks "
        "and one seed a setting in the correlation study; one draw of wrong labels in double descent.",
        "- **The paper**: only its abstract is at hand. Statistics, thresholds, grids and tolerances are this "
        "project's own, so a verdict is on the claim as it is put to the test here.",
        "- **What was fixed when**: the thresholds before any result. The grid of `quick` was chosen for its test "
        "losses after that of `narrow`, the first tried, had shown little; that of double descent at `small` after "
        "the test losses of one seed; how a peak is told from noise was made stricter after first results.",
    ]
    return "\n".join(lines)
