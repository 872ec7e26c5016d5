"""Making what a study lacks: training runs, many at once, and measuring them, in parallel processes."""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch

from prunability.foundation.engines import Engine, Local
from prunability.foundation.errors import PrunabilityError, few
from prunability.foundation.execution import Execution
from prunability.foundation.files import writable
from prunability.foundation.memory import uncollected
from prunability.foundation.processes import Killed
from prunability.foundation.progress import progress, waiting
from prunability.measures import REGISTRY
from prunability.records.cost import Seconds, expected
from prunability.records.jobs import extent, fleets
from prunability.records.locks import elsewhere
from prunability.records.origins import ancestors, generation, weightless
from prunability.records.record import Record, UnusableError
from prunability.records.store import RunStore
from prunability.records.workers import (
    Ending,
    Workplace,
    asked,
    current,
    lacking,
    measure_runs,
    train_runs,
    untrained,
    usable,
)
from prunability.studies.grid import Study
from prunability.studies.order import blocks
from prunability.training.config import RunConfig
from prunability.training.course import Status
from prunability.training.loop import one_thread

Job = Callable[[Workplace, list[RunConfig]], list[Ending]]
WORDS: dict[Job, str] = {train_runs: "training", measure_runs: "measuring"}
# Of a run that was done by a job, and is missing all the same.
STILL: dict[Job, str] = {
    train_runs: "it was trained, but is not in the store: all workers must see the same folder of runs",
    measure_runs: "lacks measures still",
}
# Seconds between two looks at the runs that other processes are at.
LOOK_EVERY = 0.5


class Trained(NamedTuple):
    """What a survey keeps of a finished training: how it ended, and which functions of measures it lacks."""

    config: RunConfig
    status: Status
    reason: str
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """What of a study was done and what was not when its store was looked through, which :func:`survey` does once.

    ``unusable`` says of each record that is left as it is, what is wrong with it: such a run is not missing.
    ``means`` are the mean seconds of a training, and of each function of measures and probe that any are known of.
    """

    study: Study
    execution: Execution
    whole: list[Trained]
    untrained: list[RunConfig]
    unmeasured: list[Trained]
    unusable: list[str] = field(default_factory=list)
    means: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def done(self) -> list[Record]:
        """The records of the runs that are done, read again, for a survey keeps none: there can be many.

        One that cannot be used after all, for it is gone or damaged since or has in it what no survey looks at, is
        left out and joins ``unusable``.
        """
        store, found = RunStore(self.execution.runs), []
        with uncollected():
            for run in self.whole:
                try:
                    found.append(store.load_known(run.config))
                except UnusableError as error:
                    self.unusable.append(str(error))
        return found

    @property
    def missing(self) -> list[RunConfig]:
        """The runs that are not done."""
        return [*self.untrained, *(run.config for run in self.unmeasured)]

    @property
    def seconds_left(self) -> float | None:
        """From the mean seconds of what is finished; None while nothing is known of trainings or measures."""
        means, wanted = self.means, self.study.wanted
        if not self.untrained and not self.unmeasured:
            return 0.0
        if (self.untrained and "training" not in means) or means.keys().isdisjoint(REGISTRY):
            return None
        work = len(self.untrained) * expected(means, ("training", *REGISTRY), {})
        work += sum(expected(means, own, own) for own in (asked(config, wanted) for config in self.untrained))
        work += sum(expected(means, run.lacking, asked(run.config, wanted)) for run in self.unmeasured)
        return work / self.execution.processes


