"""One's own runs against the published ones."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prunability import session
from prunability.cli import app
from prunability.config import Execution, PrunabilityError
from prunability.published import Published, place, write
from prunability.reproduction import VALUES, reproduction, words
from prunability.runner import survey
from prunability.statistics import kendall_tau
from prunability.studies.base import Study


def test_the_same_runs_are_identical(made: tuple[Study, Execution], table: Published) -> None:
    study, execution = made
    found = reproduction(study, survey(study, execution).done, table, 0)
    assert (found.runs, found.identical, found.missing) == (6, 6, 0)
    assert found.here == found.there
    assert (found.claims["verdict"] == found.claims["verdict_published"]).all()
    assert (found.claims["estimate"] == found.claims["estimate_published"]).all()
    assert not found.claims.duplicated(["claim", "condition"]).any()
    said = words(found)
    assert "of 6 runs that both have, 6 are the same bit for bit. Made here on" in said
    assert "| value |" not in said


def test_other_trainings_are_compared_run_by_run(made: tuple[Study, Execution], table: Published) -> None:
    study, execution = made
    own = survey(study, execution).done
    losses = [0.3, 0.1, 0.9, 0.2, 0.5]
    moved = [replace(r, result=replace(r.result, test_loss=loss)) for r, loss in zip(own[1:], losses, strict=True)]
    elsewhere = replace(
        table, records=tuple(replace(r, environment={**r.environment, "device": "a GPU"}) for r in table.records)
    )
    found = reproduction(study, moved, elsewhere, 0)
    assert (found.runs, found.identical, found.missing) == (5, 0, 1)
    row = found.values.set_index("value").loc[VALUES["test_loss"]]
    theirs = [record.result.test_loss or 0.0 for record in own[1:]]
    apart = sorted(abs(a - b) for a, b in zip(losses, theirs, strict=True))
    assert row["median difference"] == pytest.approx(apart[2])
    assert row["largest difference"] == pytest.approx(apart[-1])
    assert row["τ"] == pytest.approx(kendall_tau(losses, theirs))
    assert found.there == ("a GPU",)
    said = words(found)
    assert "0 are the same bit for bit; 1 of the published are not here." in said
    assert "there on a GPU" in said
    assert "| test loss (nats) |" in said


def test_what_cannot_be_compared(made: tuple[Study, Execution], table: Published) -> None:
    with pytest.raises(PrunabilityError, match="no run here is one of the published table, which is of digits, s"):
        reproduction(made[0], [], table, 0)


def test_on_the_command_line(
    made: tuple[Study, Execution], table: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    command = ["compare", "correlation", "-P", "smoke", "--runs", str(made[1].runs)]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "nothing is published in" in refused.stderr) == (2, True)
    write(place(tmp_path / "results", "correlation", "smoke"), table)
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "6 are the same bit for bit" in done.output) == (0, True)
