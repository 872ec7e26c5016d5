"""What a worker process does: train runs side by side and measure them, each stored as it ends.

A run is claimed while it is worked on, and what another process has claimed is left to it.
"""

import math
import os
import platform
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from filelock import FileLock

from prunability.data.dataset import DataConfig, Dataset, prepare
from prunability.data.sources import load_images
from prunability.foundation.errors import PrunabilityError
from prunability.measures import REGISTRY, TrainedRun, take
from prunability.measures.probes import PROBES, key
from prunability.measures.subject import UndefinedMeasureError
from prunability.records.locks import claimed, elsewhere
from prunability.records.origins import ancestors, generations, start_of, weightless
from prunability.records.record import Glance, Measured, Record, UnusableError
from prunability.records.store import RunStore
from prunability.studies.grid import Wanted
from prunability.training.arithmetic import in_force
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import RunConfig
from prunability.training.loop import DTYPES, Start
from prunability.training.strategy import trained

EVERYTHING = Wanted()
R = TypeVar("R", Record | None, Glance | None)


def lacking(record: Record | Glance, wanted: Wanted = EVERYTHING) -> list[str]:
    """Functions of measures that a record lacks or has in an older version, keys of probes; none if it diverged."""
    if record.result.status == "diverged":
        return []
    known, of_these = record.measures, wanted.measures
    lacks = [
        name
        for name, function in REGISTRY.items()
        if (of_these is None or name in of_these)
        and ((made := known.get(name)) is None or made.version != function.version)
    ]
    return lacks + [name for name in asked(record.config, wanted) if name not in record.curves]


def asked(config: RunConfig, wanted: Wanted) -> dict[str, tuple[str, RunConfig | None]]:
    """The probes wanted of a run, with the partner of a pair's, by the key of what they give."""
    return {
        key(name, partner.hash if partner else ""): (name, partner)
        for name, partner in wanted.probes(config)
        if name in PROBES
    }


def current(record: Record) -> Record:
    """A record's measures as far as this code knows them; store and tables keep the others for code that does."""
    return replace(record, measures={name: made for name, made in record.measures.items() if name in REGISTRY})


def beyond(record: Record | Glance) -> list[str]:
    """Functions of measures that a record has and this code cannot make: unknown here, or of a newer version."""
    return [
        name
        for name, measured in record.measures.items()
        if (known := REGISTRY.get(name)) is None or measured.version > known.version
    ]


def untrained(record: Record | Glance | None, store: RunStore, wanted: Wanted = EVERYTHING) -> bool:
    """Whether a run is to be trained: it was not, or it lacks measures and has no weights to take them from."""
    return record is None or (bool(lacking(record, wanted)) and not store.has_weights(record))


def usable(record: R, store: RunStore, config: RunConfig, wanted: Wanted = EVERYTHING) -> R:
    """The record of a run as the store has it, None where it is not finished, if this code can work on it.

    Raises:
        UnusableError: newer code measured it, or it is to be trained anew and has measures that this code does not
            know, which would be lost.
    """
    theirs = beyond(record) if record is not None else []
    if newer := [name for name in theirs if name in REGISTRY]:
        raise UnusableError(
            f"run {config.hash}: newer code measured {', '.join(newer)}; use that code or another folder of runs"
        )
    if theirs and untrained(record, store, wanted):
        raise UnusableError(
            f"run {config.hash}: it lacks measures and has no weights, and a new training would lose what this "
            f"code does not know ({', '.join(theirs)}); use code that does, or move {store.path(config)} away"
        )
    return record


class Ending(NamedTuple):
    """How the work on a run, named by its hash, ended: with a word on it, or why it failed."""

    run: str
    note: str
    failed: bool = False


class Workplace(NamedTuple):
    """Where a worker, on this machine or another, finds images and store, until when it works, and what is wanted.

    ``deadline`` is a time by :func:`time.time`, the one clock that machines share.
    """

    source: str
    device: str
    runs: Path
    data: Path
    deadline: float = math.inf
    wanted: Wanted = EVERYTHING

    @property
    def until(self) -> float:
        """The deadline by :func:`time.monotonic` of the machine at hand."""
        return time.monotonic() + self.deadline - time.time()

    @property
    def late(self) -> bool:
        """Whether nothing more is to be begun."""
        return time.time() > self.deadline

    def dataset(self, config: RunConfig) -> Dataset:
        """The images of a run."""
        return _dataset(self.source, self.data, config.data, self.device, DTYPES[config.training.precision])


@lru_cache(maxsize=2)
def _dataset(source: str, folder: Path, config: DataConfig, device: str, dtype: torch.dtype) -> Dataset:
    """Images on their device: they are the same for most runs of a study, and long to normalise and to copy."""
    return prepare(load_images(source, folder), config, torch.device(device), dtype)


