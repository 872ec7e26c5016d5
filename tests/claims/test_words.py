"""Verdicts in words and tables, and as files."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability.analysis.resampling import Estimate
from prunability.claims import CLAIMS, LEAST_RUNS, Criterion, Finding, Threshold
from prunability.claims.words import MOST_SHOWN, _plainly, markdown, plain, save, sentence, table_of

WANTED = Threshold("τ", 0.3, (0.1, 0.45))
HOLDS = Criterion("s", Estimate(0.5, 0.4, 0.6, (0.45, 0.55)), "above", WANTED)
OPEN = Criterion("s", Estimate(0.35, 0.2, 0.5), "above", WANTED)
FAILS = Criterion("s", Estimate(0.1, 0.0, 0.2), "above", WANTED)


def test_a_table_in_markdown() -> None:
    frame = pd.DataFrame(
        {"a_b": [0.12345, np.nan], "text_c": ["0.5", "1.25"], "n": [7, 8], "either": ["p|q", None]}, index=[3, 1]
    )
    head, _, first, second = [
        [cell.strip() for cell in line.replace("\\|", "!").split("|")[1:-1]]
        for line in markdown(frame).splitlines()
    ]
    assert head == ["a b", "text c", "n", "either"]
    assert first == ["0.123", "0.5", "7", "p!q"]  # a text that looks like a number is left as it is
    assert second == ["–", "1.25", "8", "–"]
    assert markdown(frame.iloc[:0]) == ""


@pytest.mark.parametrize(
    ("finding", "verdict", "because"),
    [
        (Finding("C1", 40, (HOLDS,), True), "supported", "every condition holds"),
        (Finding("C1", 40, (HOLDS, FAILS), True), "not supported", "a condition fails"),
        (Finding("C1", 40, (HOLDS, OPEN), True), "inconclusive", "an interval straddles"),
        (Finding("C1", 40, (), True, "there is nothing"), "cannot decide", "there is nothing"),
        (Finding("C1", 7, (FAILS,), False), "insufficient n", str(LEAST_RUNS)),
    ],
)
def test_a_sentence_says_the_verdict_and_why(finding: Finding, verdict: str, because: str) -> None:
    said = sentence(finding, "networks")
    assert said.startswith(f"**C1: {verdict}** on {finding.n} networks: ")
    assert because in said
    moved = [(value, other) for _, value, other in finding.varied() if other != verdict]
    assert [f"τ {value:g} ({other})" in said for value, other in moved] == [True] * len(moved)
    assert ("Other thresholds change it" in said) == bool(moved)
    assert ("No other threshold" in said) == bool(finding.varied() and not moved)


def test_of_many_conditions_the_worst_are_shown_and_all_counted() -> None:
    criteria = [
        Criterion(f"share {k}", Estimate(k / 10, k / 10 - 0.01, k / 10 + 0.01), "below", Threshold("t", 0.25))
        for k in range(1, MOST_SHOWN + 4)
    ]
    finding = Finding("C6", 40, tuple(criteria), enough=True)
    holding = sum(c.verdict == "supported" for c in criteria)
    said = sentence(finding, "networks")
    assert f"{len(criteria)} conditions: {holding} supported, {len(criteria) - holding} not supported" in said
    worst = [c.statistic for c in criteria[::-1][:MOST_SHOWN]]
    assert table_of([finding])["condition"].tolist() == worst
    few = Finding("C6", 40, tuple(criteria[:MOST_SHOWN]), enough=True)
    assert table_of([few])["condition"].tolist() == [c.statistic for c in criteria[:MOST_SHOWN]]
    assert "conditions:" not in sentence(few, "networks")


def test_a_row_of_the_table_holds_all_of_a_condition() -> None:
    near = Criterion("near", Estimate(0.5, 0.301, 0.6), "above", WANTED)
    found = table_of([Finding("C1", 40, (HOLDS, near), True), Finding("C2", 40, (FAILS,), True)])
    assert found["claim"].tolist() == ["C1", "C1", "C2"]
    assert found["estimate [by settings]"].tolist() == [HOLDS.words, near.words, FAILS.words]
    assert found["by seeds"].tolist()[:2] == [HOLDS.estimate.by_seeds, near.estimate.by_seeds]
    assert found["wanted"].tolist() == [HOLDS.wanted] * 3
    assert found["holds"].tolist() == ["supported", f"supported{near.caution}", "not supported"]
    assert near.caution


def test_claims_of_several_notebooks_stand_in_one_file(tmp_path: Path) -> None:
    findings = [Finding("C1", 40, (HOLDS,), True), Finding("C2", 40, (OPEN, FAILS), True)]
    save(findings[1:], tmp_path)
    save(findings[:1], tmp_path)
    found = json.loads((tmp_path / "claims.json").read_text())
    assert list(found) == ["C1", "C2"]
    for finding in findings:
        content = found[finding.claim]
        assert content["verdict"] == finding.verdict
        assert [c["holds"] for c in content["criteria"]] == [c.verdict for c in finding.criteria]
        assert len(content["with_other_thresholds"]) == len(finding.varied())
    assert set(found) <= set(CLAIMS)
    (tmp_path / "claims.json").write_text("{ damaged")
    save(findings[:1], tmp_path)
    assert list(json.loads((tmp_path / "claims.json").read_text())) == ["C1"]


@given(st.text(r"ab \`*_[]<>$~&" + "\n"))
def test_nothing_in_a_name_is_typeset(name: str) -> None:
    """Each sign that means something in Markdown or in TeX has a backslash of its own; no line ends."""
    words = plain(name)
    assert re.sub(r"\\(.)", r"\1", words) == " ".join(name.split())
    assert not re.search(r"[\\`*_\[\]<>$~&]", re.sub(r"\\.", "", words))


def test_what_has_no_value_is_a_dash() -> None:
    nan = math.nan
    ends = [(0.5, 0.25, 0.75), (-0.5, nan, nan), (nan, nan, nan)]
    assert [_plainly(Estimate(*one)) for one in ends] == ["0.50 [0.25, 0.75]", "-0.50", "–"]