@uncollected()
def survey(study: Study, execution: Execution) -> Snapshot:
    """What of a study is done and what is not, in the store as it is now: it is read without any lock.

    One that lacks measures, and whose weights are not here to take them from, is as good as untrained. What is
    damaged, or was measured by newer code than this, is named and left. Every record is read whole and its checksum
    compared, and little of it is kept.

    Raises:
        PrunabilityError: the store's folder cannot be read.
    """
    store = RunStore(execution.runs)
    whole, unmeasured = list[Trained](), list[Trained]()
    missing, unusable = [], []
    seconds, on_cpu = Seconds(), execution.torch_device.type == "cpu"
    for config in study.runs:
        try:
            record = usable(store.glance(config), store, config, study.wanted)
        except UnusableError as error:
            unusable.append(str(error))
            continue
        lacks = tuple(lacking(record, study.wanted)) if record is not None else ()
        if record is None or (lacks and untrained(record, store, study.wanted)):
            missing.append(config)
            continue
        (unmeasured if lacks else whole).append(Trained(config, record.result.status, record.result.reason, lacks))
        # What another kind of device took says nothing of this one.
        if (record.environment.get("device") == "cpu") == on_cpu:
            seconds.add(record.seconds)
    # Of a probe's partner, and of what a run comes from, the weights are needed.
    probes = [(run, asked(run.config, study.wanted)) for run in unmeasured]
    partners = [own[name][1] for run, own in probes for name in run.lacking if name in own]
    missing += [partner for partner in partners if partner is not None and weightless(partner, store)]
    again = dict.fromkeys([*missing, *ancestors(missing, store)])
    whole, unmeasured = ([run for run in runs if run.config not in again] for runs in (whole, unmeasured))
    return Snapshot(study, execution, whole, list(again), unmeasured, unusable, seconds.means())


def named(problems: Sequence[str], unusable: Sequence[str]) -> None:
    """Say what went wrong, and which records cannot be used, five at most, once all else is done.

    Raises:
        PrunabilityError: there is anything to be said.
    """
    number = f"{len(unusable)} record{'s' * (len(unusable) > 1)} cannot be used:"
    if lines := [*problems, *few(number, unusable, "; `prunability verify` names all")]:
        raise PrunabilityError("\n".join(lines))


def complete(study: Study, execution: Execution, until: float = math.inf) -> list[Record]:
    """Train and measure what a study lacks; the records of all its runs that are done, as :func:`completed`."""
    return records_of(completed(survey(study, execution), until))


def records_of(state: Snapshot) -> list[Record]:
    """The records of the runs that are done, as :func:`current`, to be used where all of them can be.

    Raises:
        PrunabilityError: some cannot.
    """
    found = [current(record) for record in state.done]
    named([], state.unusable)
    return found


def completed(state: Snapshot, until: float = math.inf, engine: Engine | None = None) -> Snapshot:
    """Train and measure what is missing and return what the store has then, its records in the study's order.

    Finished runs are on disk as soon as they finish, so that after a Ctrl-C or a kill the same call goes
    on with the others. One run that fails does not stop the rest, nor does a worker that is killed. After
    ``until``, a time by :func:`time.monotonic`, nothing more is begun and what is in training is kept as far as
    it is. With such a limit runs are measured soon after they are trained, for a borrowed machine keeps no
    weights. ``engine`` does the work, by default processes of this machine.

    Several processes may do so on one store. What another one is at is left to it, and waited for once nothing
    else is left to do; should that process end before it is done, the work is taken over.

    Raises:
        PrunabilityError: a run failed and is missing, or, when the rest is done, records are damaged.
    """
    if not state.missing:
        named([], state.unusable)
        return state
    engine = engine or Local(state.execution.processes)
    study, execution = state.study, state.execution.model_copy(update={"workers": engine.processes()})
    assert study.source is not None, "there are no images to train on"
    writable(execution.runs, "runs")
    folders, deadline = (execution.runs, execution.data), time.time() + until - time.monotonic()
    place = Workplace(study.source, str(execution.torch_device), *folders, deadline, study.wanted)
    title = f"{study.name}, {study.profile}, {study.data.title}"
    total = len(state.missing)
    # How runs ended that are not taken up again.
    ended: dict[str, str] = {}
    while not place.late and (missing := [run for run in state.missing if run.hash not in ended]):
        busy = [run for run in missing if elsewhere(execution.runs, run)]
        if free := _free(state, missing, busy):
            job, work = _next(state, free, study, execution, in_haste=not math.isinf(until))
            endings = _compute(engine, place, job, work, title)
        else:
            _wait(place, busy, title)
            job, endings = measure_runs, []
        next(execution.runs.glob("*"), None)  # a network's file system then looks anew for what was not there
        state = survey(study, execution)
        # Of a fleet that failed, some may be trained.
        left = {run.hash for run in (state.untrained if job is train_runs else state.missing)}
        ended |= {
            ending.run: f"failed: {ending.note}" if ending.failed else STILL[job]
            for ending in endings
            if ending.run in left
        }
    # What failed here another process may have made since; what was measured may lack what no worker knows.
    failures = [f"run {run.hash}: {ended[run.hash]}" for run in state.missing if run.hash in ended]
    named(few(f"{len(failures)} of {total} runs failed, any others are kept:", failures), state.unusable)
    return state


