"""Three processes at once on one store: nothing is trained twice, nothing is lost, and the dead are replaced."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY
from prunability.records import runner, workers
from prunability.records.record import Record
from prunability.records.runner import complete, survey
from prunability.records.store import RunStore
from prunability.studies import open_study
from prunability.studies.grid import Study
from prunability.training import strategy
from prunability.training.config import RunConfig
from prunability.training.fleet import Fleet

MEASURES = ("path_norm", "parameter_count", "negative_output_entropy")
# Its children start with all modules loaded, and nothing of this process.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["prunability.records.runner", "prunability.studies", "pytest", "sklearn.datasets"])


def tiny(folder: Path) -> tuple[Study, Execution]:
    """Eight runs of two shapes, trained for a few epochs."""
    execution = Execution(device="cpu", workers=1, runs=folder, data=folder / "data", results=folder / "results")
    study = open_study("correlation", "smoke", "", 0, execution.data)
    runs = [
        run.model_copy(update={"seed": seed, "training": run.training.model_copy(update={"max_epochs": 3})})
        for run in (study.runs[0], study.runs[2])
        for seed in range(4)
    ]
    return replace(study, runs=tuple(runs)), execution


def note(folder: Path, what: str) -> None:
    """Append a line to the log of a store, whole whoever else does."""
    with (folder / "log").open("a") as log:
        log.write(what + "\n")


def noted(folder: Path, what: str) -> list[str]:
    lines = (folder / "log").read_text().split("\n") if (folder / "log").exists() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(what + " ")]


def prepare(folder: Path) -> None:
    """Let this process note what it trains, and measure little."""
    torch.set_num_threads(1)
    runner.LOOK_EVERY = 0.05
    for name in REGISTRY.keys() - MEASURES:
        del REGISTRY[name]
    whole = strategy.trained

    def trained(configs: list[RunConfig], *rest: Any) -> Iterator[Any]:
        for config in configs:
            note(folder, f"begun {config.hash}")
        yield from whole(configs, *rest)

    patch.object(workers, "trained", trained).start()


def work(folder: Path, barrier: Barrier) -> None:
    """Complete the study once all are ready, and note with how many whole records it ended."""
    prepare(folder)
    study, execution = tiny(folder)
    barrier.wait()
    records = complete(study, execution)
    whole = sum(set(record.measures) == set(MEASURES) for record in records)
    note(folder, f"ended {whole}")


def dies(folder: Path, where: str) -> None:
    """Begin the study and hang at one place, to be killed there."""
    prepare(folder)

    def hang(*_: object, **__: object) -> Any:
        note(folder, f"hangs {where}")
        time.sleep(600)

    save = RunStore.save

    def hang_in_save(store: RunStore, record: Record, over: Record | None = None) -> Record:
        return hang() if bool(record.measures) == (where == "measuring") else save(store, record, over)

    places = {"training": (Fleet, "leave"), "writing": (Path, "replace")}
    patch.object(*places.get(where, (RunStore, "save")), hang if where in places else hang_in_save).start()
    complete(*tiny(folder))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_is_there(folder: Path, survivors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process ended with every run, and the store has all measures and weights of each."""
    study, execution = tiny(folder)
    assert noted(folder, "ended") == [str(len(study.runs))] * survivors
    for name in REGISTRY.keys() - MEASURES:
        monkeypatch.delitem(REGISTRY, name)
    records = survey(study, execution).done
    assert [record.config for record in records] == list(study.runs)
    for record in records:
        assert set(record.measures) == set(record.seconds) - {"training"} == set(MEASURES)
        assert RunStore(folder).load_weights(record)
    assert len(list(folder.glob("*.safetensors"))) == len(records)
    assert not [*folder.glob("*.checkpoint"), *folder.glob("*.partial")]


def started(target: Callable[..., None], *arguments: object) -> Any:
    process = CONTEXT.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


@pytest.mark.parametrize("trial", range(4))
def test_three_at_once_train_each_run_once(tmp_path: Path, trial: int, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = CONTEXT.Barrier(3)
    processes = [started(work, tmp_path, barrier) for _ in range(3)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert Counter(noted(tmp_path, "begun")) == Counter(run.hash for run in tiny(tmp_path)[0].runs)
    all_is_there(tmp_path, 3, monkeypatch)


@pytest.mark.parametrize("where", ["training", "between weights and record", "writing", "measuring"])
def test_a_killed_ones_runs_are_taken_over(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = started(dies, tmp_path, where)
    until(lambda: bool(noted(tmp_path, "hangs")))
    begun = Counter(noted(tmp_path, "begun"))
    barrier = CONTEXT.Barrier(2)
    others = [started(work, tmp_path, barrier) for _ in range(2)]
    runs = {run.hash for run in tiny(tmp_path)[0].runs}
    # They do all but what the victim has, and leave that to it while it lives.
    until(lambda: runs <= set(noted(tmp_path, "begun")))
    time.sleep(0.2)
    assert Counter(noted(tmp_path, "begun")) == Counter(runs)
    assert all(process.is_alive() for process in others)
    if where == "writing":  # else the others may be at it
        assert list(tmp_path.glob("*.partial"))
    os.kill(victim.pid, signal.SIGKILL)
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    again = {} if where == "measuring" else begun
    assert Counter(noted(tmp_path, "begun")) == Counter(runs) + Counter(again)
    all_is_there(tmp_path, 2, monkeypatch)
