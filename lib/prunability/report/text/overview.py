"""Sentences of the overview, in Markdown, every number computed from the runs."""

import pandas as pd

from prunability.claims import CLAIMS, NEIGHBOURS, Finding, decisive, networks_needed
from prunability.claims import words as words_of
from prunability.claims.sensitivity import AS_IT_IS
from prunability.claims.sparse import STUDY, worth
from prunability.claims.words import markdown, plain, why
from prunability.report.figures.overview import SIGNS
from prunability.report.overview import Evidence, Overview, of_claim
from prunability.studies import STUDIES


def networks(overview: Overview) -> str:
    """What the verdicts rest on: a row for each study and profile, and what could not be shown."""
    rows = []
    for found in overview.evidence:
        study, gathered, table = found.session.study, found.session.gathered, found.case.table
        data, missing = study.runs[0].data, f" ({gathered.missing} missing)" if gathered.missing else ""
        row = {"profile": study.profile, "study": study.name, "images": plain(study.data.title)}
        row |= {"training": f"{data.n_train:,}", "test": f"{study.data.test:,}"}
        row |= {"wrong labels": f"{data.label_noise:.0%}", "n": f"{len(table)}{missing}"}
        row |= {"seeds": f"{table['seed'].nunique()}", "widths": f"{table['width'].min()}–{table['width'].max()}"}
        rows.append(row | {"version": f"{gathered.version}"})
    shown = {row["profile"] for row in rows}
    known = dict.fromkeys(profile for profiles in STUDIES.values() for profile in profiles)
    rest = ", ".join(profile for profile in known if profile not in shown)
    lines = [markdown(pd.DataFrame(rows)), "", *([f"No results are shown of {rest}."] if rest else [])]
    return "\n".join([*lines, *(f"Left out: {plain(reason)}." for reason in overview.unreadable)])


def claims(overview: Overview, moved: pd.DataFrame) -> str:
    """Each claim and, a line a profile, its verdict, the condition that it hangs on, why, and how firm it is.

    ``moved`` holds the verdicts with one thing varied at a time.
    """
    parts = []
    for key, claim in CLAIMS.items():
        lines, told = [f"**{key}** *{claim.words}*", ""], ""
        for found, finding in of_claim(overview, key):
            profile = found.session.study.profile
            said = [_rests_on(finding, told), *_reasons(found, finding), _told(found, finding)]
            said.append(_firm(moved[(moved["claim"] == key) & (moved["profile"] == profile)]))
            words = " ".join(part for part in said if part)
            lines.append(f"- {profile}: {SIGNS[finding.verdict]} **{finding.verdict}**: {words}")
            condition = decisive(finding.criteria)
            told = condition.statistic if condition and not finding.undecided else told
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def neighbours(overview: Overview) -> str:
    """The claims of others, a row for each and profile that may decide it, and what their intervals are worth."""
    table = overview.verdicts(neighbours=True)
    if (table := table[table["verdict"] != "insufficient n"].copy()).empty:
        return ""
    table["claim"] = [f"{key}: {NEIGHBOURS[key].short}" for key in table["claim"]]
    table["verdict"] = [f"{SIGNS[verdict]} {verdict}" for verdict in table["verdict"]]
    table["it hangs on"] = table["undecided"].where(table["undecided"] != "", table["statistic"])
    table["profile"] = table["profile"] + ": " + table["data"].map(plain)
    heads = {"estimate": "estimate [interval]"}
    shown = table[["claim", "profile", "n", "verdict", "it hangs on", "estimate", "wanted"]].rename(columns=heads)
    by_seeds = [found for found in overview.neighbours if found.session.study.name == STUDY]
    seeds = sorted({found.case.table["seed"].nunique() for found in by_seeds})
    return "\n\n".join([markdown(shown), *map(worth, seeds)])


def _rests_on(finding: Finding, told: str) -> str:
    """The condition that decides, named unless it was ``told`` last, and how the others fare."""
    condition = decisive(finding.criteria)
    if finding.verdict == "insufficient n":
        return f"n = {finding.n}."
    if finding.undecided or condition is None:
        return f"{why(finding)}."
    if condition.statistic == told:
        return f"{condition.words}{_others(finding)}."
    return f"{condition.statistic} {condition.words}, wanted {condition.wanted}{_others(finding)}."


def _others(finding: Finding) -> str:
    """How many conditions fail, or are open and what more networks would do; nothing where all hold."""
    alike = [c for c in finding.criteria if c.verdict == finding.verdict]
    count = f"; {len(alike)} of {len(finding.criteria)} conditions"
    if finding.verdict == "not supported":
        return f"{count} failed"
    if finding.verdict != "inconclusive":
        return ""
    needed = [networks_needed(c, finding.n) for c in alike]
    known = [number for number in needed if number is not None]
    if len(known) < len(needed):
        return f"{count} open, more networks alone would not help"
    return f"{count} open, about {float(f'{max(known):.2g}'):,.0f} networks would tell if the estimates stay"


def _reasons(found: Evidence, finding: Finding) -> list[str]:
    """What else the runs say of a claim that fails or is open."""
    asked = finding.verdict in ("not supported", "inconclusive")
    return CLAIMS[finding.claim].reasons(found.case, finding) if asked else []


def _told(found: Evidence, finding: Finding) -> str:
    """The numbers that stand wherever the verdict does, as a sentence."""
    words = words_of.told(found.case, finding)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _firm(part: pd.DataFrame) -> str:
    """How many of the variations change a verdict, and by what; nothing where none does."""
    base = part.loc[part["varied"] == AS_IT_IS, "verdict"].iloc[0]
    rest = part[part["varied"] != AS_IT_IS]
    others = rest[rest["verdict"] != base]
    by = ", ".join(dict.fromkeys(others["varied"]))
    return f"Another in {len(others)} of {len(rest)} variations ({by})." if by else ""


def revised(overview: Overview, before: pd.DataFrame) -> str:
    """Which verdicts are others than before the rules were corrected."""
    known = before.set_index(["claim", "profile"])["verdict"].to_dict()
    moved: list[str] = []
    for key in CLAIMS:
        for found, finding in of_claim(overview, key):
            profile = found.session.study.profile
            earlier = known.get((key, profile), finding.verdict)
            moved += [f"{key} {profile} ({earlier} before)"] if earlier != finding.verdict else []
    return f"Verdicts that moved with the rules: {', '.join(moved)}." if moved else "No verdict moved."