def _free(state: Snapshot, missing: list[RunConfig], busy: list[RunConfig]) -> set[RunConfig]:
    """The missing runs that can be worked on: nobody is at them, nor trains a parent of theirs or a partner."""
    training = set(state.untrained).intersection(missing)
    held = training.intersection(busy)
    for run in sorted(training, key=generation):
        if held.intersection(run.parents):
            held.add(run)
    for run in (run.config for run in state.unmeasured):
        if training.intersection(partner for _, partner in asked(run, state.study.wanted).values()):
            held.add(run)
    return set(missing) - held - set(busy)


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
        training.sort(key=lambda job: min(place.get(run, len(place)) for run in job))
    unmeasured = sorted((run.config for run in state.unmeasured), key=extent, reverse=True)
    measuring = [[run] for run in unmeasured if run in free]
    if not training or (in_haste and measuring):
        return measure_runs, measuring
    return train_runs, training


def _wait(place: Workplace, runs: list[RunConfig], title: str) -> None:
    """Until one of the runs, which other processes are at, is left by its process, done or not."""
    what = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    with waiting(f"{title}: waiting for {what} in training or measuring elsewhere"):
        while runs and not place.late and all(elsewhere(place.runs, run) for run in runs):
            time.sleep(LOOK_EVERY)


def _compute(engine: Engine, place: Workplace, job: Job, work: list[list[RunConfig]], title: str) -> list[Ending]:
    """Do jobs side by side; returns how their runs ended, those that other processes are at left out."""
    ended: list[Ending] = []
    results = engine.as_they_end(_attempt, [(place, job, configs) for configs in work])
    known = RunStore(place.runs).coming(itertools.chain(*work)) if job is train_runs else None
    with progress(sum(map(len, work)), f"{title}: {WORDS[job]}", known) as tick, closing(results):
        for at, result in results:
            if isinstance(result, Killed):
                endings = [Ending(run.hash, str(result), failed=True) for run in work[at]]
            else:
                endings = result
            for ending in endings:
                tick(ending.note)
            ended += endings
    return ended


def _attempt(place: Workplace, job: Job, configs: list[RunConfig]) -> list[Ending]:
    """Do a job; an error is returned and harms no other run."""
    try:
        with one_thread():
            return job(place, configs)
    except Exception as error:  # noqa: BLE001  (reported by the caller, by name)
        # After an error of the GPU, a lack of memory excepted, nothing more can be computed on it in this process.
        if len(configs) == 1 or isinstance(error, torch.AcceleratorError):
            failed = str(error) if isinstance(error, PrunabilityError) else f"{type(error).__name__}: {error}"
            return [Ending(config.hash, failed, failed=True) for config in configs]
    # Alone, only the run at fault fails again, and what is stored by now is not made again.
    return [ending for config in configs for ending in _attempt(place, job, [config])]
