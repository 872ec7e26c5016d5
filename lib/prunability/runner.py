"""Making what a study lacks: training runs and measuring them, in parallel processes."""

import math
import os
import platform
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from prunability.config import Execution, PrunabilityError, RunConfig, writable
from prunability.data import load_images, prepare
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.progress import progress
from prunability.store import Measured, Record, RunStore
from prunability.studies.base import Study
from prunability.training import DTYPES, one_thread, train


@dataclass(frozen=True)
class Progress:
    """How far a study is. ``seconds_left`` is None while nothing is known of how long a run takes."""

    done: list[Record]
    untrained: list[RunConfig]
    unmeasured: list[Record]
    seconds_left: float | None


def lacking(record: Record) -> list[str]:
    """Functions of measures that a record lacks or has in an older version; none for a diverged run."""
    if record.result.status == "diverged":
        return []
    known = record.measures
    return [name for name, group in REGISTRY.items() if name not in known or known[name].version != group.version]


def survey(study: Study, execution: Execution) -> Progress:
    """What of a study is done and what is not; raises the store's errors for damaged records."""
    store = RunStore(execution.runs)
    found = [(config, store.load(config)) for config in study.runs]
    records = [record for _, record in found if record is not None]
    untrained = [config for config, record in found if record is None]
    unmeasured = [record for record in records if lacking(record)]
    return Progress(
        [record for record in records if not lacking(record)],
        untrained,
        unmeasured,
        _seconds_left(records, len(untrained), unmeasured, execution.processes),
    )


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


def complete(study: Study, execution: Execution) -> list[Record]:
    """Train and measure what is missing and return the records of all runs, in the study's order.

    Finished runs are on disk as soon as they finish, so that after a Ctrl-C or a kill the same call goes
    on with the others. One run that fails does not stop the rest.

    Raises:
        PrunabilityError: a record is damaged, a run failed, or a process was killed.
    """
    state = survey(study, execution)
    waiting = [*state.untrained, *(record.config for record in state.unmeasured)]
    if waiting:
        writable(execution.runs, "runs")
        _compute(study, execution, waiting)
    store = RunStore(execution.runs)
    return [record for config in study.runs if (record := store.load(config)) is not None]


def _compute(study: Study, execution: Execution, waiting: Sequence[RunConfig]) -> None:
    # Long runs first, so that no process is left alone with one at the end.
    ordered = sorted(waiting, key=lambda run: (run.network.width, getattr(run.network, "depth", 0)), reverse=True)
    device = str(execution.torch_device)
    pool = joblib.Parallel(min(execution.processes, len(ordered)), return_as="generator_unordered")
    failures: list[str] = []
    try:
        with (
            progress(len(ordered), f"{study.name}, {study.profile}, {study.images.title}") as tick,
            warnings.catch_warnings(),
        ):
            # A worker that has been idle is replaced; joblib warns of it, nothing is lost.
            warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
            for config, status in pool(
                joblib.delayed(_attempt)(config, study.source, device, execution.runs, execution.data, os.getpid())
                for config in ordered
            ):
                tick(status)
                if status.startswith("failed"):
                    failures.append(f"run {config.hash}: {status}")
    except TerminatedWorkerError as error:
        raise PrunabilityError(
            "a worker process was killed (out of memory, perhaps: try fewer --workers). Finished runs are "
            "kept; the same command goes on with the rest"
        ) from error
    if failures:
        raise PrunabilityError(
            f"{len(failures)} of {len(ordered)} runs failed, any others are kept: " + "; ".join(failures[:5])
        )


def _attempt(
    config: RunConfig, source: str, device: str, runs: Path, data: Path, parent: int
) -> tuple[RunConfig, str]:
    """Make one run in a worker process; an error is returned and harms no other run."""
    if os.getpid() != parent:
        _end_with(parent)
    try:
        with one_thread():
            return config, make(config, source, torch.device(device), RunStore(runs), data).result.status
    except Exception as error:  # noqa: BLE001  (reported by the caller, by name)
        return config, f"failed: {type(error).__name__}: {error}"


@cache
def _end_with(parent: int) -> None:
    """Let this worker end soon after its parent was killed, which cannot tell it so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make(config: RunConfig, source: str, device: torch.device, store: RunStore, cache: Path) -> Record:
    """Train a run if it is not in the store, and add the measures that it lacks."""
    images = load_images(source, cache)
    dataset = prepare(images, config.data, device, DTYPES[config.training.precision])
    record = store.load(config)
    if record is None:
        start = time.perf_counter()
        initial, final, result = train(config, dataset)
        seconds = {"training": time.perf_counter() - start}
        weights = store.save_weights(config, initial, final)
        record = Record(config, result, {}, weights, seconds, environment(device, images.title))
        store.save(record)
    missing = lacking(record)
    if missing:
        initial, final = store.load_weights(record)
        run = TrainedRun(config, dataset, initial, final, record.result)
        # What is no longer a measure goes; what is stays where its version does.
        record = replace(record, measures={name: m for name, m in record.measures.items() if name in REGISTRY})
        for name in missing:
            record = _measured(record, run, name)
        store.save(record)
    return record


def _measured(record: Record, run: TrainedRun, name: str) -> Record:
    group = REGISTRY[name]
    start = time.perf_counter()
    try:
        found = group.function(run)
        values = {name: value.value if isinstance(value, Estimated) else value for name, value in found.items()}
        errors = {name: value.standard_error for name, value in found.items() if isinstance(value, Estimated)}
        if broken := [name for name, value in values.items() if not math.isfinite(value)]:
            raise UndefinedMeasureError(f"{', '.join(broken)}: not a finite number")
        measured = Measured(group.version, values, standard_errors=errors)
    except UndefinedMeasureError as error:
        measured = Measured(group.version, {}, str(error))
    seconds = time.perf_counter() - start
    return replace(
        record,
        measures={**record.measures, name: measured},
        seconds={**record.seconds, name: seconds},
    )


def environment(device: torch.device, title: str) -> dict[str, str]:
    """What made a result: versions, machine, device, the data set's name."""
    return {
        "data": title,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
