"""What the overview says of every verdict."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import DESCENT, HYPERPARAMETERS, correlation_runs, width_runs

from prunability import studies
from prunability.analysis.ranks import kendall_tau
from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import sample_of
from prunability.analysis.widths import halves, interpolation_threshold
from prunability.claims import CLAIMS, NEIGHBOURS, Case, Criterion, Finding, Threshold, networks_needed
from prunability.claims.explained import EXPLANATIONS
from prunability.claims.flatness import RIVAL
from prunability.claims.sensitivity import AS_IT_IS
from prunability.foundation.typography import minus
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.records.sources import Chosen, Gathered
from prunability.report.overview import Evidence, Overview
from prunability.report.session import Parameters, Session
from prunability.report.text import overview as text

WANTED = Threshold("t", 0.3)
HOLDS = Criterion("first statistic", Estimate(0.5, 0.4, 0.6), "above", WANTED)
OPEN = Criterion("second statistic", Estimate(0.35, 0.2, 0.5), "above", WANTED)
# Its estimate is on the wrong side.
HOPELESS = Criterion("third statistic", Estimate(0.25, 0.1, 0.4), "above", WANTED)
UPSIDE_DOWN = (0.5, 2.0, 0.7, 0.2, 0.9, 1.0, 1.1)
FAILS = Criterion("fourth statistic", Estimate(0.1, 0.0, 0.2), "above", WANTED)


def evidence(
    findings: Sequence[Finding], profile: str = "quick", study: str = "correlation", missing: int = 0
) -> Evidence:
    table = correlation_runs() if study == "correlation" else width_runs()
    names = HYPERPARAMETERS if study == "correlation" else ("width",)
    opened = replace(studies.open_study(study, "quick", "", 0, Path()), profile=profile)
    gathered = Gathered([], "digits", "run store", missing)
    session = Session(Chosen(opened), Parameters(profile=profile), Parameters().execution(), gathered)
    return Evidence(session, Case(table, sample_of(table, 0), names, True), tuple(findings))


def moved(found: Sequence[Evidence], *others: tuple[str, str, str]) -> pd.DataFrame:
    """Verdicts as they are, and others: of claim, with what varied, to what."""
    rows = [
        (finding.claim, profile, varied, verdict)
        for e in found
        for finding in e.findings
        for profile in [e.session.study.profile]
        for varied, verdict in [(AS_IT_IS, finding.verdict), ("target", finding.verdict)]
        + [(varied, verdict) for claim, varied, verdict in others if claim == finding.claim]
    ]
    return pd.DataFrame(rows, columns=["claim", "profile", "varied", "verdict"])


def lines(said: str, key: str) -> list[str]:
    part = said.split(f"**{key}** ")[1].split("\n\n**C", maxsplit=1)[0]
    return [line for line in part.splitlines() if line.startswith("- ")]


def told(*found: Evidence, others: Sequence[tuple[str, str, str]] = (), key: str = "C1") -> list[str]:
    said = text.claims(Overview(Parameters(), found), moved(found, *others))
    for name, claim in CLAIMS.items():
        assert said.count(f"**{name}** *{claim.words}*") == 1
    return lines(said, key)


def test_a_supported_claim_says_what_it_hangs_on() -> None:
    (line,) = told(evidence([Finding("C1", 80, (HOLDS, HOLDS), True)]))
    assert line == f"- quick: ✓ **supported**: {HOLDS.statistic} {HOLDS.words}, wanted {HOLDS.wanted}."


def test_what_is_left_given_the_size_stands_beside_the_verdict_on_the_size() -> None:
    found = evidence([Finding("C2", 80, (HOLDS,), True)])
    (line,) = told(found, key="C2")
    ((statistic, estimate),) = CLAIMS["C2"].told(found.case)
    assert line.endswith(f"wanted {HOLDS.wanted}. {statistic[0].upper()}{statistic[1:]} {estimate}.")
    assert str(estimate) in [str(beside) for _, beside in CLAIMS["C2"].beside(found.case)]
    (line,) = told(evidence([Finding("C2", 80, (HOLDS,), True, "why")]), key="C2")
    assert "given size" not in line


def test_a_claim_that_fails_says_how_many_conditions_did_and_why() -> None:
    found = evidence([Finding("C1", 80, (HOLDS, FAILS, FAILS, OPEN), True)])
    (line,) = told(found)
    assert f"✗ **not supported**: {FAILS.statistic} {FAILS.words}, wanted {FAILS.wanted}" in line
    assert "2 of 4 conditions failed" in line
    for reason in CLAIMS["C1"].reasons(found.case, found.findings[0]):
        assert reason in line


def test_an_open_claim_says_what_more_networks_would_do() -> None:
    needed = networks_needed(OPEN, 1000)
    assert needed is not None
    (line,) = told(evidence([Finding("C1", 1000, (HOLDS, OPEN), True)]))
    assert f"1 of 2 conditions open, about {float(f'{needed:.2g}'):,.0f} networks would tell" in line
    assert "would not help" not in line
    (line,) = told(evidence([Finding("C1", 80, (OPEN, HOPELESS), True)]))
    assert "2 of 2 conditions open, more networks alone would not help" in line
    assert "would tell" not in line


def test_where_nothing_can_be_decided_that_is_all() -> None:
    (line,) = told(evidence([Finding("C1", 80, (FAILS,), True, "there is no such thing")]))
    assert line == "- quick: ○ **cannot decide**: there is no such thing."
    (line,) = told(evidence([Finding("C1", 7, (FAILS,), False)]))
    assert line == "- quick: – **insufficient n**: n = 7."


def test_a_condition_is_named_once_where_profiles_share_it() -> None:
    undecided = Finding("C1", 80, (FAILS,), True, "why")
    found = [
        evidence([Finding("C1", 80, (HOLDS,), True)]),
        evidence([undecided], "narrow"),
        evidence([Finding("C1", 60, (replace(HOLDS, estimate=Estimate(0.9, 0.8, 1.0)),), True)], "small"),
        evidence([Finding("C1", 60, (OPEN,), True)], "smoke"),
    ]
    first, _, third, fourth = told(*found)
    assert HOLDS.statistic in first
    assert third == "- small: ✓ **supported**: 0.90 [0.80, 1.00]."
    assert f"{OPEN.statistic} {OPEN.words}, wanted" in fourth


def test_how_firm_a_verdict_is() -> None:
    found = evidence([Finding("C1", 80, (HOLDS,), True), Finding("C2", 80, (HOLDS,), True)])
    others = [("C1", "tolerance", "inconclusive"), ("C1", "tolerance", "not supported"), ("C1", "τ", "supported")]
    (line,) = told(found, others=[*others, ("C1", "pruner", "inconclusive")])
    assert line.endswith("Another in 3 of 5 variations (tolerance, pruner).")
    (line,) = told(found, others=others, key="C2")
    assert "variations" not in line


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("C1", {HEADLINE_MEASURE: 0.5}, "has the same value on all"),
        ("C2", {HEADLINE_MEASURE: np.nan}, "no value on 80 of 80 runs"),
        ("C4", {EXPLANATIONS["margin"]: np.nan}, all_measures()[EXPLANATIONS["margin"]].label),
        ("C4", {HEADLINE_MEASURE: np.random.default_rng(0).normal(size=80)}, "nothing to explain"),
        ("C5", {RIVAL: 1.0}, all_measures()[RIVAL].label),
        ("C5", {RIVAL: np.random.default_rng(0).normal(size=80)}, "does not predict"),
        ("C6", {HEADLINE_MEASURE: 0.5}, "has the same value on all"),
    ],
)
def test_every_reason_why_a_correlation_study_cannot_decide(key: str, change: dict[str, Any], words: str) -> None:
    found = evidence([])
    case = replace(found.case, table=correlation_runs(**change))
    finding = CLAIMS[key].judge(case)
    assert finding.verdict == "cannot decide"
    (line,) = told(replace(found, case=case, findings=(finding,)), key=key)
    assert line == f"- quick: ○ **cannot decide**: {finding.undecided}."
    assert words in line


@pytest.mark.parametrize(
    ("losses", "own", "seeds", "words"),
    [
        (DESCENT[:2], None, 20, "too few widths"),
        ((1.5, 1.2, 1.0, 0.8, 0.7, 0.6), None, 6, "no interior peak"),
        ((1.0, 1.2, 2.0, 1.0, 0.7, 0.6), None, 6, "does not fall out of its noise"),
        (DESCENT, (*DESCENT[::-1][:6], 3.0), 5, "at an end of the widths"),
        (DESCENT, (0.5,) * 7, 5, "has the same value"),
    ],
)
def test_every_reason_why_double_descent_cannot_decide(
    losses: tuple[float, ...], own: tuple[float, ...] | None, seeds: int, words: str
) -> None:
    table = width_runs(losses, own, seeds)
    if own and len(set(own)) == 1:
        table[HEADLINE_MEASURE] = 0.5
    case = Case(table, sample_of(table, 0), ("width",), True)
    finding = CLAIMS["C3"].judge(case)
    found = replace(evidence([], study="double-descent"), case=case, findings=(finding,))
    (line,) = told(found, key="C3")
    assert line == f"- quick: ○ **cannot decide**: {finding.undecided}."
    assert words in line


def test_claims_of_others_stand_apart() -> None:
    """They are no lines among the six, and say what they hang on and what three seeds are worth."""
    open_, undecided = Finding("S1", 6, (OPEN,), True), Finding("S2", 0, (), True, "too few seeds")
    other = evidence([undecided, open_], profile="small", study="sparse")
    both = Overview(Parameters(), (evidence([Finding("C1", 80, (HOLDS,), True)]),), neighbours=(other,))
    assert set(both.verdicts()["claim"]) == {"C1"}
    assert both.verdicts(neighbours=True)["claim"].tolist() == ["S1", "S2"]
    assert "S1" not in text.claims(both, moved(both.evidence))
    heads, _, first, second, _, last = text.neighbours(both).splitlines()
    assert [cell.strip() for cell in heads.split("|")[1:-1]][5] == "estimate [interval]"
    cells = [cell.strip() for cell in first.split("|")[1:-1]]
    words = f"S1: {NEIGHBOURS['S1'].short}"
    assert cells == [words, "small: digits", "6", "? inconclusive", OPEN.statistic, OPEN.words, OPEN.wanted]
    assert "| ○ cannot decide | too few seeds" in second
    assert f"over {other.case.table['seed'].nunique()} seeds" in last
    assert text.neighbours(replace(both, neighbours=())) == ""
    few = replace(other, findings=(replace(open_, enough=False),))
    assert text.neighbours(replace(both, neighbours=(few,))) == ""


def test_claims_judged_on_runs() -> None:
    """Each claim, whichever way it goes, with its reasons and without a number that is none."""
    for noise in (0.1, 1.0, 100.0):
        found = evidence([])
        case = replace(found.case, table=correlation_runs(noise))
        findings = tuple(claim.judge(case) for claim in CLAIMS.values() if claim.study == "correlation")
        for finding in findings:
            made = replace(found, case=case, findings=(finding,))
            (line,) = told(made, key=finding.claim)
            assert finding.verdict in line
            assert "nan" not in line
            asked = finding.verdict in ("not supported", "inconclusive")
            reasons = CLAIMS[finding.claim].reasons(case, finding)
            assert [reason in line for reason in reasons] == [asked] * len(reasons)


@pytest.mark.parametrize(
    ("own", "verdict"),
    [(DESCENT, "supported"), ((0.9, 0.8, 1.0, 1.1, 2.0, 0.7, 0.6), "inconclusive"), (UPSIDE_DOWN, "not supported")],
)
def test_double_descent_judged_on_runs(own: tuple[float, ...], verdict: str) -> None:
    """Where C3 is not supported, tau by half and the places of the peaks are its reasons."""
    table = width_runs(own=own)
    case = Case(table, sample_of(table, 0), ("width",), True)
    finding = CLAIMS["C3"].judge(case)
    (line,) = told(replace(evidence([]), case=case, findings=(finding,)), key="C3")
    assert finding.verdict == verdict
    assert f"**{verdict}**: " in line
    parts = halves(table, interpolation_threshold(table))
    known = {half: kendall_tau(part[HEADLINE_MEASURE], part["test_loss"]) for half, part in parts.items()}
    taus = [f"{half} {minus(f'{tau:.2f}')} [" for half, tau in known.items()]
    assert [tau in line for tau in taus] == [False, *[verdict != "supported"] * (len(taus) - 1)]
    largest = table.groupby("width")[HEADLINE_MEASURE].mean().idxmax()
    peak = table.groupby("width")["test_loss"].mean().iloc[1:].idxmax()
    where = f"Prunability is largest at width {largest}; the test loss peaks at width {peak}."
    assert (where in line) == (verdict != "supported")
    alone = CLAIMS["C3"].reasons(replace(case, table=table.assign(train_error=0.3)), finding)
    assert len(alone) == 1  # without a threshold there are no halves


def test_networks() -> None:
    first, second = evidence([], missing=3), evidence([], "smoke", "double-descent")
    said = text.networks(Overview(Parameters(), (first, second), ("a table: it is damaged",)))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[2:4]]
    for row, found in zip(rows, (first, second), strict=True):
        table, study = found.case.table, found.session.study
        assert row[:3] == [study.profile, study.name, study.data.title]
        assert f"{table['width'].min()}–{table['width'].max()}" in row
        assert f"{study.runs[0].data.n_train:,}" in row
        assert f"{study.runs[0].data.label_noise:.0%}" in row
        assert f"{table['seed'].nunique()}" in row
    assert f"{len(first.case.table)} (3 missing)" in rows[0]
    assert f"{len(second.case.table)}" in rows[1]
    rest = [name for name in studies.STUDIES["correlation"] if name not in ("quick", "smoke")]
    assert f"No results are shown of {', '.join(rest)}." in said
    assert "Left out: a table: it is damaged." in said


def test_where_every_profile_is_shown_nothing_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "STUDIES", {"correlation": {"quick": None}})
    said = text.networks(Overview(Parameters(), (evidence([]),)))
    assert "No results" not in said
    assert "Left out" not in said


def test_verdicts_that_moved_with_the_rules() -> None:
    findings = [Finding("C1", 80, (HOLDS,), True), Finding("C2", 80, (FAILS,), True)]
    overview = Overview(Parameters(), (evidence(findings), evidence(findings, "narrow")))
    rows = [("C1", "quick", "supported"), ("C2", "quick", "supported"), ("C1", "narrow", "inconclusive")]
    before = pd.DataFrame(rows, columns=["claim", "profile", "verdict"])
    said = text.revised(overview, before)
    assert said.endswith("C1 narrow (inconclusive before), C2 quick (supported before).")
    for none in (before.iloc[:0], before.iloc[:1]):
        assert text.revised(overview, none) == "No verdict moved."
