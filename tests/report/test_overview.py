"""The overview: what a verdict hangs on, how it moves, and what is said of it."""

import re
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prunability import studies
from prunability.analysis.tables import TARGETS
from prunability.claims import CLAIMS, NEIGHBOURS, case_of, judged, of_study
from prunability.claims.sensitivity import sensitivity, variations
from prunability.claims.words import plain
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.records.tables import table_path, write
from prunability.report import overview, session
from prunability.report.figures import overview as plots
from prunability.report.figures import style
from prunability.report.overview import open_overview
from prunability.report.session import open_session
from prunability.report.text import overview as text
from prunability.report.transfer import finished
from prunability.studies import having
from prunability.studies.grid import Study


def table(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({name: rng.uniform(0.1, 1, n) for name in all_measures()})
    for target in TARGETS:
        frame[target] = rng.uniform(0.1, 1, n)
    frame[HEADLINE_MEASURE] = frame["test_loss"].rank() / n
    frame["setting"], frame["seed"] = np.arange(n) // 2, np.arange(n) % 2
    frame["prunability_layerwise_absolute_0.1"] = -frame["test_loss"]
    frame["prunable_weight_count"] = frame["parameter_count"] = rng.integers(100, 1000, n).astype(float)
    return frame


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return studies.open_study("correlation", "quick", "", 0, tmp_path)


def test_one_thing_is_varied_at_a_time(study: Study) -> None:
    frame = table()
    case = case_of(study, frame, 0)
    settings = {setting: other for _, setting, other in variations(case)}
    moved = [
        {f.name for f in fields(case) if getattr(case, f.name) is not getattr(other, f.name)}
        for other in settings.values()
    ]
    assert all(names in ({"headline"}, {"target"}) for names in moved)
    # Every tolerance of the magnitude pruner, other pruners at its usual one, and every target, once each.
    known = {
        name
        for name in all_measures()
        if re.match("prunability_(magnitude|(layerwise|random)_absolute_0.1$)", name)
    }
    varied_to = [(other.headline, other.target) for _, _, other in variations(case)]
    assert sorted(varied_to) == sorted(
        [(name, case.target) for name in known - {case.headline}]
        + [(case.headline, target) for target in ("test_error", "loss_gap")]
    )
    found = sensitivity("correlation", case, "all").set_index(["claim", "varied", "setting"])["verdict"]
    assert found["C1", "as it is", ""] == "supported"
    assert found["C1", "pruner", "layerwise"] == "not supported"
    assert found["C1", "τ", "0.5"] == "supported"
    assert ("C1", "τ", "0.3") not in found
    assert found["C1", "target", "test error"] != "supported"
    assert found["C1", "rank share", "0.5"] == "supported"
    # Only what a claim depends on is varied.
    varied = {claim: set(found[claim].index.get_level_values("varied")) for claim in ("C1", "C2", "C6")}
    assert varied["C1"] == {"as it is", "τ", "rank share", "tolerance", "pruner", "target"}
    assert varied["C2"] == {"as it is", "τ with size", "tolerance", "pruner"}
    assert varied["C6"] == {"as it is", "information", "tolerance", "pruner"}
    by_hand = frame.assign(**{HEADLINE_MEASURE: frame["prunability_layerwise_absolute_0.1"]})
    for claim in of_study("correlation"):
        assert found[claim.id, "pruner", "layerwise"] == claim.judge(case_of(study, by_hand, 0)).verdict
    np.testing.assert_array_equal(settings["test error"].goal, frame["test_error"])
    np.testing.assert_array_equal(settings["test error"].own, frame[HEADLINE_MEASURE])


def test_neighbours_are_told_where_nothing_must_be_made_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = overview._neighbour(open_session("correlation", runs_from="published"), "sparse", {})
    assert shown is not None
    found = overview._evidence(shown, 0)
    assert [finding.claim for finding in found.findings] == [claim.id for claim in of_study("sparse", NEIGHBOURS)]
    assert set(found.case.table["run"]) == {record.config.hash for record in shown.records}
    narrow = open_session("correlation", profile="narrow", runs_from="published")
    assert overview._neighbour(narrow, "sparse", {}) is None
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    own = {"profile": "smoke", "device": "cpu"}
    assert overview._neighbour(open_session("correlation", **own), "sparse", own) is None
    assert not (tmp_path / "runs").exists()


def test_every_profile_with_results_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one asked for from the store, another from its published table."""
    profiles = studies.STUDIES["correlation"]
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    monkeypatch.setitem(profiles, "copy", replace(profiles["smoke"], claims=True))
    opened = open_overview(profile="smoke", device="cpu")
    assert [found.session.study.name for found in opened.evidence] == having("smoke", judged())
    execution = opened.evidence[0].session.execution
    made = finished(opened.evidence[0].session.study, 0, execution)
    table = replace(made, origin=replace(made.origin, profile="copy"), records=made.records[:5])
    write(table_path(execution.results, "correlation", "copy"), table)
    both = open_overview(profile="smoke", device="cpu")
    shown = {(found.session.study.name, found.session.study.profile) for found in both.evidence}
    assert shown == {*((name, "smoke") for name in having("smoke", judged())), ("correlation", "copy")}
    assert both.evidence[-1].session.gathered.words == (
        "Runs on digits: 5 from the published table; 1 of the study's runs are missing."
    )
    verdicts, moved = both.verdicts(), both.sensitivity()
    before = verdicts.assign(verdict="supported").query("profile == 'smoke'")
    assert both.unreadable == ()
    table_path(execution.results, "correlation", "narrow").parent.mkdir()
    table_path(execution.results, "correlation", "narrow").write_bytes(b"PAR1")
    without = open_overview(profile="smoke", device="cpu")
    assert [found.session.study.profile for found in without.evidence][-2:] == ["smoke", "copy"]
    assert f"Left out: {plain(without.unreadable[0])}" in text.networks(without)
    assert "narrow/correlation.parquet: it is not a whole table of runs" in without.unreadable[0]
    table_path(execution.results, "correlation", "narrow").unlink()
    assert set(verdicts["claim"]) == set(CLAIMS)
    assert set(verdicts["verdict"]) == {"insufficient n"}
    assert list(dict.fromkeys(verdicts["profile"])) == ["smoke", "copy"]
    words = [text.networks(both), text.claims(both, moved), text.revised(both, before), both.reproduction()]
    assert words[2].count("(supported before)") == 6
    assert "No verdict moved" in text.revised(both, both.before_revision())  # that table is not here
    assert words[3] == "Nothing is published to compare with."
    assert [part for text in words for part in re.findall(r".{0,60}\bnan\b.{0,20}", text)] == []
    assert words[1].count("**insufficient n**") == len(verdicts)
    assert "No results are shown of quick, narrow, small, medium, paper." in words[0]
    with style.panels(width=style.PAGE, height=4) as (figure, ax):
        plots.verdict_table(ax, verdicts)
    both.save(figure, "overview", verdicts)
    with style.panels(2, 1, width=style.PAGE, height=4.1) as (figure, axes):
        for ax, name in zip(axes, dict.fromkeys(moved["profile"]), strict=True):
            plots.sensitivity_table(ax, moved, name, labels=True)
        plots.key(ax)
    drawn = both.save(figure, "moved", moved)
    assert drawn.note.startswith("smoke: digits, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    assert [run["study"]["profile"] for run in drawn.provenance["runs"]] == ["smoke", "smoke", "copy"]
    tables = [run["table"] for run in drawn.provenance["runs"]]
    written = table_path(execution.results, "correlation", "copy").read_bytes()
    assert tables == [None, None, sha256(written).hexdigest()]
