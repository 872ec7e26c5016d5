"""A store is read once, whatever is asked of it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prunability.cli import app
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY
from prunability.records import tables
from prunability.records.runner import complete
from prunability.records.store import Record, RunStore
from prunability.records.tables import Published, table_path, write
from prunability.report import session
from prunability.report.session import open_session
from prunability.studies.grid import Study
from prunability.training.config import RunConfig


@pytest.fixture
def reads(table: Published, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each record is read from here on; its curves are drawn before."""
    counted: Counter[str] = Counter()
    load = RunStore.load

    def counting(store: RunStore, config: RunConfig) -> Record | None:
        counted[config.hash] += 1
        return load(store, config)

    monkeypatch.setattr(RunStore, "load", counting)
    return counted


def once_each(study: Study) -> Counter[str]:
    return Counter(run.hash for run in study.runs)


@pytest.mark.parametrize("command", ["status", "run", "export"])
def test_a_command_reads_each_record_of_a_finished_study_once(
    made: tuple[Study, Execution], tmp_path: Path, reads: Counter[str], command: str
) -> None:
    study, execution = made
    arguments = [command, "correlation", "-P", "smoke", "--runs", str(execution.runs)]
    arguments += ["--records", str(tmp_path / "carried.parquet")] if command == "export" else []
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "6 of 6 runs" in done.output) == (0, True)
    assert reads == once_each(study)


def test_nothing_to_complete_is_seen_at_one_reading(made: tuple[Study, Execution], reads: Counter[str]) -> None:
    complete(*made)
    assert reads == once_each(made[0])


def test_a_notebook_reads_each_record_once(
    made: tuple[Study, Execution], tmp_path: Path, reads: Counter[str]
) -> None:
    study, execution = made
    opened = open_session("correlation", profile="smoke", runs=str(execution.runs), figures=str(tmp_path))
    opened.complete()
    opened.curves.example(opened.main())
    opened.provenance()
    assert reads == once_each(study)


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
    assert reads == once_each(study)
    assert paths == [table_path(here.results, "correlation", "smoke")]
