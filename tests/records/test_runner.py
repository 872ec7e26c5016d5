"""Making the runs that a study lacks."""

import itertools
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from prunability.analysis.tables import left_out, runs_table
from prunability.foundation import progress
from prunability.foundation.engines import Local
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY, Estimated, Measurable
from prunability.records import jobs, runner, workers
from prunability.records.jobs import fleets
from prunability.records.record import checksum_of
from prunability.records.runner import _attempt, complete, completed, survey
from prunability.records.schema import FIELDS
from prunability.records.store import RunStore
from prunability.records.workers import Ending, Workplace, train_runs
from prunability.studies.grid import Study
from prunability.studies.order import blocks
from prunability.training import strategy
from prunability.training.config import RunConfig, shape_of


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


def test_progress_is_told_while_runs_side_by_side_go_on(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One job holds all of them, and ends only once some were told."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.01)

    class Lingering(Local):
        def as_they_end(self, function: Any, jobs: Any) -> Any:
            for at, job in enumerate(jobs):
                done, shown, until = function(*job), "", time.monotonic() + 60
                while job[1] is train_runs and f"{len(job[2])} of " not in shown and time.monotonic() < until:
                    time.sleep(0.05)
                    shown += capsys.readouterr().err
                assert job[1] is not train_runs or f"training: {len(job[2])} of " in shown
                yield at, done

    one = [run for run in study.runs if shape_of(run) == shape_of(study.runs[0])]
    completed(survey(replace(study, runs=tuple(one)), execution), engine=Lingering(1))


def test_one_failure_does_not_stop_the_others(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = strategy.trained

    def trained(configs, data, *rest):  # type: ignore[no-untyped-def]
        if study.runs[1] in configs:
            raise RuntimeError("a broken run")
        return whole(configs, data, *rest)

    monkeypatch.setattr(workers, "trained", trained)
    assert study.runs[1] in fleets(study.runs, study, execution)[-1]
    with pytest.raises(PrunabilityError, match=rf"1 of 3 runs failed.*{study.runs[1].hash}.*a broken run"):
        complete(study, execution)
    assert survey(study, execution).untrained == [study.runs[1]]


def test_damaged_records_are_named_and_the_rest_is_made(
    short_runs: Study, execution: Execution, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, five at most by name; a pipe in a record's place is not waited for."""
    seven = replace(
        short_runs,
        runs=tuple(run.model_copy(update={"seed": seed}) for run in short_runs.runs for seed in range(3)),
    )
    store = RunStore(execution.runs)
    execution.runs.mkdir(parents=True)
    paths = [store.path(run) for run in seven.runs]
    paths[0].write_text("{")
    os.mkfifo(paths[1])
    paths[2].mkdir()
    paths[3].write_text("[" * 100_000)
    paths[4].symlink_to("nowhere")
    paths[5].write_bytes(b"")
    with pytest.raises(PrunabilityError) as refused:
        complete(seven, execution)
    heading, *lines, more = str(refused.value).splitlines()
    assert (heading, more) == (
        "6 records cannot be used:",
        "and 1 more; `prunability verify` names all",
    )
    for path, line in zip(paths, lines, strict=False):
        assert line.startswith(f"{path}: it ")
        assert "It is not used and not overwritten" in line
    state = survey(seven, execution)
    assert [record.config for record in state.done] == list(seven.runs[6:])
    assert (state.missing, len(state.unusable)) == ([], 6)
    assert paths[0].read_text() == "{"


def test_a_store_that_is_deleted_meanwhile_ends_in_a_line(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workers.train_runs

    def deleted(place: Workplace, configs: list[RunConfig]) -> list[Ending]:
        endings = whole(place, configs)
        shutil.rmtree(place.runs)
        return endings

    monkeypatch.setattr(runner, "train_runs", deleted)
    monkeypatch.setitem(runner.WORDS, deleted, "training")
    monkeypatch.setitem(runner.STILL, deleted, runner.STILL[whole])
    with pytest.raises(PrunabilityError, match=r"(?s)^3 of 3 runs failed.*it was trained, but is not in the store"):
        complete(short_runs, execution)


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


def test_every_process_has_a_job(study: Study, execution: Execution) -> None:
    runs = [run.model_copy(update={"seed": seed}) for run in study.runs for seed in range(8)]
    for number in (1, 2, 4, 16):
        jobs = fleets(runs, study, execution.model_copy(update={"workers": number}))
        assert sorted(run.hash for job in jobs for run in job) == sorted(run.hash for run in runs)
        assert len(jobs) >= min(number, len(runs))
        assert all(len({shape_of(run) for run in job}) == 1 for job in jobs)
    assert max(map(len, fleets(runs, study, execution))) > 4
    large = replace(study, data=study.data._replace(shape=(3, 32, 32)))
    assert max(map(len, fleets(runs, large, execution))) == 1


def test_on_a_gpu_one_block_is_trained_after_another(study: Study) -> None:
    """Each in fleets as large as can be: what is done when time is over is a balanced study."""
    runs = tuple(run.model_copy(update={"seed": seed}) for run in study.runs for seed in (1, 0))
    twice = replace(study, runs=runs, parts={"grid": frozenset(run.hash for run in runs)})
    on_gpu: Any = SimpleNamespace(torch_device=torch.device("cuda"), processes=1)
    jobs = fleets(runs, twice, on_gpu)
    assert [job[0].seed for job in jobs] == [1, 1, 0, 0]
    assert all(len({(run.seed, shape_of(run)) for run in job}) == 1 for job in jobs)
    assert sorted(len(job) for job in jobs) == [1, 1, 2, 2]


def test_with_a_time_limit_the_first_runs_are_those_of_a_balanced_study(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[RunConfig] = []

    def worked(engine, place, job, work, *rest):  # type: ignore[no-untyped-def]
        begun.extend(run for runs in work for run in runs)
        return [Ending(run.hash, "failed in this test", failed=True) for runs in work for run in runs]

    monkeypatch.setattr(runner, "_compute", worked)
    monkeypatch.setattr(jobs, "fleet_size", lambda *_: None)
    for until, order in (
        (time.monotonic() + 600, list(itertools.chain.from_iterable(blocks(study)))),
        (math.inf, sorted(study.runs, key=lambda run: run.network.width, reverse=True)),
    ):
        begun.clear()
        with pytest.raises(PrunabilityError, match="3 of 3 runs failed"):
            complete(study, execution, until)
        assert begun == order


def test_nothing_is_tried_again_on_a_broken_gpu(study: Study, tmp_path: Path) -> None:
    tried = []

    def broken(_: Workplace, configs: list[RunConfig]) -> list[Ending]:
        tried.append(len(configs))
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    endings = _attempt(Workplace("digits", "cpu", tmp_path, tmp_path), broken, list(study.runs))
    assert tried == [3]
    assert [ending.run for ending in endings if ending.failed] == [run.hash for run in study.runs]
    assert all("illegal memory access" in ending.note for ending in endings)


def test_what_bfloat16_was_trusted_to_is_in_the_record(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = REGISTRY["path_norm"]

    def looked(run: Measurable) -> Mapping[str, float | Estimated]:
        run.screens |= {"magnitude": 0.03, "random": None}
        return group.function(run)

    for name in REGISTRY.keys() - {"path_norm", "parameter_count"}:
        monkeypatch.delitem(REGISTRY, name)
    monkeypatch.setitem(REGISTRY, "path_norm", replace(group, function=looked))
    (record,) = complete(replace(study, runs=study.runs[:1]), execution)
    noted = {key: value for key, value in record.environment.items() if key.startswith("bfloat16")}
    assert noted == {"bfloat16_error_magnitude": 0.03}
    assert f"environment.{next(iter(noted))}" in FIELDS


def test_what_another_kind_of_device_took_says_nothing_of_this_one(
    study: Study, execution: Execution, tmp_path: Path
) -> None:
    records = complete(replace(study, runs=study.runs[:1]), execution)
    assert (survey(study, execution).seconds_left or 0) > 0
    carried = execution.model_copy(update={"runs": tmp_path / "carried"})
    for record in records:
        RunStore(carried.runs).save(replace(record, environment=record.environment | {"device": "a GPU"}))
    there = survey(study, carried)
    assert (len(there.whole), len(there.untrained), there.seconds_left) == (1, 2, None)
