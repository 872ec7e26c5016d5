"""What is in work elsewhere, was left there, or was broken off."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.records import workers
from prunability.records.locks import claimed
from prunability.records.record import Record
from prunability.records.runner import complete, survey
from prunability.records.store import RunStore
from prunability.records.workers import Workplace
from prunability.studies import open_study
from prunability.studies.grid import Study
from prunability.training import strategy
from prunability.training.config import RunConfig

WAITING = "waiting for 1 run in training or measuring elsewhere"


def test_what_is_in_work_elsewhere_is_left_and_waited_for_while_there_is_time(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    over: list[float] = []
    monkeypatch.setattr(time, "sleep", over.append)
    monkeypatch.setattr(Workplace, "late", property(lambda _: bool(over)))
    with claimed(execution.runs, short_runs.runs[:1]):
        records = complete(short_runs, execution, time.monotonic() + 3600)
    assert [record.config for record in records] == list(short_runs.runs[1:])
    assert over
    assert WAITING in capsys.readouterr().err


def test_what_is_left_elsewhere_is_taken_over(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with claimed(execution.runs, short_runs.runs[:1]) as own:
        monkeypatch.setattr(time, "sleep", lambda _: own[short_runs.runs[0]].release())
        assert [record.config for record in complete(short_runs, execution)] == list(short_runs.runs)
    assert WAITING in capsys.readouterr().err


def test_weights_without_their_record_are_no_training(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full, and after a kill, between the two."""
    save, begun, unlucky = RunStore.save, [], short_runs.runs[0]

    def full(store: RunStore, record: Record, over: Record | None = None) -> Record:
        if record.config == unlucky:
            raise OSError("no space left")
        return save(store, record, over)

    def trained(configs: list[RunConfig], *rest: Any) -> Iterator[Any]:
        begun.append(list(configs))
        return strategy.trained(configs, *rest)

    monkeypatch.setattr(workers, "trained", trained)
    monkeypatch.setattr(RunStore, "save", full)
    with pytest.raises(PrunabilityError, match=rf"1 of 3 runs failed.*{unlucky.hash}.*no space left"):
        complete(short_runs, execution)
    assert max(map(len, begun)) > 1
    state = survey(short_runs, execution)
    assert (state.untrained, state.unmeasured) == ([unlucky], [])
    (orphan,) = execution.runs.glob(f"{unlucky.hash}.*.safetensors")
    orphan.rename(orphan.with_name(f"{unlucky.hash}.{'0' * 16}.safetensors"))  # as of a GPU, never twice the same
    monkeypatch.setattr(RunStore, "save", save)
    begun.clear()
    assert len(complete(short_runs, execution)) == 3
    assert begun == [[unlucky]]
    assert len(list(execution.runs.glob("*.safetensors"))) == 3


def test_a_training_takes_the_place_of_a_record_that_cannot_be_measured(
    short_runs: Study, execution: Execution
) -> None:
    one = replace(short_runs, runs=short_runs.runs[:1])
    (record,) = complete(one, execution)
    store = RunStore(execution.runs)
    store.drop_weights(record.config)
    store.path(record.config).unlink()
    # Of another machine, without weights, and older than the newest measure.
    store.save(replace(record, weights="0" * 64, measures={}))
    (again,) = complete(one, execution)
    assert again.content() == record.content()
    assert store.load_weights(again)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_kill_loses_only_what_is_in_training(study: Study, tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "prunability", "run", "correlation", "--profile", "smoke"]
    command += ["--runs", str(tmp_path / "runs"), "--workers", "2", "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "runs").glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.kill()
    # Its workers hold the other end of this pipe: it closes once they have noticed and ended too.
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how), errors
    store = RunStore(tmp_path / "runs")
    whole = open_study("correlation", "smoke", "", 0, tmp_path)
    kept = [record for config in whole.runs if (record := store.load(config))]
    assert kept
    execution = Execution(
        device="cpu", workers=2, runs=tmp_path / "runs", data=tmp_path / "data", results=tmp_path / "results"
    )
    records = complete(whole, execution)
    assert len(records) == len(whole.runs)
    for record in kept:
        assert record.weights in {done.weights for done in records}
