"""Sentences of the overview, in Markdown, every number computed from the runs."""

import pandas as pd

from prunability.claims import CLAIMS, Finding, decisive, networks_needed
from prunability.claims.sensitivity import AS_IT_IS, VARIED
from prunability.claims.words import sentence
from prunability.report.figures.overview import SIGNS
from prunability.report.overview import Evidence, Overview, of_claim
from prunability.studies import STUDIES


def where(overview: Overview) -> str:
    """Where each profile's runs come from."""
    lines = []
    for found in overview.evidence:
        study, gathered = found.session.study, found.session.gathered
        words = gathered.words.removeprefix(f"Runs on {gathered.title}: ")
        lines.append(f"- **{study.profile}**, {study.name}, {study.data.title}: {words}")
    lines += [f"- **Left out**: {why}." for why in overview.unreadable]
    return "\n".join(lines)


def verdicts(table: pd.DataFrame) -> str:
    """The verdicts in a table: a row a claim, a column a profile."""
    names = list(dict.fromkeys(table["profile"]))
    lines = [f"| claim | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for claim, part in table.groupby("claim"):
        known = dict(zip(part["profile"], part["verdict"], strict=True))
        cells = [f"{SIGNS[known[name]]} {known[name]}" if name in known else "no results" for name in names]
        lines.append(f"| **{claim}** {CLAIMS[str(claim)].words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sentences(overview: Overview) -> str:
    """One paragraph for each claim and profile."""
    return "\n\n".join(
        sentence(finding, found.what) for key in CLAIMS for found, finding in of_claim(overview, key)
    )


def moved(table: pd.DataFrame) -> str:
    """How many of the variations change each verdict, and which."""
    lines = []
    for (claim, profile), part in table.groupby(["claim", "profile"], sort=False):
        base = part.loc[part["varied"] == AS_IT_IS, "verdict"].iloc[0]
        rest = part[part["varied"] != AS_IT_IS]
        other = rest[rest["verdict"] != base]
        words = [
            f"{'' if row['varied'] in VARIED else row['varied'] + ' '}{row['setting']} ({row['verdict']})"
            for _, row in other.iterrows()
        ]
        change = f"changes with {', '.join(words)}" if words else "does not change"
        lines.append((str(claim), f"- **{claim}**, {profile}: *{base}*; of {len(rest)} variations it {change}."))
    return "\n".join(line for _, line in sorted(lines, key=lambda item: item[0]))


def revised(overview: Overview, before: pd.DataFrame) -> str:
    """Which verdicts are others than before the rules were corrected, and what they hang on now."""
    known = before.set_index(["claim", "profile"])
    rows = ["| claim | profile | before | now | because |", "| --- " * 5 + "|"]
    for key in CLAIMS:
        for found, finding in of_claim(overview, key):
            place = (key, found.session.study.profile)
            if place not in known.index or known.loc[place, "verdict"] == finding.verdict:
                continue
            condition = decisive(finding.criteria)
            why = f"{condition.statistic}: {condition.words}, wanted {condition.wanted}" if condition else ""
            rows.append(
                f"| {' | '.join((*place, str(known.loc[place, 'verdict'])))} | {finding.verdict} | "
                f"{finding.undecided or why} |"
            )
    return "\n".join(rows) if len(rows) > 2 else "No verdict is another than before the rules were corrected."


def failures(overview: Overview) -> str:
    """What did not reproduce, and why, as far as the runs tell."""
    lines = []
    for key, claim in CLAIMS.items():
        for found, finding in of_claim(overview, key):
            if finding.verdict != "supported":
                profile = found.session.study.profile
                words = f"{claim.words[0].lower()}{claim.words[1:-1]}"
                lines.append(f"**{key}, {profile}: {finding.verdict}** ({words}).\n")
                lines += [f"- {line}" for line in (*_conditions(finding), *_reasons(found, finding))]
                lines.append("")
    return "\n".join(lines) or "Every claim is supported by every profile that has results."


def _conditions(finding: Finding) -> list[str]:
    if finding.verdict == "insufficient n":
        return [f"n = {finding.n} networks, or a profile that may claim nothing."]
    lines = [f"{finding.undecided[0].upper()}{finding.undecided[1:]}."] if finding.undecided else []
    failed = [c for c in finding.criteria if c.verdict == "not supported"]
    open_ = [c for c in finding.criteria if c.verdict == "inconclusive"]
    if len(failed) > 3:
        lines.append(f"{len(failed)} of {len(finding.criteria)} conditions fail.")
    else:
        lines += [f"A condition fails: the {c.statistic} is {c.words} (wanted: {c.wanted})." for c in failed]
    for c in open_ if not failed and not finding.undecided else ():
        needed = networks_needed(c, finding.n)
        more = (
            f"if that estimate stays, about {float(f'{needed:.2g}'):,.0f} networks would tell"
            if needed
            else "that estimate is at the threshold or on its wrong side, so more networks alone would not help"
        )
        lines.append(f"It is open because the {c.statistic} is {c.words} (wanted: {c.wanted}); {more}.")
    return lines


def _reasons(found: Evidence, finding: Finding) -> list[str]:
    """What else the runs say of a claim that is not supported."""
    return CLAIMS[finding.claim].reasons(found.case, finding) if finding.criteria else []


def limitations(overview: Overview) -> str:
    """What all of this cannot speak for."""
    profiles = dict.fromkeys(name for known in STUDIES.values() for name in known)
    lines, shown = [], set()
    for found in overview.evidence:
        session, study, first = found.session, found.session.study, found.session.study.runs[0]
        shown.add(study.profile)
        missing = f", {session.gathered.missing} of its runs missing" if session.gathered.missing else ""
        table = found.case.table
        seeds = len(table["seed"].unique())
        lines.append(
            f"- **{study.profile}, {study.name}**{session.made_by}: n = {len(table)}{missing}, "
            f"{seeds} seed{'s' * (seeds != 1)} a setting; "
            f"{first.data.n_train:,} training images of {study.data.title}, label noise "
            f"{first.data.label_noise:.0%}; widths {table['width'].min()} to {table['width'].max()}; "
            f"{first.training.precision}; made on {', '.join(session.provenance()['processors'])}."
        )
    rest = [name for name in profiles if name not in shown]
    if rest:
        lines.append(
            f"- **No results are shown** of the profiles {', '.join(rest)}: nothing is said of their scale."
        )
    tests = {found.session.study.data.title: found.session.study.data.test for found in overview.evidence}
    images = ", ".join(f"{number:,} of {title}" for title, number in tests.items())
    lines.append(
        f"- **Noise of the target**: test losses rest on so many test images ({images}), which lowers every τ."
    )
    return "\n".join(lines)
