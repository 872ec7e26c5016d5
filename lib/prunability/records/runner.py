"""Making what a study lacks: training runs, many at once, and measuring them, in parallel processes."""

import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.foundation.files import writable
from prunability.foundation.processes import as_they_end
from prunability.foundation.progress import progress, waiting
from prunability.measures import REGISTRY
from prunability.records.locks import elsewhere
from prunability.records.store import Record, RunStore, UnusableError
from prunability.records.workers import (
    Ending,
    Workplace,
    keep_memory,
    lacking,
    measure_runs,
    train_runs,
    untrained,
    usable,
)
from prunability.studies.grid import Study
from prunability.studies.order import blocks
from prunability.training.config import RunConfig
from prunability.training.fleet import shape_of
from prunability.training.loop import one_thread
from prunability.training.strategy import fleet_size

Job = Callable[[Workplace, list[RunConfig]], list[Ending]]
WORDS: dict[Job, str] = {train_runs: "training", measure_runs: "measuring"}
# Seconds between two looks at the runs that other processes are at.
LOOK_EVERY = 0.5


@dataclass(frozen=True)
class Snapshot:
    """What of a study was done and what was not when its store was read, which :func:`survey` does once.

    ``unusable`` says of each record that is left as it is, what is wrong with it: such a run is not missing.
    """

    study: Study
    execution: Execution
    done: list[Record]
    untrained: list[RunConfig]
    unmeasured: list[Record]
    unusable: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[RunConfig]:
        """The runs that are not done."""
        return [*self.untrained, *(record.config for record in self.unmeasured)]

    @property
    def seconds_left(self) -> float | None:
        """From the mean seconds of the finished trainings and measures; None while nothing is known of these."""
        trained = [*self.done, *self.unmeasured]
        return _seconds_left(trained, len(self.untrained), self.unmeasured, self.execution.processes)


def survey(study: Study, execution: Execution) -> Snapshot:
    """What of a study is done and what is not, in the store as it is now: it is read without any lock.

    One that lacks measures, and whose weights are not here to take them from, is as good as untrained. What is
    damaged, or was measured by newer code than this, is named and left.

    Raises:
        PrunabilityError: the store's folder cannot be read.
    """
    store = RunStore(execution.runs)
    done, missing, unmeasured, unusable = [], [], [], []
    for config in study.runs:
        try:
            record = usable(store, config)
        except UnusableError as error:
            unusable.append(str(error))
            continue
        if record is not None and not lacking(record):
            done.append(record)
        elif record is not None and not untrained(record, store):
            unmeasured.append(record)
        else:
            missing.append(config)
    return Snapshot(study, execution, done, missing, unmeasured, unusable)


def named(problems: Sequence[str], unusable: Sequence[str]) -> None:
    """Say what went wrong, and which records cannot be used, five at most, once all else is done.

    Raises:
        PrunabilityError: there is anything to be said.
    """
    lines = [*problems]
    if unusable:
        lines += [f"{len(unusable)} record{'s' * (len(unusable) > 1)} cannot be used:", *unusable[:5]]
    if len(unusable) > 5:
        lines.append(f"and {len(unusable) - 5} more; `prunability verify` names all")
    if lines:
        raise PrunabilityError("\n".join(lines))


def current(record: Record) -> Record:
    """A record's measures as far as this code knows them; store and tables keep the others for code that does."""
    return replace(record, measures={name: made for name, made in record.measures.items() if name in REGISTRY})


def _seconds_left(
    records: Sequence[Record], untrained: int, unmeasured: Sequence[Record], processes: int
) -> float | None:
    if not untrained and not unmeasured:
        return 0.0
    training = [record.seconds["training"] for record in records]
    costs = {name: [r.seconds[name] for r in records if name in r.seconds] for name in REGISTRY}
    if (untrained and not training) or not any(costs.values()):
        return None
    mean = {name: sum(values) / len(values) if values else 0.0 for name, values in costs.items()}
    work = untrained * (sum(training) / max(len(training), 1) + sum(mean.values()))
    work += sum(mean[name] for record in unmeasured for name in lacking(record))
    return work / processes


def complete(study: Study, execution: Execution, until: float = math.inf) -> list[Record]:
    """Train and measure what a study lacks; the records of all its runs that are done, as :func:`completed`."""
    return [current(record) for record in completed(survey(study, execution), until).done]


