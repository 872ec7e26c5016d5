import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from prunability import measures as measures_module
from prunability.analysis.tables import left_out, runs_table
from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY, Measure, TrainedRun, measure
from prunability.records import workers
from prunability.records.locks import claimed
from prunability.records.runner import _attempt, complete, fleets, survey
from prunability.records.store import Measured, Record, RunStore, checksum_of
from prunability.records.workers import Ending, Place, lacking
from prunability.studies import open_study
from prunability.studies.grid import Study
from prunability.training import fleet, strategy
from prunability.training.config import RunConfig


@pytest.fixture
def execution(tmp_path: Path) -> Execution:
    return Execution(
        device="cpu", workers=1, runs=tmp_path / "runs", data=tmp_path / "data", results=tmp_path / "results"
    )


@pytest.fixture
def study(execution: Execution) -> Study:
    whole = open_study("correlation", "smoke", "", 0, execution.data)
    return replace(whole, runs=whole.runs[:3])


def test_completes_once(study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    before = survey(study, execution)
    assert len(before.untrained) == 3
    assert before.seconds_left is None
    records = complete(study, execution)
    assert [record.config for record in records] == list(study.runs)
    assert all(set(record.measures) == set(REGISTRY) for record in records)
    monkeypatch.setattr(workers, "trained", lambda *_: pytest.fail("trained again"))
    assert complete(study, execution) == records
    after = survey(study, execution)
    assert (len(after.done), after.seconds_left) == (3, 0.0)
    assert sum(left_out(runs_table(records)).values()) == sum(r.result.status != "converged" for r in records)


def test_same_records_in_any_company(study: Study, execution: Execution, tmp_path: Path) -> None:
    together = complete(study, execution)
    other = Execution(
        device="cpu", workers=2, runs=tmp_path / "other", data=execution.data, results=execution.results
    )
    alone = complete(replace(study, runs=study.runs[::-1][:2]), other)
    assert alone[0].content() == together[2].content()
    assert checksum_of(alone) == checksum_of(together[1:])


def test_a_new_measure_needs_no_training(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = complete(study, execution)
    monkeypatch.setattr(measures_module.base, "REGISTRY", REGISTRY)
    monkeypatch.setattr(workers, "trained", lambda *_: pytest.fail("trained again"))
    try:

        @measure(Measure("largest_weight", "", "norms", ""))
        def largest_weight(run: TrainedRun) -> dict[str, float]:
            return {"largest_weight": max(t.abs().max().item() for t in run.network.parameters())}

        lacking = survey(study, execution)
        assert len(lacking.unmeasured) == 3
        assert lacking.seconds_left is not None
        found = complete(study, execution)
        assert all("largest_weight" in record.measures["largest_weight"].values for record in found)
        REGISTRY["largest_weight"] = replace(REGISTRY["largest_weight"], version=2)
        assert len(survey(study, execution).unmeasured) == 3
        assert {r.measures["largest_weight"].version for r in complete(study, execution)} == {2}
    finally:
        REGISTRY.pop("largest_weight", None)
    old = {name: value for name, value in found[0].measures.items() if name != "largest_weight"}
    assert old == records[0].measures


def test_what_is_no_longer_a_measure_goes_and_what_is_random_has_its_error(
    study: Study, execution: Execution
) -> None:
    record = complete(study, execution)[0]
    error = record.measures["prunability_random"].standard_errors
    assert set(error) == set(record.measures["prunability_random"].values)
    assert record.measures["hessian_trace"].standard_errors["hessian_trace"] > 0
    assert record.measures["path_norm"].standard_errors == {}
    store = RunStore(execution.runs)
    old = {**record.measures, "gone": Measured(1, {"path_norm": -1.0})}
    old["path_norm"] = replace(old["path_norm"], version=0)
    store.path(record.config).unlink()
    store.save(replace(record, measures=old))
    stale = survey(study, execution)
    assert [lacking(found) for found in stale.unmeasured] == [["path_norm"]]
    assert np.isnan(runs_table(stale.unmeasured)["path_norm"][0])
    result = CliRunner().invoke(app, ["status", "correlation", "-P", "smoke", "--runs", str(execution.runs)])
    assert "missing on 1 run: path_norm\n" in result.output
    assert complete(study, execution)[0].measures == record.measures


def test_what_is_not_finite_is_undefined(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(REGISTRY["path_norm"], function=lambda _: {"path_norm": float("nan")})
    monkeypatch.setitem(REGISTRY, "path_norm", broken)
    measured = complete(replace(study, runs=study.runs[:1]), execution)[0].measures["path_norm"]
    assert (measured.values, measured.undefined) == ({}, "path_norm: not a finite number")


def test_one_failure_does_not_stop_the_others(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = strategy.trained

    def trained(configs, data, *rest):  # type: ignore[no-untyped-def]
        if study.runs[1] in configs:
            raise RuntimeError("a broken run")
        return whole(configs, data, *rest)

    monkeypatch.setattr(workers, "trained", trained)
    assert study.runs[1] in fleets(list(study.runs), (1, 8, 8), execution)[-1]
    with pytest.raises(PrunabilityError, match=rf"1 of 3 runs failed.*{study.runs[1].hash}.*a broken run"):
        complete(study, execution)
    assert survey(study, execution).untrained == [study.runs[1]]


@pytest.fixture
def quickly(study: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Two runs of one shape and one of another, of a few epochs, and few measures."""
    for name in REGISTRY.keys() - {"path_norm", "parameter_count"}:
        monkeypatch.delitem(REGISTRY, name)
    few = {run: run.training.model_copy(update={"max_epochs": 3}) for run in study.runs}
    return replace(study, runs=tuple(run.model_copy(update={"training": few[run]}) for run in study.runs))


WAITING = "waiting for 1 run in training or measuring elsewhere"


def test_what_is_in_work_elsewhere_is_left_and_waited_for_while_there_is_time(
    quickly: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    over: list[float] = []
    monkeypatch.setattr(time, "sleep", over.append)
    monkeypatch.setattr(Place, "late", property(lambda _: bool(over)))
    with claimed(execution.runs, quickly.runs[:1]):
        records = complete(quickly, execution, time.monotonic() + 3600)
    assert [record.config for record in records] == list(quickly.runs[1:])
    assert over
    assert WAITING in capsys.readouterr().err


def test_what_is_left_elsewhere_is_taken_over(
    quickly: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with claimed(execution.runs, quickly.runs[:1]) as own:
        monkeypatch.setattr(time, "sleep", lambda _: own[quickly.runs[0]].release())
        assert [record.config for record in complete(quickly, execution)] == list(quickly.runs)
    assert WAITING in capsys.readouterr().err


def test_weights_without_their_record_are_no_training(
    quickly: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full, and after a kill, between the two."""
    save, begun, unlucky = RunStore.save, [], quickly.runs[0]

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
        complete(quickly, execution)
    assert max(map(len, begun)) > 1
    state = survey(quickly, execution)
    assert (state.untrained, state.unmeasured) == ([unlucky], [])
    (orphan,) = execution.runs.glob(f"{unlucky.hash}.*.safetensors")
    orphan.rename(orphan.with_name(f"{unlucky.hash}.{'0' * 16}.safetensors"))  # as of a GPU, never twice the same
    monkeypatch.setattr(RunStore, "save", save)
    begun.clear()
    assert len(complete(quickly, execution)) == 3
    assert begun == [[unlucky]]
    assert len(list(execution.runs.glob("*.safetensors"))) == 3


def test_a_training_takes_the_place_of_a_record_that_cannot_be_measured(
    quickly: Study, execution: Execution
) -> None:
    one = replace(quickly, runs=quickly.runs[:1])
    (record,) = complete(one, execution)
    store = RunStore(execution.runs)
    store.drop_weights(record.config)
    store.path(record.config).unlink()
    # Of another machine, without weights, and older than the newest measure.
    store.save(replace(record, weights="0" * 64, measures={}))
    (again,) = complete(one, execution)
    assert again.content() == record.content()
    assert store.load_weights(again)


def test_what_newer_code_measured_is_refused_and_stays(
    quickly: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(quickly, execution)
    before = [path.read_bytes() for path in sorted(execution.runs.glob("*.json"))]
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=0))
    with pytest.raises(PrunabilityError, match="newer code measured path_norm"):
        complete(quickly, execution)
    assert [path.read_bytes() for path in sorted(execution.runs.glob("*.json"))] == before


def test_a_measure_that_workers_do_not_know_is_missed_and_said(
    quickly: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was defined in a notebook."""
    complete(quickly, execution)
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    monkeypatch.setattr(workers, "lacking", lambda _: [])
    with pytest.raises(PrunabilityError, match=r"3 of 3 runs failed.*lacks measures still"):
        complete(quickly, execution)


def test_a_damaged_record_stops_before_any_work(study: Study, execution: Execution) -> None:
    execution.runs.mkdir(parents=True)
    path = RunStore(execution.runs).path(study.runs[2])
    path.write_text("{")
    with pytest.raises(PrunabilityError, match=path.name):
        complete(study, execution)
    assert [p.name for p in execution.runs.iterdir()] == [path.name]


def test_a_diverged_run_has_a_record_and_no_measures(study: Study, execution: Execution) -> None:
    training = study.runs[0].training.model_copy(update={"learning_rate": 1e30})
    config = study.runs[0].model_copy(update={"training": training})
    only = replace(study, runs=(config,))
    (record,) = complete(only, execution)
    assert record.result.status == "diverged"
    assert record.measures == {}
    assert survey(only, execution).seconds_left == 0.0


def test_an_unusable_folder_ends_before_any_work(
    study: Study, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "trained", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PrunabilityError, match=r"runs: cannot (read|write).*name another folder"):
            complete(study, execution.model_copy(update={"runs": place}))


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


def test_every_process_has_a_job(study: Study, execution: Execution) -> None:
    runs = [run.model_copy(update={"seed": seed}) for run in study.runs for seed in range(8)]
    for number in (1, 2, 4, 16):
        jobs = fleets(runs, (1, 8, 8), execution.model_copy(update={"workers": number}))
        assert sorted(run.hash for job in jobs for run in job) == sorted(run.hash for run in runs)
        assert len(jobs) >= min(number, len(runs))
        assert all(len({fleet.shape_of(run) for run in job}) == 1 for job in jobs)
    assert max(map(len, fleets(runs, (1, 8, 8), execution))) > 4
    assert max(map(len, fleets(runs, (3, 32, 32), execution))) == 1


def test_on_a_gpu_one_copy_of_the_grid_is_trained_after_another(study: Study) -> None:
    """Each in fleets as large as can be: what is done when time is over is a study of all settings."""
    runs = [run.model_copy(update={"seed": seed}) for run in study.runs for seed in (1, 0)]
    on_gpu: Any = SimpleNamespace(torch_device=torch.device("cuda"), processes=1)
    jobs = fleets(runs, (3, 32, 32), on_gpu)
    assert [job[0].seed for job in jobs] == [0, 0, 1, 1]
    assert all(len({(run.seed, fleet.shape_of(run)) for run in job}) == 1 for job in jobs)
    assert sorted(len(job) for job in jobs) == [1, 1, 2, 2]


def test_nothing_is_tried_again_on_a_broken_gpu(study: Study, tmp_path: Path) -> None:
    tried = []

    def broken(_: Place, configs: list[RunConfig]) -> list[Ending]:
        tried.append(len(configs))
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    endings = _attempt(Place("digits", "cpu", tmp_path, tmp_path, os.getpid()), broken, list(study.runs))
    assert tried == [3]
    assert [ending.run for ending in endings if ending.failed] == [run.hash for run in study.runs]
    assert all("illegal memory access" in ending.note for ending in endings)