def train_runs(place: Workplace, configs: list[RunConfig]) -> list[Ending]:
    """Train runs side by side and store each as it ends; returns how they ended, those that did here and in time.

    Those that come from others follow these. Somebody may have stored a run since it was found missing; it is not
    trained again. Where time is limited, each is measured as soon as it is trained, for a borrowed machine keeps no
    weights.
    """
    if place.late:
        return []
    store, endings = RunStore(place.runs), []
    with claimed(place.runs, configs) as own:
        known = {config: usable(store.load(config), store, config, place.wanted) for config in own}
        waiting = [config for config in own if weightless(config, store)]
        for config in own.keys() - waiting:
            own[config].release()
            endings.append(Ending(config.hash, "found trained"))
        if not waiting:
            return endings
        for config in waiting:
            store.drop_weights(config)
        data = place.dataset(waiting[0])
        made_by = environment(data.train_images.device, load_images(place.source, place.data).title)
        with suppress(OutOfTimeError):
            for same in generations(waiting):
                starts, failed = _starts(place, own, same, data)
                endings += failed
                ready = [config for config in same if config.origin is None or config in starts]
                ends = trained(ready, data, store.checkpoint, place.until, starts.__getitem__) if ready else ()
                for config, initial, final, result, seconds in ends:
                    weights = store.save_weights(config, initial, final)
                    made = Record(config, result, {}, weights, {"training": seconds}, {**made_by})
                    store.save(made, over=known[config])
                    if not math.isinf(place.deadline):
                        _made_whole(place, store, made)
                    own[config].release()
                    endings.append(Ending(config.hash, result.status))
    return endings


def _starts(
    place: Workplace, own: dict[RunConfig, FileLock], configs: list[RunConfig], data: Dataset
) -> tuple[dict[RunConfig, Start], list[Ending]]:
    """Where runs with an origin begin, and which cannot; those whose parents another process trains are left."""
    store, starts, failed = RunStore(place.runs), {}, []
    for config in (config for config in configs if config.origin is not None):
        waits = any(elsewhere(place.runs, run) for run in ancestors([config], store))
        try:
            starts[config] = start_of(config, store, data)
        except PrunabilityError as error:
            own[config].release()
            if not waits:
                failed.append(Ending(config.hash, str(error), failed=True))
    return starts, failed


def measure_runs(place: Workplace, configs: list[RunConfig]) -> list[Ending]:
    """Add to stored runs the measures that they lack, each stored as it is found; returns the runs made whole."""
    store, endings = RunStore(place.runs), []
    with claimed(place.runs, configs) as own:
        for config in own:
            store.tidy(config)
            record = usable(store.load(config), store, config, place.wanted)
            if record is None or untrained(record, store, place.wanted):
                continue
            if _made_whole(place, store, record):
                endings.append(Ending(config.hash, "measured"))
    return endings


def _made_whole(place: Workplace, store: RunStore, record: Record) -> bool:
    """Measure what a record lacks; False where there is no time for all of it, or a partner is not trained yet."""
    if not (missing := lacking(record, place.wanted)):
        return True
    run, probes, whole = _run(place, store, record), asked(record.config, place.wanted), True
    for name in missing:
        if place.late:
            return False
        start = time.perf_counter()
        if name not in probes:
            store.save(_measured(record, run, name))
        elif (row := _probed(place, store, run, *probes[name])) is not None:
            taken = {probes[name][0]: time.perf_counter() - start}
            store.save(replace(record, curves={name: row}, seconds=record.seconds | taken))
        else:
            whole = False
    return whole


def _run(place: Workplace, store: RunStore, record: Record) -> TrainedRun:
    return TrainedRun(record.config, place.dataset(record.config), *store.load_weights(record), record.result)


def _probed(
    place: Workplace, store: RunStore, run: TrainedRun, name: str, partner: RunConfig | None
) -> list[float] | None:
    """What a probe gives, no numbers where it is undefined; None where the partner is not trained."""
    pair = [run]
    if partner is not None:
        if (other := store.load(partner)) is None or not store.has_weights(other):
            return None
        if other.result.status == "diverged":
            return []
        pair.append(_run(place, store, other))
    try:
        return PROBES[name].function(*pair)
    except UndefinedMeasureError:
        return []


def _measured(record: Record, run: TrainedRun, name: str) -> Record:
    start = time.perf_counter()
    values, errors, undefined = take(name, run)
    measured = Measured(REGISTRY[name].version, values, undefined, errors)
    seconds = time.perf_counter() - start
    screens: dict[str, str | int | float] = {
        f"bfloat16_error_{pruner}": share for pruner, share in run.screens.items() if share is not None
    }
    return replace(
        record,
        environment={**record.environment, **screens},
        measures={**record.measures, name: measured},
        seconds={**record.seconds, name: seconds},
    )


def processor_of(record: Record) -> str:
    """What a run was made on: the GPU or the processor, as far as its record says."""
    made = record.environment
    return str(made["device"]) if made["device"] != "cpu" else str(made.get("processor", made["machine"]))


def environment(device: torch.device, title: str) -> dict[str, str]:
    """What made a result: versions, machine, device, arithmetic in force, the data set's name."""
    tf32 = {"tf32": os.environ["NVIDIA_TF32_OVERRIDE"]} if device.type == "cuda" else {}
    return (
        in_force()
        | tf32
        | {
            "data": title,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "machine": platform.machine(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
    )
