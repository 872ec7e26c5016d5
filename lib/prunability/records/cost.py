"""What work has cost, and what training would on the machine at hand, found by timing a step of each network."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunability.data.dataset import Dataset
from prunability.data.images import DataFacts
from prunability.foundation.execution import Execution
from prunability.training.config import RunConfig
from prunability.training.loop import DTYPES, one_thread, train


class Seconds:
    """What each piece of work took on average, over many records, of which most name the same pieces."""

    def __init__(self) -> None:
        self.sums, self.times = dict[tuple[str, ...], NDArray[np.float64]](), Counter[tuple[str, ...]]()

    def add(self, seconds: Mapping[str, float]) -> None:
        """What each piece of work of one more record took."""
        names = tuple(seconds)
        self.sums[names] = self.sums.get(names, 0.0) + np.fromiter(seconds.values(), float, len(names))
        self.times[names] += 1

    def means(self) -> dict[str, float]:
        """The mean over the records that name it, for each piece of work."""
        total, times = defaultdict[str, float](float), Counter[str]()
        for names, sums in self.sums.items():
            for name, taken in zip(names, sums.tolist(), strict=True):
                total[name] += taken
                times[name] += self.times[names]
        return {name: total[name] / times[name] for name in total}


def expected(means: Mapping[str, float], names: Iterable[str], probes: Mapping[str, tuple[str, Any]]) -> float:
    """Seconds that pieces of work take by their means, where these are known; ``probes`` has the names of some."""
    return sum(means.get(probes[name][0] if name in probes else name, 0.0) for name in names)


def seconds_an_epoch(configs: Sequence[RunConfig], data: DataFacts, execution: Execution) -> float:
    """Seconds that an epoch of all these runs takes with this machine's processes; measures are not counted.

    One step of one network of each size is timed, on noise in place of images.
    """
    known: dict[str, float] = {}
    total = 0.0
    for config in configs:
        key = config.network.model_dump_json(exclude={"dropout"})
        if key not in known:
            known[key] = _seconds_an_image(config, data, execution.torch_device)
        total += known[key] * config.data.n_train
    return total / execution.processes


def _seconds_an_image(config: RunConfig, data: DataFacts, device: torch.device) -> float:
    batch = config.training.batch_size
    images = torch.rand(batch, *data.shape, dtype=DTYPES[config.training.precision], device=device)
    labels = torch.arange(batch, device=device) % data.classes
    noise = Dataset(data.classes, images, labels, images[:1], labels[:1])
    once = config.model_copy(
        update={
            "data": config.data.model_copy(update={"n_train": batch}),
            "training": config.training.model_copy(update={"max_epochs": 1}),
            "origin": None,
        }
    )
    start = time.perf_counter()
    with one_thread():
        train(once, noise)
    return (time.perf_counter() - start) / batch


def in_words(seconds: float) -> str:
    """A duration in the largest unit of which there is at least one and a half."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 1):.0f} seconds"
