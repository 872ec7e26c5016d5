"""Making what a study lacks: training runs, many at once, and measuring them, in parallel processes."""

import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from prunability.config import Execution, PrunabilityError, RunConfig, writable
from prunability.dispatch import fleet_size
from prunability.fleet import shape_of
from prunability.jobs import Place, keep_memory, lacking, measure_runs, train_runs
from prunability.measures import REGISTRY
from prunability.progress import progress
from prunability.store import Record, RunStore
from prunability.studies.base import Study
from prunability.training import one_thread


@dataclass(frozen=True)
class Progress:
    """How far a study is. ``seconds_left`` is None while nothing is known of how long a run takes."""

    done: list[Record]
    untrained: list[RunConfig]
    unmeasured: list[Record]
    seconds_left: float | None


def survey(study: Study, execution: Execution) -> Progress:
    """What of a study is done and what is not; raises the store's errors for damaged records.

    One that lacks measures, and whose weights are not here to take them from, is as good as untrained.
    """
    store = RunStore(execution.runs)
    done, untrained, unmeasured = [], [], []
    for config in study.runs:
        record = store.load(config)
        if record is not None and not lacking(record):
            done.append(record)
        elif record is not None and store.has_weights(config):
            unmeasured.append(record)
        else:
            untrained.append(config)
    seconds_left = _seconds_left([*done, *unmeasured], len(untrained), unmeasured, execution.processes)
    return Progress(done, untrained, unmeasured, seconds_left)


def _seconds_left(
    records: Sequence[Record], untrained: int, unmeasured: Sequence[Record], processes: int
) -> float | None:
    """From the mean seconds of the finished trainings and measures."""
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
    """Train and measure what is missing and return the records of all runs that are done, in the study's order.

    Finished runs are on disk as soon as they finish, so that after a Ctrl-C or a kill the same call goes
    on with the others. One run that fails does not stop the rest. After ``until``, a time by
    :func:`time.monotonic`, nothing more is begun and what is in training is kept as far as it is. With such
    a limit runs are measured soon after they are trained, for a borrowed machine keeps no weights.

    Raises:
        PrunabilityError: a record is damaged, a run failed, or a process was killed.
    """
    state = survey(study, execution)
    if not state.untrained and not state.unmeasured:
        return state.done
    assert study.source is not None, "there are no images to train on"
    writable(execution.runs, "runs")
    device = str(execution.torch_device)
    place = Place(study.source, device, execution.runs, execution.data, os.getpid(), until)
    title = f"{study.name}, {study.profile}, {study.data.title}"
    jobs = fleets(state.untrained, study.data.shape, execution)
    size, batches = execution.processes, [jobs]
    if not math.isinf(until):  # what is trained already is measured first
        batches = [[], *(jobs[start : start + size] for start in range(0, len(jobs), size))]
    for batch in batches:
        _compute(place, train_runs, batch, execution.processes, f"{title}: training")
        # Long runs first, so that no process is left alone with one at the end.
        waiting = sorted((r.config for r in survey(study, execution).unmeasured), key=_extent, reverse=True)
        _compute(place, measure_runs, [[run] for run in waiting], execution.processes, f"{title}: measuring")
    return survey(study, execution).done


def fleets(configs: Sequence[RunConfig], image: Sequence[int], execution: Execution) -> list[list[RunConfig]]:
    """Runs that are trained side by side, for images of shape ``image``; a job for each process, if it can be."""
    shapes: dict[str, list[RunConfig]] = {}
    for config in sorted(configs, key=_extent, reverse=True):
        shapes.setdefault(shape_of(config), []).append(config)
    if execution.torch_device.type == "cuda":
        return list(shapes.values())
    jobs = []
    for members in shapes.values():
        share = math.ceil(len(members) * len(shapes) / execution.processes)
        size = min(fleet_size(members[0], image) or 1, share)
        jobs += [members[start : start + size] for start in range(0, len(members), size)]
    return jobs


def _extent(config: RunConfig) -> tuple[int, int]:
    return config.network.width, getattr(config.network, "depth", 0)


Job = Callable[[Place, list[RunConfig]], list[str]]


def _compute(place: Place, job: Job, work: list[list[RunConfig]], processes: int, title: str) -> None:
    if not work or place.late:
        return
    total = sum(map(len, work))
    pool = joblib.Parallel(min(processes, len(work)), return_as="generator_unordered")
    failures: list[str] = []
    try:
        with progress(total, title) as tick, warnings.catch_warnings():
            # A worker that has been idle is replaced; joblib warns of it, nothing is lost.
            warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
            for notes in pool(joblib.delayed(_attempt)(place, job, configs) for configs in work):
                for note in notes:
                    tick(note)
                failures += [note for note in notes if note.startswith("run ")]
    except TerminatedWorkerError as error:
        raise PrunabilityError(
            "a worker process was killed (out of memory, perhaps: try fewer --workers). Finished runs are "
            "kept; the same command goes on with the rest"
        ) from error
    if failures:
        raise PrunabilityError(
            f"{len(failures)} of {total} runs failed, any others are kept: " + "; ".join(failures[:5])
        )


def _attempt(place: Place, job: Job, configs: list[RunConfig]) -> list[str]:
    """Do a job in a worker process; an error is returned and harms no other run."""
    if os.getpid() != place.parent:
        _end_with(place.parent)
        keep_memory()
    try:
        with one_thread():
            return job(place, configs)
    except Exception as error:  # noqa: BLE001  (reported by the caller, by name)
        if len(configs) > 1:  # alone, only the run at fault fails again
            store = RunStore(place.runs)
            return [
                "trained" if store.has_weights(config) else _attempt(place, job, [config])[0] for config in configs
            ]
        return [f"run {configs[0].hash}: failed: {type(error).__name__}: {error}"]


@cache
def _end_with(parent: int) -> None:
    """Let this worker end soon after its parent was killed, which cannot tell it so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
