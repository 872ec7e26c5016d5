"""Records published, and carried between stores; limits of time."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import prunability
from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.foundation.files import digest
from prunability.measures import REGISTRY
from prunability.records import runner
from prunability.records.runner import Job, complete, survey
from prunability.records.store import RunStore
from prunability.records.tables import Published, read, table_path, write
from prunability.records.workers import Ending, Workplace, lacking
from prunability.report import session, transfer
from prunability.studies.grid import Study
from prunability.training.config import EARLIEST, RunConfig


def test_records_are_carried_from_store_to_store(
    made: tuple[Study, Execution], fresh: Execution, tmp_path: Path
) -> None:
    study, execution = made
    file = tmp_path / "carried" / "records.parquet"
    command = ["export", "correlation", "-P", "smoke", "--runs", str(execution.runs), "--records", str(file)]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "6 of 6 runs" in done.output) == (0, True)
    assert file.stat().st_size / 6 < 40_000
    onto = CliRunner().invoke(app, [*command[:-1], str(tmp_path)])
    assert (onto.exit_code, "is a folder; name a file" in onto.stderr) == (2, True)
    for target in ("/dev/null", str(tmp_path / "link")):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(file)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("prunability.cli.tables.survey", lambda *_: pytest.fail("work was begun"))
            refused = CliRunner().invoke(app, [*command[:-1], target])
        assert (refused.exit_code, refused.stderr) == (
            2,
            f"prunability: {target} is not a regular file, and is left as it is: name another one\n",
        )
    before = survey(study, fresh)
    assert len(before.untrained) == 6
    # One is finished there already, by another training; one has been trained and lacks measures.
    store, theirs = RunStore(fresh.runs), survey(study, execution).done
    own = replace(theirs[5], weights="0" * 64)
    begun = replace(theirs[4], weights=store.save_weights(study.runs[4], {}, {}), measures={})
    store.save(own)
    store.save(begun)
    assert [run.config for run in survey(study, fresh).unmeasured] == [begun.config]
    for expected in ("5 runs are new in", "0 runs are new in"):
        brought = CliRunner().invoke(app, ["import", str(file), "--runs", str(fresh.runs)])
        assert (brought.exit_code, expected in brought.output) == (0, True)
    after = survey(study, fresh)
    assert after.done == [*theirs[:5], own]
    assert not store.has_weights(after.done[4])
    old = tmp_path / "old.parquet"
    earlier = [replace(r, config=r.config.model_copy(update={"version": EARLIEST})) for r in read(file).records]
    write(old, replace(read(file), records=tuple(earlier)))
    refused = CliRunner().invoke(app, ["import", str(old), "--runs", str(fresh.runs)])
    assert (refused.exit_code, f"its runs are of version {EARLIEST}" in refused.stderr) == (2, True)
    missing = CliRunner().invoke(app, ["import", str(tmp_path / "none"), "--runs", str(fresh.runs)])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)


def test_a_damaged_record_is_left_out_of_what_is_carried_and_named(
    made: tuple[Study, Execution], fresh: Execution, tmp_path: Path
) -> None:
    study, execution = made
    shutil.copytree(execution.runs, fresh.runs)
    (damaged := RunStore(fresh.runs).path(study.runs[2])).write_text("{")
    command = ["correlation", "-P", "smoke", "--runs", str(fresh.runs)]
    for arguments, said in (
        (["export", *command, "--records", str(tmp_path / "carried.parquet")], "5 of 6 runs"),
        (["status", *command], "5 of 6 runs trained, 0 of them lack measures, 0 missing"),
        (["run", *command], ""),
    ):
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, said in done.stdout) == (2, True)
        assert done.stderr.startswith(f"prunability: 1 record cannot be used: {damaged}: it is not a whole record")
    assert len(read(tmp_path / "carried.parquet").records) == 5


def test_a_record_with_what_this_code_does_not_know_is_left_out_of_what_is_carried_and_named(
    made: tuple[Study, Execution], fresh: Execution, tmp_path: Path
) -> None:
    """Its signature is right, and a survey does not look at all of it."""
    study, execution = made
    shutil.copytree(execution.runs, fresh.runs)
    paths = [RunStore(fresh.runs).path(run) for run in study.runs[2:4]]
    for path in paths:
        raw = json.loads(path.read_bytes())
        del raw["checksum"]
        raw["result"]["wall"] = 1.0
        path.write_text(json.dumps(raw | {"checksum": digest(raw)}))
    file = tmp_path / "carried.parquet"
    command = ["export", "correlation", "-P", "smoke", "--runs", str(fresh.runs), "--records", str(file)]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, f"wrote {file}: 4 of 6 runs\n" == done.stdout) == (2, True)
    first, *named = done.stderr.splitlines()
    assert first == "prunability: 2 records cannot be used:"
    for path, line in zip(paths, named, strict=True):
        assert line.startswith(f"{path}: result.wall: Unexpected keyword argument")
    assert len(read(file).records) == 4
    with pytest.raises(PrunabilityError, match="2 records cannot be used"):
        complete(study, fresh)


def test_only_a_table_is_written_over(made: tuple[Study, Execution], tmp_path: Path) -> None:
    """Nothing else that is there by that name is lost, were it a record of the store."""
    command = ["export", "correlation", "-P", "smoke", "--runs", str(made[1].runs), "--records"]
    for path in (tmp_path / "README.md", tmp_path / "cut.parquet"):
        path.write_bytes(b"PAR1 words")
        done = CliRunner().invoke(app, [*command, str(path)])
        assert (done.exit_code, "is no table of runs, and is left as it is" in done.stderr) == (2, True)
        assert path.read_bytes() == b"PAR1 words"
    for _ in range(2):
        assert CliRunner().invoke(app, [*command, str(tmp_path / "table.parquet")]).exit_code == 0
    done = CliRunner().invoke(app, [*command, ""])
    assert (done.exit_code, "--records is empty" in done.stderr) == (2, True)


def test_publishing(made: tuple[Study, Execution], table: Published, fresh: Execution) -> None:
    assert any(record.curves for record in table.records)
    path = transfer.publish(table, fresh)
    assert read(path) == table
    page = path.with_suffix(".md").read_text()
    assert f"6 finished runs of the study's {len(made[0].runs)}" in page
    assert table.origin.data.checksum in page
    assert "| `curves.random_25` | list<double> | training loss in nats at the kept fractions 1/25, …, 1" in page
    # A store that has fewer runs does not shrink it, and another seed does not replace it.
    assert transfer.finished(made[0], 0, fresh) == table
    with pytest.raises(PrunabilityError, match="is of seed 0, these runs are of seed 1"):
        transfer.finished(made[0], 1, fresh)
    # Of one name and other content, as two folders may be.
    theirs = replace(made[0], data=made[0].data._replace(checksum="0" * 64))
    both = (
        rf"is of digits \(checksum {made[0].data.checksum[:12]}…\), these runs are of digits \(checksum 0{{12}}…\)"
    )
    with pytest.raises(PrunabilityError, match=both):
        transfer.finished(theirs, 0, fresh)
    moved = replace(made[0], data=made[0].data._replace(title="my digits"))
    assert transfer.finished(moved, 0, fresh).records == table.records


def test_a_record_without_weights_is_made_again_for_a_new_measure(
    made: tuple[Study, Execution], fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, execution = made
    store = RunStore(fresh.runs)
    for record in survey(study, execution).done:
        store.save(record)
    assert not survey(study, fresh).untrained
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    found = survey(study, fresh)
    assert (len(found.untrained), found.unmeasured) == (5, [])
    assert [record.result.status for record in found.done] == ["diverged"]


def test_a_time_limit_ends_cleanly_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prunability, "STARTED", time.monotonic())
    command = ["run", "correlation", "-P", "smoke", "--runs", str(tmp_path), "--workers", "1", "--time-limit"]
    for wrong in ("", "9", "m", "-3s", "0s", "9 minutes"):
        refused = CliRunner().invoke(app, [*command, wrong])
        assert (refused.exit_code, "such as 90s, 9m or 2h" in refused.stderr) == (2, True)
    hurried = CliRunner().invoke(app, [*command, "0.02s"])
    assert hurried.exit_code == 0, hurried.output
    assert "the time is over" in hurried.output
    done = CliRunner().invoke(app, [*command, "10m"])
    assert (done.exit_code, "6 of 6 runs trained, 0 of them lack" in done.output) == (0, True)
    assert "the time is over" not in done.output


def test_with_a_limit_runs_are_measured_as_soon_as_they_are_trained(
    made: tuple[Study, Execution], fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A borrowed machine keeps no weights: what it trained and did not measure is lost. The smallest come first."""
    study = replace(made[0], runs=made[0].runs[:3])
    widths: list[float] = []

    def noted(place: Workplace, job: Job, configs: list[RunConfig]) -> list[Ending]:
        known = [record for run in study.runs if (record := RunStore(place.runs).load(run))]
        assert not any(lacking(record) for record in known)
        widths.append(configs[0].network.width)
        return job(place, configs)

    monkeypatch.setattr(runner, "_attempt", noted)
    # Each run in a job of its own, the largest first; in a fleet those of a width would be one.
    monkeypatch.setattr(runner, "fleets", lambda configs, *_: [[config] for config in reversed(configs)])
    assert len(complete(study, fresh, until=time.monotonic() + 600)) == 3
    assert widths == sorted(run.network.width for run in study.runs)


def test_status_says_what_need_not_be_trained(
    made: tuple[Study, Execution],
    table: Published,
    fresh: Execution,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    command = ["status", "correlation", "-P", "smoke"]
    assert "published" not in CliRunner().invoke(app, command).output
    write(table_path(tmp_path / "results", "correlation", "smoke"), replace(table, records=table.records[:4]))
    store = RunStore(tmp_path / "runs")
    store.save(table.records[0])
    store.checkpoint(made[0].runs[5]).touch()
    said = CliRunner().invoke(app, command).output
    assert "published table: 4 of 6 runs, digits" in said
    assert "1 of the missing is in training" in said
    assert "3 of the missing are in the published table" in said
    (path,) = re.findall(r"`prunability import (.*)`", said)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:5000])
    damaged = CliRunner().invoke(app, command)
    assert (damaged.exit_code, "cannot be read" in damaged.output or "not a whole" in damaged.output) == (0, True)
    assert "1 of 6 runs trained" in damaged.output
    Path(path).write_bytes(whole)
    assert CliRunner().invoke(app, ["import", path]).exit_code == 0
    assert "2 missing" in CliRunner().invoke(app, command).output
