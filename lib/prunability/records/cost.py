"""What training would cost on the machine at hand, found by timing a step of each network."""

import time
from collections.abc import Sequence

import torch

from prunability.data.dataset import Dataset
from prunability.data.images import DataFacts
from prunability.foundation.execution import Execution
from prunability.training.config import RunConfig
from prunability.training.loop import DTYPES, one_thread, train


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
