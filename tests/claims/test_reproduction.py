"""One's own runs against the published ones."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prunability.analysis.ranks import kendall_tau
from prunability.claims import of_study
from prunability.claims.reproduction import VALUES, reproduction, words
from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.records.runner import survey
from prunability.records.tables import Published, table_path, write
from prunability.report import session
from prunability.studies.grid import Study


def test_the_same_runs_are_identical(made: tuple[Study, Execution], table: Published) -> None:
    study, execution = made
    found = reproduction(study, survey(study, execution).done, table, 0)
    assert (found.runs, found.identical, found.only_here, found.only_there) == (6, 6, 0, 0)
    assert list(found.made) == ["processor"]
    assert found.verdicts["claim"].tolist() == [claim.id for claim in of_study("correlation")]
    assert (found.verdicts["verdict"] == found.verdicts["verdict_published"]).all()
    assert found.conditions["estimate"].tolist() == found.conditions["estimate_published"].tolist()
    assert not found.conditions.duplicated(["claim", "condition"]).any()
    said = words(found)
    assert "of 6 runs that both have, 6 are the same bit for bit. Made here on" in said
    assert "|" not in said


def test_other_trainings_are_compared_run_by_run(made: tuple[Study, Execution], table: Published) -> None:
    study, execution = made
    own = survey(study, execution).done
    losses = [0.3, 0.1, 0.9, 0.2, 0.5]
    moved = [replace(r, result=replace(r.result, test_loss=loss)) for r, loss in zip(own[1:], losses, strict=True)]
    elsewhere = replace(
        table, records=tuple(replace(r, environment={**r.environment, "device": "a GPU"}) for r in table.records)
    )
    found = reproduction(study, moved, elsewhere, 0)
    assert (found.runs, found.identical, found.only_here, found.only_there) == (5, 0, 0, 1)
    row = found.values.set_index("value").loc[VALUES["test_loss"]]
    theirs = [record.result.test_loss or 0.0 for record in own[1:]]
    apart = sorted(abs(a - b) for a, b in zip(losses, theirs, strict=True))
    assert row["median difference"] == pytest.approx(apart[2])
    assert row["largest difference"] == pytest.approx(apart[-1])
    assert row["τ"] == pytest.approx(kendall_tau(losses, theirs))
    assert found.made["processor"][1] == "a GPU"
    assert found.made["device"] == ("cpu", "a GPU")
    said = words(found)
    assert "0 are the same bit for bit; 1 of the published are not here." in said
    assert "there on a GPU; device is cpu here, a GPU there." in said
    assert "5 of 5 verdicts are the same" in said
    assert "| test loss (nats) " in said
    differing = found.conditions.query("estimate != estimate_published")["condition"]
    assert len(differing)
    assert all(f"| {condition} " in said for condition in differing)
    assert not any(condition in words(found, conditions=False) for condition in differing)


def test_what_cannot_be_compared(made: tuple[Study, Execution], table: Published) -> None:
    with pytest.raises(PrunabilityError, match="no finished run here, of digits and version"):
        reproduction(made[0], [], table, 0)


def test_on_the_command_line(
    made: tuple[Study, Execution], table: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    command = ["compare", "correlation", "-P", "smoke", "--runs", str(made[1].runs)]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "nothing is published in" in refused.stderr) == (2, True)
    write(table_path(tmp_path / "results", "correlation", "smoke"), table)
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "6 are the same bit for bit" in done.output) == (0, True)
