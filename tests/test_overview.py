"""The overview: what a verdict hangs on, how it moves, and what is said of it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability import figures_overview as plots
from prunability import session, studies, style, text_overview
from prunability.claims import Count, Criterion, decisive, judge, networks_needed
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.overview import open_overview
from prunability.published import place, write
from prunability.sensitivity import GROUPS, judged, replaced, sensitivity, variations
from prunability.statistics import Estimate
from prunability.studies.base import Study
from prunability.tables import TARGETS
from prunability.transfer import finished


def criterion(low: float, high: float, threshold: float = 0.3, name: str = "s") -> Criterion:
    return Criterion(name, Estimate((low + high) / 2, low, high), "above", threshold)


def test_a_verdict_hangs_on_what_holds_least() -> None:
    holds, straddles, fails = criterion(0.4, 0.6), criterion(0.2, 0.6), criterion(-0.2, 0.2)
    assert decisive(judge("C1", 40, [holds, straddles, fails], True)) == fails
    assert decisive(judge("C1", 40, [holds, straddles], True)) == straddles
    assert decisive(judge("C1", 40, [holds, criterion(0.5, 0.6)], True)) == holds
    assert decisive(judge("C1", 4, [], False)) is None
    many = [Count(f"s{k}", Estimate(float(k), 0, 9), "below", 2.0) for k in range(8)]
    assert decisive(judge("C6", 40, many, True)) == many[7]


@given(
    value=st.floats(-0.9, 0.9), reach=st.floats(0.01, 0.5), threshold=st.floats(-0.5, 0.5), n=st.integers(30, 500)
)
def test_networks_needed(value: float, reach: float, threshold: float, n: int) -> None:
    """With so many networks the interval just touches its threshold, if its width falls with the root of n."""
    for side, sign in (("above", 1), ("below", -1)):
        e = Estimate(value, value - reach, value + reach)
        found = networks_needed(Criterion("s", e, side, threshold), n)  # type: ignore[arg-type]
        gap = sign * (value - threshold)
        if gap <= reach / 100:
            assert found is None
        else:
            assert found is not None
            assert found == pytest.approx(n * (reach / gap) ** 2, abs=0.5)
            if found > 0:
                assert gap == pytest.approx(reach * (n / found) ** 0.5, rel=0.5 / found + 1e-9)


def table(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({name: rng.uniform(0.1, 1, n) for name in all_measures()})
    for target in TARGETS:
        frame[target] = rng.uniform(0.1, 1, n)
    frame[HEADLINE_MEASURE] = frame["test_loss"].rank() / n
    frame["prunability_layerwise_absolute_0.1"] = -frame["test_loss"]
    frame["prunable_weight_count"] = frame["parameter_count"] = rng.integers(100, 1000, n).astype(float)
    return frame


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return studies.open_study("correlation", "quick", "", 0, tmp_path)


def test_one_thing_is_varied_at_a_time(study: Study) -> None:
    frame = table()
    settings = {setting: change for _, setting, change in variations()}
    assert len(settings) == len(variations()) == 10 + 2 + 2
    found = sensitivity(study, frame, 0).set_index(["claim", "varied", "setting"])["verdict"]
    assert found["C1", "as it is", ""] == "supported"
    assert found["C1", "pruner", "layerwise"] == "not supported"
    assert found["C1", "threshold", "0.5"] == "supported"
    assert ("C1", "threshold", "0.3") not in found
    assert found["C1", "target", "test error"] != "supported"
    assert found["C1", "rank share", "0.5"] == "supported"
    # Only what a claim depends on is varied.
    varied = {claim: set(found[claim].index.get_level_values("varied")) for claim in ("C1", "C2", "C6")}
    assert varied["C1"] == {"as it is", "threshold", "rank share", "tolerance", "pruner", "target"}
    assert varied["C2"] == {"as it is", "threshold", "size τ", "tolerance", "pruner"}
    assert varied["C6"] == {"as it is", "threshold", "tolerance", "pruner"}
    assert {name for names in varied.values() for name in names} <= set(GROUPS)
    by_hand = frame.assign(**{HEADLINE_MEASURE: frame["prunability_layerwise_absolute_0.1"]})
    by_hand["kept_parameter_count"] = by_hand[HEADLINE_MEASURE] * by_hand["prunable_weight_count"]
    pd.testing.assert_frame_equal(replaced(frame, **settings["layerwise"]), by_hand)
    for claim in judged(study, by_hand, 0):
        assert found[claim.id, "pruner", "layerwise"] == claim.verdict
    other = replaced(frame, **settings["test error"])
    np.testing.assert_array_equal(other["test_loss"], frame["test_error"])
    np.testing.assert_array_equal(other[HEADLINE_MEASURE], frame[HEADLINE_MEASURE])


def test_every_profile_with_results_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one asked for from the store, another from its published table; a stale table of a third is not."""
    profiles = studies.correlation.PROFILES
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    monkeypatch.setitem(profiles, "copy", replace(profiles["smoke"], claims=True))
    opened = open_overview(profile="smoke", device="cpu")
    assert [found.session.study.name for found in opened.evidence] == ["correlation", "double-descent"]
    execution = opened.evidence[0].session.execution
    made = finished(opened.evidence[0].session.study, 0, execution)
    for profile, records in (("copy", made.records[:5]), ("narrow", made.records)):
        table = replace(made, origin=replace(made.origin, profile=profile), records=records)
        write(place(execution.results, "correlation", profile), table)
    both = open_overview(profile="smoke", device="cpu")
    shown = {(found.session.study.name, found.session.study.profile) for found in both.evidence}
    assert shown == {("correlation", "smoke"), ("double-descent", "smoke"), ("correlation", "copy")}
    assert both.evidence[2].session.gathered.words == (
        "Runs on digits: 5 from the published table; 1 of the study's runs are missing."
    )
    verdicts, moved = both.verdicts(), both.sensitivity()
    assert set(verdicts["claim"]) == {f"C{number}" for number in range(1, 7)}
    assert set(verdicts["verdict"]) == {"insufficient n"}
    assert list(dict.fromkeys(verdicts["profile"])) == ["smoke", "copy"]
    words = [
        text_overview.where(both), text_overview.verdicts(verdicts), text_overview.sentences(both),
        text_overview.moved(moved), text_overview.failures(both), text_overview.limitations(both),
    ]  # fmt: skip
    assert [part for text in words for part in re.findall(r".{0,60}\bnan\b.{0,20}", text)] == []
    assert "| no results |" in words[1]
    assert "**C3, smoke: insufficient n**" in words[4]
    assert "profiles quick, narrow, small, paper" in words[5]
    with style.panels(width=style.PAGE, height=4) as (figure, ax):
        plots.verdict_table(ax, verdicts)
    both.save(figure, "overview", verdicts)
    with style.panels(2, 1, width=style.PAGE, height=4.1) as (figure, axes):
        for ax, name in zip(axes, dict.fromkeys(moved["profile"]), strict=True):
            plots.sensitivity_table(ax, moved, name, labels=True)
        plots.key(ax)
    both.save(figure, "moved", moved)
    assert "smoke: digits, n = " in (tmp_path / "figures" / "smoke" / "overview.svg").read_text()
