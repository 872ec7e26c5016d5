"""A store is looked through once, whatever is asked of it, and records that are used are read once more."""

import gc
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner

from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY
from prunability.records import tables
from prunability.records.record import Glance, Measured, Record, Version
from prunability.records.runner import completed, records_of, survey
from prunability.records.store import RunStore
from prunability.records.tables import Published, table_path, write
from prunability.report import session
from prunability.report.session import open_session
from prunability.studies.grid import Study
from prunability.training.config import RunConfig

T = TypeVar("T")


@pytest.fixture
def reads(table: Published, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each record is read from here on; its curves are drawn before."""
    counted: Counter[str] = Counter()

    def counting(read: Callable[[RunStore, RunConfig], T]) -> Callable[[RunStore, RunConfig], T]:
        def counted_read(store: RunStore, config: RunConfig) -> T:
            counted[config.hash] += 1
            return read(store, config)

        return counted_read

    monkeypatch.setattr(RunStore, "load", counting(RunStore.load))
    monkeypatch.setattr(RunStore, "glance", counting(RunStore.glance))
    return counted


def each(study: Study, times: int) -> Counter[str]:
    return Counter([run.hash for run in study.runs] * times)


@pytest.mark.parametrize(("command", "times"), [("status", 1), ("run", 1), ("export", 2)])
def test_a_command_reads_each_record_of_a_finished_study_once_and_again_to_use_it(
    made: tuple[Study, Execution], tmp_path: Path, reads: Counter[str], command: str, times: int
) -> None:
    study, execution = made
    arguments = [command, "correlation", "-P", "smoke", "--runs", str(execution.runs)]
    arguments += ["--records", str(tmp_path / "carried.parquet")] if command == "export" else []
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "6 of 6 runs" in done.output) == (0, True)
    assert reads == each(study, times)


def test_nothing_to_complete_is_seen_at_one_reading(made: tuple[Study, Execution], reads: Counter[str]) -> None:
    state = completed(survey(*made))
    assert reads == each(made[0], 1)
    assert [record.config for record in state.done] == list(made[0].runs)
    assert state.done is state.done
    assert reads == each(made[0], 2)


def test_what_a_survey_keeps_of_a_record_is_small(made: tuple[Study, Execution]) -> None:
    """A hundred thousand of them are to fit: neither record nor measures live on."""
    gc.collect()
    kinds = (Record, Measured, Glance, Version)
    before = {id(found) for found in gc.get_objects() if type(found) in kinds}
    state = survey(*made)
    gc.collect()
    assert len(state.whole) == len(made[0].runs)
    assert {id(found) for found in gc.get_objects() if type(found) in kinds} <= before


def test_a_record_that_goes_or_is_damaged_after_the_survey_is_left_out_and_told(
    made: tuple[Study, Execution], fresh: Execution
) -> None:
    study, execution = made
    shutil.copytree(execution.runs, fresh.runs, dirs_exist_ok=True)
    path = RunStore(fresh.runs).path(study.runs[2])
    gone, hurt = survey(study, fresh), survey(study, fresh)
    path.write_bytes(path.read_bytes().replace(b"converged", b"unverged", 1))
    others = [run for run in study.runs if run != study.runs[2]]
    assert [record.config for record in hurt.done] == others
    (said,) = hurt.unusable
    assert re.search(rf"{path.name}: its content does not match its checksum", said)
    path.unlink()
    assert [record.config for record in gone.done] == others
    with pytest.raises(PrunabilityError, match=rf"^1 record cannot be used: .*{path.name}: it was here"):
        records_of(gone)


def test_a_notebook_looks_through_the_store_once_and_reads_each_record_once(
    made: tuple[Study, Execution], tmp_path: Path, reads: Counter[str]
) -> None:
    study, execution = made
    opened = open_session("correlation", profile="smoke", runs=str(execution.runs), figures=str(tmp_path))
    opened.complete()
    opened.curves.example(opened.main())
    opened.provenance()
    assert reads == each(study, 2)


def test_status_reads_store_and_table_once_while_measures_and_runs_are_missing(
    made: tuple[Study, Execution],
    table: Published,
    reads: Counter[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study, execution = made
    here = execution.model_copy(update={"runs": tmp_path / "runs", "results": tmp_path / "results"})
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    write(table_path(here.results, "correlation", "smoke"), table)
    store = RunStore(here.runs)
    for record in table.records[1:4]:
        bare = replace(record, weights=store.save_weights(record.config, {}, {}), measures={})
        store.save(bare)
    reads.clear()
    paths: list[Path] = []
    read = tables.read

    def reading(path: Path) -> Published:
        paths.append(path)
        return read(path)

    monkeypatch.setattr(tables, "read", reading)
    said = CliRunner().invoke(app, ["status", "correlation", "-P", "smoke"]).output
    assert "3 of 6 runs trained, 3 of them lack measures, 3 missing" in said
    assert f"missing on 3 runs: {next(iter(REGISTRY.values())).measures[0].name}" in said
    assert reads == each(study, 1)
    assert paths == [table_path(here.results, "correlation", "smoke")]
