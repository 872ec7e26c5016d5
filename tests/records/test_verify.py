"""Faults of disks and of hands: each is found, named with what mends it, and nothing is changed."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prunability.cli import app
from prunability.foundation.execution import Execution
from prunability.foundation.files import digest
from prunability.measures import REGISTRY
from prunability.records.locks import claimed
from prunability.records.runner import survey
from prunability.records.store import RunStore
from prunability.records.tables import Published, write
from prunability.records.verify import verify
from prunability.studies.grid import Study
from prunability.training.checkpoints import keep
from prunability.training.course import Course


@pytest.fixture
def runs(made: tuple[Study, Execution], tmp_path: Path) -> Path:
    """A store of six finished runs."""
    shutil.copytree(made[1].runs, tmp_path / "runs")
    return tmp_path / "runs"


def first(runs: Path, pattern: str) -> Path:
    return sorted(runs.glob(pattern))[1]


def flip(path: Path, place: int = -20) -> Path:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    return path


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


def renamed(path: Path, run: str, how: Callable[[Path, Path], object] = shutil.copy) -> Path:
    to = path.with_name(run + path.name[16:])
    how(path, to)
    return to


def signed(path: Path, edit: Callable[[Any], object]) -> Path:
    """Edit a record and give it the signature of what it is then."""
    raw = json.loads(path.read_bytes())
    del raw["checksum"]
    edit(raw)
    path.write_text(json.dumps(raw | {"checksum": digest(raw)}))
    return path


def without(folder: Path) -> Path:
    shutil.rmtree(folder)
    return folder


def made_new(path: Path, make: Callable[[Path], object]) -> Path:
    path.unlink(missing_ok=True)
    make(path)
    return path


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a truncated record": (
        lambda runs: truncate(first(runs, "*.json")),
        "it is not a whole record; delete or move",
    ),
    "a flipped bit in a record": (
        lambda runs: flip(first(runs, "*.json"), 500),
        "it was edited or damaged; delete or move|it is not a whole record; delete or move",
    ),
    "a record of another run": (
        lambda runs: renamed(first(runs, "*.json"), "0" * 16),
        "its configuration is that of run [0-9a-f]{16}; delete or move it and 0{16}",
    ),
    "a pipe for a record": (
        lambda runs: made_new(first(runs, "*.json"), os.mkfifo),
        "it is not a regular file.; delete or move it",
    ),
    "truncated weights": (
        lambda runs: truncate(first(runs, "*.safetensors")),
        "it does not match the checksum in the run's record; delete it: the record stays",
    ),
    "a flipped bit in weights": (
        lambda runs: flip(first(runs, "*.safetensors")),
        "it does not match the checksum in the run's record; delete it: the record stays",
    ),
    "weights of another training": (
        lambda runs: made_new(
            runs / f"{first(runs, '*.json').stem}.{'0' * 16}.safetensors", lambda path: path.write_bytes(b"")
        ),
        "they are of another training than the run's record; delete it",
    ),
    "weights without a record": (
        lambda runs: renamed(first(runs, "*.safetensors"), "0" * 16),
        "no record is of these weights: a training was broken off; delete it",
    ),
    "half a file": (
        lambda runs: made_new(runs / f"{'0' * 16}.json.012345678901.partial", Path.touch),
        "it is half a file, of a writer that was killed; delete it",
    ),
    "a checkpoint of a finished run": (
        lambda runs: made_new(first(runs, "*.json").with_suffix(".checkpoint"), Path.touch),
        "it is a checkpoint of a finished training; delete it",
    ),
    "a damaged checkpoint": (
        lambda runs: made_new(runs / f"{'0' * 16}.checkpoint", lambda path: path.write_bytes(b"damaged")),
        "its content does not match its checksum; delete it, or leave it: the training begins anew",
    ),
    "a folder for a lock": (
        lambda runs: made_new(runs / "locks" / f"{'0' * 16}.working", lambda path: path.mkdir(parents=True)),
        "no lock can be there; move it away",
    ),
    "a file for the locks": (
        lambda runs: made_new(without(runs / "locks"), Path.touch),
        "it is not the folder of the locks; move it away",
    ),
    "no loss": (
        lambda runs: signed(first(runs, "*.json"), lambda raw: raw["result"].update(train_loss=None)),
        "it is .*converged, and has no loss or no error; delete or move it",
    ),
    "an impossible error": (
        lambda runs: signed(first(runs, "*.json"), lambda raw: raw["result"].update(test_error=5.0)),
        r"result.test_error: .*less than or equal to 1.*delete or move it",
    ),
    "no value": (
        lambda runs: signed(first(runs, "*.json"), lambda raw: raw["measures"]["path_norm"].update(values={})),
        "neither value nor reason for path_norm; delete or move it",
    ),
    "a stranger": (lambda runs: made_new(runs / "notes.txt", Path.touch), "it is no part of a store; move it away"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(runs: Path, fault: str) -> None:
    make, words = FAULTS[fault]
    assert verify(runs, []).faults == []
    path = make(runs)
    before = {p: p.lstat().st_mtime_ns for p in runs.iterdir()}
    done = CliRunner().invoke(app, ["verify", "--runs", str(runs)])
    said, counted = done.output.splitlines()
    assert (done.exit_code, counted.endswith(": 1 at fault")) == (1, True)
    assert said.startswith(f"{path}: ")
    assert [f for f in verify(runs, []).faults if f.path == path]
    assert re.search(words, said)
    assert {p: p.lstat().st_mtime_ns for p in runs.iterdir()} == before


def test_a_whole_store_in_use_is_whole(
    runs: Path, made: tuple[Study, Execution], table: Published, tmp_path: Path
) -> None:
    """What somebody is at is not half a file, and a checkpoint of an unfinished training is none too many."""
    store, run = RunStore(runs), made[0].runs[3]
    other = run.model_copy(update={"seed": 99})
    keep(store.checkpoint(other), other, Course(other), {})
    write(tmp_path / "table.parquet", table)
    half = runs / f"{other.hash}.json.012345678901.partial"
    half.touch()
    with claimed(runs, [other]):
        store.save_weights(other, {}, {})
        done = CliRunner().invoke(app, ["verify", "--runs", str(runs), str(tmp_path / "table.parquet")])
    assert done.output == "6 records, 7 weights, 1 checkpoints, 1 tables: all whole\n"
    assert done.exit_code == 0
    assert [fault.path for fault in verify(runs, []).faults][1:] == [half]
    # The next writer of that run removes what the killed one left.
    store.drop_weights(other)
    assert not half.exists()
    assert verify(runs, []).faults == []


def test_what_newer_code_measured_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=0))
    faults = verify(runs, []).faults
    assert len(faults) == 5  # one diverged
    assert all(fault.what == "newer code than this measured path_norm" for fault in faults)


def test_damaged_tables_and_missing_stores_are_named(table: Published, tmp_path: Path) -> None:
    write(path := tmp_path / "table.parquet", table)
    flip(path, 2000)
    done = CliRunner().invoke(app, ["verify", str(path), str(tmp_path / "none.parquet")])
    lines = [line for line in done.output.splitlines() if ".parquet: " in line]
    assert done.exit_code == 1
    assert [line.endswith("; restore it, or export it anew") for line in lines] == [True, True]
    gone = CliRunner().invoke(app, ["verify", "--runs", str(tmp_path / "none")])
    assert (gone.exit_code, gone.stderr.count("\n"), "name another folder" in gone.stderr) == (2, 1, True)


def test_every_flipped_bit_of_a_record_is_found_or_changes_nothing(
    runs: Path, made: tuple[Study, Execution]
) -> None:
    study, execution = made
    (record,) = survey(replace(study, runs=study.runs[1:2]), execution).done
    path = RunStore(runs).path(record.config)
    whole = path.read_bytes()
    content = json.loads(whole)
    for place in range(0, len(whole), 53):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        if not [fault for fault in verify(runs, []).faults if fault.path == path]:
            assert json.loads(bytes(flipped)) == content
