"""How networks of one shape are trained on the device at hand: many at once, or one after another."""

import math
import time
from collections.abc import Iterator, Sequence

import torch

from prunability.data.dataset import Dataset
from prunability.foundation.defaults import defaults
from prunability.training.arithmetic import fleets_agree
from prunability.training.checkpoints import Place
from prunability.training.config import RunConfig
from prunability.training.fleet import Fleet, Trained, train_fleet
from prunability.training.loop import LARGEST_IMAGE, Starts, no_starts, train
from prunability.training.networks import best_side_by_side, largest_map, make_network

# The most values that the largest maps of all networks together may have on a CPU core: then they fit into
# its cache (``benchmarks/fleets.py`` prints the times).
LARGEST_MAPS = 2**18
# Of a GPU's free memory, what a fleet may take: networks that have ended are measured beside it.
GPU_SHARE = 0.5


def trained(
    configs: Sequence[RunConfig],
    data: Dataset,
    checkpoint: Place | None = None,
    until: float = math.inf,
    starts: Starts = no_starts,
) -> Iterator[Trained]:
    """Train networks of one shape in the way that is fastest on the device of the data.

    ``checkpoint`` says where a network keeps what it has reached, ``until`` when that is all for now, ``starts``
    where a run with an origin begins.

    Raises:
        OutOfTimeError: some have not ended by ``until``.
    """
    if data.train_images.device.type == "cuda":
        network = make_network(configs[0].network, data.train_images.shape[1:], data.classes)
        size = _fitting(configs, data) if best_side_by_side(network) else None
    else:
        size = fleet_size(configs[0], data.train_images.shape[1:])
        size = size if size and fleets_agree(configs[0], data) else None
    if size:
        yield from _in_fleets(configs, data, size, checkpoint, until, starts)
    else:
        for config in configs:
            start = time.perf_counter()
            place = checkpoint(config) if checkpoint else None
            initial, final, result = train(config, data, place, until, starts)
            yield Trained(config, initial, final, result, time.perf_counter() - start)


@defaults()
def fleet_size(config: RunConfig, image: Sequence[int]) -> int | None:
    """How many networks are best trained side by side on a CPU core, for images [channels, H, W].

    None where one at a time is faster: on large images, whose convolutions leave a core no idle moment.
    Which of the two it is depends on configuration and machine alone, so that company never changes a result; in
    bfloat16 or with a width of 1 it would, for there a batched product's bits depend on the size of the batch.
    Where they do so for another shape on the machine at hand, :func:`trained` trains its networks one by one.
    """
    exact = config.training.precision != "bfloat16" and config.network.width > 1
    if image[1] * image[2] > LARGEST_IMAGE or not exact:
        return None
    largest = largest_map(make_network(config.network, image, 2), image)
    return max(1, LARGEST_MAPS // (largest * config.training.batch_size))


def _in_fleets(
    configs: Sequence[RunConfig],
    data: Dataset,
    size: int,
    checkpoint: Place | None,
    until: float,
    starts: Starts = no_starts,
) -> Iterator[Trained]:
    """Train networks at most ``size`` at a time, fewer where a GPU's memory does not suffice after all."""
    waiting = list(configs)
    while waiting:
        try:
            for one in train_fleet(waiting, data, size, checkpoint, until, starts):
                waiting.remove(one.config)
                yield one
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = max(1, min(size, len(waiting)) // 2)
        # Not within the except block, where the error's traceback would keep the fleet that failed.
        if waiting:
            torch.cuda.empty_cache()


def _fitting(configs: Sequence[RunConfig], data: Dataset) -> int:
    """How many networks fit into the memory of a GPU, from what a step of one of them takes."""
    fleet = Fleet(configs[0], data)
    fleet.captures = False
    fleet.enter([configs[0].model_copy(update={"origin": None})])
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    fleet.first_step()
    needed = torch.cuda.max_memory_allocated() - before + 4 * fleet.weights.nbytes
    del fleet
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return max(1, min(len(configs), int(free * GPU_SHARE / needed)))
