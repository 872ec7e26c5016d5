"""What a worker process does: train runs side by side and measure them, each stored as it ends."""

import ctypes
import math
import platform
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from prunability.arithmetic import in_force
from prunability.checkpoints import OutOfTimeError
from prunability.config import RunConfig
from prunability.data import Dataset, load_images, prepare
from prunability.dispatch import trained
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.store import Measured, Record, RunStore
from prunability.training import DTYPES


def lacking(record: Record) -> list[str]:
    """Functions of measures that a record lacks or has in an older version; none for a diverged run."""
    if record.result.status == "diverged":
        return []
    known = record.measures
    return [name for name, group in REGISTRY.items() if name not in known or known[name].version != group.version]


class Place(NamedTuple):
    """Where a worker finds images and store, which process it works for, and until when.

    ``until`` is a time by :func:`time.monotonic`, which all processes of a machine share.
    """

    source: str
    device: str
    runs: Path
    data: Path
    parent: int
    until: float = math.inf

    @property
    def late(self) -> bool:
        """Whether nothing more is to be begun."""
        return time.monotonic() > self.until

    def dataset(self, config: RunConfig) -> Dataset:
        """The images of a run."""
        images, dtype = load_images(self.source, self.data), DTYPES[config.training.precision]
        return prepare(images, config.data, torch.device(self.device), dtype)


def train_runs(place: Place, configs: list[RunConfig]) -> list[str]:
    """Train runs side by side and store each as it ends; returns how they ended, those that did in time."""
    if place.late:
        return []
    data, store = place.dataset(configs[0]), RunStore(place.runs)
    made_by = environment(data.train_images.device, load_images(place.source, place.data).title)
    endings: list[str] = []
    with suppress(OutOfTimeError):
        for config, initial, final, result, seconds in trained(configs, data, store.checkpoint, place.until):
            weights = store.save_weights(config, initial, final)
            store.save(Record(config, result, {}, weights, {"training": seconds}, made_by))
            endings.append(result.status)
    return endings


def measure_runs(place: Place, configs: list[RunConfig]) -> list[str]:
    """Add to stored runs the measures that they lack, each stored as it is found; returns a word a whole run."""
    store = RunStore(place.runs)
    endings: list[str] = []
    for config in configs:
        record = store.load(config)
        assert record is not None
        run = TrainedRun(config, place.dataset(config), *store.load_weights(record), record.result)
        missing = lacking(record)
        # What is no longer a measure goes; what is stays where its version does.
        record = replace(record, measures={name: m for name, m in record.measures.items() if name in REGISTRY})
        for name in missing:
            if place.late:
                return endings
            record = _measured(record, run, name)
            store.save(record)
        endings.append("measured")
    return endings


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
    """What made a result: versions, machine, device, arithmetic in force, the data set's name."""
    return in_force() | {
        "data": title,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


@cache
def keep_memory() -> None:
    """Let freed memory stay with this process: taking it anew from the system costs a fifth of a training."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD, its largest value
        mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