def completed(state: Snapshot, until: float = math.inf) -> Snapshot:
    """Train and measure what is missing and return what the store has then, its records in the study's order.

    Finished runs are on disk as soon as they finish, so that after a Ctrl-C or a kill the same call goes
    on with the others. One run that fails does not stop the rest. After ``until``, a time by
    :func:`time.monotonic`, nothing more is begun and what is in training is kept as far as it is. With such
    a limit runs are measured soon after they are trained, for a borrowed machine keeps no weights.

    Several processes may do so on one store. What another one is at is left to it, and waited for once nothing
    else is left to do; should that process end before it is done, the work is taken over.

    Raises:
        PrunabilityError: a run failed and is missing, a process was killed, or, when the rest is done, records
            are damaged.
    """
    study, execution = state.study, state.execution
    if not state.missing:
        named([], state.unusable)
        return state
    assert study.source is not None, "there are no images to train on"
    writable(execution.runs, "runs")
    device = str(execution.torch_device)
    place = Workplace(study.source, device, execution.runs, execution.data, os.getpid(), until)
    title = f"{study.name}, {study.profile}, {study.data.title}"
    total = len(state.missing)
    # How runs ended that are not taken up again.
    ended: dict[str, str] = {}
    worked_on: set[str] = set()
    while not place.late and (missing := [run for run in state.missing if run.hash not in ended]):
        free = {run for run in missing if not elsewhere(execution.runs, run)}
        if free:
            job, work = _next(state, free, study, execution, in_haste=not math.isinf(until))
            endings = _compute(place, job, work, execution.processes, title)
            ended |= {ending.run: f"failed: {ending.note}" for ending in endings if ending.failed}
            worked_on |= {ending.run for ending in endings}
            if job is measure_runs:
                ended |= {ending.run: "lacks measures still" for ending in endings if not ending.failed}
        else:
            _wait(place, missing, title)
        state = survey(study, execution)
        # The record counts: it may be gone, as where somebody deleted the store meanwhile.
        gone = [run.hash for run in state.untrained if run.hash in worked_on - ended.keys()]
        ended |= dict.fromkeys(gone, "trained, and its record is no longer there")
    # What failed here another process may have made since; what was measured may lack what no worker knows.
    failures = [f"run {run.hash}: {ended[run.hash]}" for run in state.missing if run.hash in ended]
    failed = f"{len(failures)} of {total} runs failed, any others are kept: {'; '.join(failures[:5])}"
    named([failed] if failures else [], state.unusable)
    return state


def _next(
    state: Snapshot, free: set[RunConfig], study: Study, execution: Execution, *, in_haste: bool
) -> tuple[Job, list[list[RunConfig]]]:
    """The jobs to be done next of those runs that nobody is at: trainings come first, measures in haste.

    Long runs come first, so that no process is left alone with one at the end; in haste the order is that of
    :func:`prunability.studies.order.blocks`, so that what is done in time is a balanced study.
    """
    training = fleets([run for run in state.untrained if run in free], study, execution)
    if in_haste:
        place = {run: at for at, run in enumerate(itertools.chain.from_iterable(blocks(study)))}
        training.sort(key=lambda job: min(place[run] for run in job))
    unmeasured = sorted((record.config for record in state.unmeasured), key=_extent, reverse=True)
    measuring = [[run] for run in unmeasured if run in free]
    if not training or (in_haste and measuring):
        return measure_runs, measuring
    return train_runs, training


def _wait(place: Workplace, runs: list[RunConfig], title: str) -> None:
    """Until one of the runs, which other processes are at, is left by its process, done or not."""
    what = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    with waiting(f"{title}: waiting for {what} in training or measuring elsewhere"):
        while not place.late and all(elsewhere(place.runs, run) for run in runs):
            time.sleep(LOOK_EVERY)


def fleets(configs: Sequence[RunConfig], study: Study, execution: Execution) -> list[list[RunConfig]]:
    """Runs of a study that are trained side by side; a job for each process, if it can be."""
    by_extent = sorted(configs, key=_extent, reverse=True)
    if execution.torch_device.type == "cuda":
        # One block after another: what is done early is then a study of all hyperparameters.
        inside = [[run for run in by_extent if run in block] for block in map(frozenset, blocks(study))]
        return [job for runs in inside for job in _by_shape(runs)]
    jobs, shapes = [], _by_shape(by_extent)
    for members in shapes:
        share = math.ceil(len(members) * len(shapes) / execution.processes)
        size = min(fleet_size(members[0], study.data.shape) or 1, share)
        jobs += [members[start : start + size] for start in range(0, len(members), size)]
    return jobs


def _by_shape(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    shapes: dict[str, list[RunConfig]] = {}
    for config in configs:
        shapes.setdefault(shape_of(config), []).append(config)
    return list(shapes.values())


def _extent(config: RunConfig) -> tuple[int, int]:
    return config.network.width, getattr(config.network, "depth", 0)


def _compute(place: Workplace, job: Job, work: list[list[RunConfig]], processes: int, title: str) -> list[Ending]:
    """Do jobs in parallel processes; returns how their runs ended, those that other processes are at left out."""
    ended: list[Ending] = []
    try:
        with progress(sum(map(len, work)), f"{title}: {WORDS[job]}") as tick:
            for endings in as_they_end(_attempt, [(place, job, configs) for configs in work], processes):
                for ending in endings:
                    tick(ending.note)
                ended += endings
    except TerminatedWorkerError as error:
        raise PrunabilityError(
            "a worker process was killed (out of memory, perhaps: try fewer --workers). Finished runs are "
            "kept; the same command goes on with the rest"
        ) from error
    return ended


def _attempt(place: Workplace, job: Job, configs: list[RunConfig]) -> list[Ending]:
    """Do a job in a worker process; an error is returned and harms no other run."""
    if os.getpid() != place.parent:
        _end_with(place.parent)
        keep_memory()
    try:
        with one_thread():
            return job(place, configs)
    except Exception as error:  # noqa: BLE001  (reported by the caller, by name)
        # After an error of the GPU, a lack of memory excepted, nothing more can be computed on it in this process.
        if len(configs) == 1 or isinstance(error, torch.AcceleratorError):
            failed = f"{type(error).__name__}: {error}"
            return [Ending(config.hash, failed, failed=True) for config in configs]
    # Alone, only the run at fault fails again, and what is stored by now is not made again.
    return [ending for config in configs for ending in _attempt(place, job, [config])]


@cache
def _end_with(parent: int) -> None:
    """Let this worker end soon after its parent was killed, which cannot tell it so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
