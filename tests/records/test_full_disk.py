"""Disks that are full or can only be read: what fails is named, what is there stays whole."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.foundation.files import write
from prunability.records.runner import complete, survey
from prunability.records.store import RunStore
from prunability.records.tables import Published, read
from prunability.records.tables import write as write_table
from prunability.records.verify import verify
from prunability.report.curves import Curves
from prunability.studies.grid import Study


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes: the system itself refuses, in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_what_cannot_be_written_whole_is_not_there(study: Study, table: Published, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    kept = store.save(table.records[1])
    write_table(tmp_path / "table.parquet", replace(table, records=table.records[:1]))
    before = left(store.folder)
    more = replace(kept, curves={"magnitude_1000": [0.5] * 1000})
    with largest_file(4096):
        for act in (
            lambda: store.save(table.records[2]),
            lambda: store.save(more),
            lambda: write_table(tmp_path / "table.parquet", table),
            lambda: write(tmp_path / "page.md", "word " * 1000),
        ):
            with pytest.raises(OSError, match="File too large"):
                act()
    assert (left(store.folder), left(tmp_path)) == (before, ["table.parquet"])
    assert store.load(kept.config) == kept
    assert read(tmp_path / "table.parquet").records == table.records[:1]


@pytest.mark.parametrize("trial", range(3))
def test_a_disk_that_is_full_now_and_then_costs_only_what_it_names(
    short_runs: Study, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: int
) -> None:
    expected = complete(short_runs, execution.model_copy(update={"runs": tmp_path / "undisturbed"}))
    draws, whole = Random(trial), os.fsync

    def full(descriptor: int) -> None:
        if draws.random() < 0.4:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(PrunabilityError, match=r"(?s)of 3 runs failed.*No space left on device"):
            while True:
                complete(short_runs, execution)
                shutil.rmtree(execution.runs)
    assert not list(execution.runs.glob("*.partial"))
    state = survey(short_runs, execution)
    assert state.missing
    assert state.unusable == []
    found = complete(short_runs, execution)
    assert [record.content() for record in found] == [record.content() for record in expected]
    assert verify(execution.runs, []).faults == []


def test_a_store_that_can_only_be_read_is_shown_and_not_worked_on(
    made: tuple[Study, Execution], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, execution = made
    shutil.copytree(execution.runs, tmp_path / "runs", ignore=shutil.ignore_patterns("locks"))
    before = left(tmp_path / "runs")
    for target in ("filelock.FileLock.acquire", "pathlib.Path.write_bytes", "tempfile.NamedTemporaryFile"):
        monkeypatch.setattr(target, _read_only)
    command = ["correlation", "-P", "smoke", "--runs", str(tmp_path / "runs")]
    for name, status, words in (
        ("status", 0, "6 of 6 runs trained"),
        ("run", 0, "6 of 6 runs trained"),
        ("verify", 0, "all whole"),
    ):
        done = CliRunner().invoke(app, [name, *(command[3:] if name == "verify" else command)])
        assert (done.exit_code, words in done.output) == (status, True), done.output
    here = execution.model_copy(update={"runs": tmp_path / "runs"})
    bare = [replace(record, curves={}) for record in survey(study, here).done]
    assert len(Curves(study, bare, here).of(bare[-1].config.hash, "magnitude", 4)) == 4
    RunStore(here.runs).path(study.runs[1]).unlink()
    refused = CliRunner().invoke(app, ["run", *command])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "runs: cannot write in" in refused.stderr
    assert left(here.runs) == [name for name in before if name != f"{study.runs[1].hash}.json"]


def _read_only(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")
