"""How many networks are trained in an hour: the textbook loop, one at a time, and in fleets.

    python benchmarks/fleets.py                                  # quick's shapes, on digits
    python benchmarks/fleets.py small folder:/path/to/cifar10    # small's, on 2,000 images
    python benchmarks/fleets.py paper folder:/path/to/cifar10    # paper's, on all images: a GPU

Prints tables and adds them, with the environment, to ``benchmarks/results/fleets.json``. ``textbook`` is the
loop that research repositories write: a DataLoader, plain layers, float32, one network and one step at a
time with all threads. The others run on one core, or on the GPU; what is a
share of the matrix rate is one of theirs. Every network is trained for as many steps, with a target that it cannot
reach but that is judged all the same. ``whole`` is the profile's grid (two runs
of ``small``), trained by the textbook loop and as ``prunability run`` does it on all cores.
"""

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.data.sources import load_images
from prunability.foundation.execution import Execution, cores, project_root
from prunability.foundation.files import updated
from prunability.foundation.processes import keep_memory
from prunability.measures import REGISTRY, TrainedRun
from prunability.records.runner import complete
from prunability.studies import Study, open_study
from prunability.training.config import NiNConfig, RunConfig
from prunability.training.fleet import train_fleet
from prunability.training.loop import DTYPES, LARGEST_IMAGE, build, train
from rows import RESULTS, Row, kept

# Width, depth and batch size that are timed.
SHAPES = {
    "quick": [(24, 1, 32), (40, 1, 128), (64, 2, 32)],
    "small": [(64, 2, 64)],
    "paper": [(64, 2, 256), (128, 3, 256), (256, 4, 256)],
}
SIZES = (1, 4, 16, 64)
# Steps of each network that is timed, in whole epochs; a loss that none reaches.
STEPS, UNREACHED = 400, 1e-12
# Measures that evaluate many variants of a network.
SEARCHES = (
    "prunability_magnitude",
    "prunability_layerwise",
    "prunability_random",
    "pacbayes",
    "pacbayes_magnitude",
)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Plain(nn.Sequential):
    """The network-in-network as anyone would write it."""

    def __init__(self, config: NiNConfig, channels: int, classes: int) -> None:
        layers: list[nn.Module] = []
        for block in range(config.depth):
            for place in range(3):
                inputs = config.width if block or place else channels
                size, stride, padding = (1, 1, 0) if place else (3, 2, 1)
                layers.append(nn.Conv2d(inputs, config.width, size, stride, padding, bias=False))
                layers += [nn.BatchNorm2d(config.width), nn.ReLU()]
            layers.append(nn.Dropout(config.dropout))
        super().__init__(*layers, nn.Conv2d(config.width, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def textbook(config: RunConfig, data: Dataset) -> int:
    """Train one network in the textbook way; returns its steps."""
    assert isinstance(config.network, NiNConfig)
    torch.manual_seed(config.seed)
    rules, examples = config.training, TensorDataset(data.train_images.cpu().contiguous(), data.train_labels.cpu())
    loader = DataLoader(examples, rules.batch_size, shuffle=True, drop_last=True)
    network = Plain(config.network, data.train_images.shape[1], data.classes).to(DEVICE)
    optimiser = torch.optim.SGD(
        network.parameters(), rules.learning_rate, rules.momentum, weight_decay=rules.weight_decay
    )
    steps = 0
    for _ in range(rules.max_epochs):
        network.train()
        for images, labels in loader:
            loss = F.cross_entropy(network(images.to(DEVICE)), labels.to(DEVICE))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        steps += len(loader)
        network.eval()
        with torch.no_grad():
            total = sum(
                F.cross_entropy(network(images.to(DEVICE)), labels.to(DEVICE), reduction="sum").item()
                for images, labels in DataLoader(examples, 500)
            )
        if total / len(examples) <= rules.target_loss:
            break
    return steps


def timed(work: Callable[[], list[int]]) -> tuple[float, list[int]]:
    """Seconds of it, with what it returns."""
    start = time.perf_counter()
    steps = work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, steps


def in_fleet(runs: list[RunConfig], data: Dataset, size: int) -> list[int]:
    """Train a fleet; returns the steps of each network."""
    return [one.result.steps for one in train_fleet(runs, data, size)]


def flops(config: RunConfig, data: Dataset) -> int:
    """Floating-point operations of one step of one network: matrix products, forward and backward."""
    network = build(config, data.train_images.shape[1:], data.classes)
    batch = data.train_images[: config.training.batch_size].cpu()
    with FlopCounterMode(display=False) as counter:
        network(batch).sum().backward()
    return int(counter.get_total_flops())


def matrix_rate(dtype: torch.dtype) -> float:
    """The most operations a second of a large matrix product, the best of ten."""
    size = 8192 if DEVICE.type == "cuda" else 1024
    one, other = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, timed(lambda: [len(one @ other)])[0])
    return float(2 * size**3 / best)


def members(study: Study, shape: tuple[int, int, int], count: int, **rules: float) -> list[RunConfig]:
    """Runs of one shape, the grid's settings with as many seeds as it takes and some rules of training changed."""
    names = ("width", "depth", "batch_size")
    of_grid = [run for run in study.runs if tuple(run.setting(name) for name in names) == shape]
    found = []
    for number in range(count):
        run = of_grid[number % len(of_grid)]
        changed = run.training.model_copy(update=rules)
        found.append(run.model_copy(update={"seed": number // len(of_grid), "training": changed}))
    return found


def images_of(study: Study) -> ImageSet:
    """The images that a study trains on."""
    assert study.source is not None
    return load_images(study.source, project_root() / "data")


def modes(study: Study, shape: tuple[int, int, int]) -> Iterator[Row]:
    """A row for each way of training networks of one shape."""
    (first,) = members(study, shape, 1)
    rules = {"max_epochs": -(-STEPS // (first.data.n_train // shape[2])), "target_loss": UNREACHED}
    data = prepare(images_of(study), first.data, DEVICE, DTYPES[first.training.precision])
    few = 4 if study.profile == "quick" else 1
    work: dict[str, tuple[int, Callable[[list[RunConfig]], list[int]]]] = {
        "textbook": (few, lambda runs: [textbook(run, data) for run in runs]),
        "one at a time": (few, lambda runs: [train(run, data)[2].steps for run in runs]),
    }
    # Fleets of large images on a CPU only show that they do not pay.
    for size in SIZES if DEVICE.type == "cuda" or data.train_images[0, 0].numel() <= LARGEST_IMAGE else SIZES[:2]:
        work[f"fleet of {size}"] = (max(few, size), partial(in_fleet, data=data, size=size))
    torch.set_num_threads(1)
    operations, rate = (
        flops(first, data),
        matrix_rate(torch.bfloat16 if first.training.precision == "bfloat16" else torch.float32),
    )
    for mode, (count, function) in work.items():
        torch.set_num_threads(cores() if mode == "textbook" else 1)
        runs = members(study, shape, count, **rules)
        seconds, steps = timed(lambda: function(runs))  # noqa: B023  (called at once)
        total = sum(steps)
        yield {
            "width": shape[0], "depth": shape[1], "batch": shape[2], "mode": mode, "networks": count,
            "seconds": seconds, "steps": total / count, "networks/h": 3600 * count / seconds,
            "ms/step": 1e3 * seconds / total, "examples/s": total * shape[2] / seconds,
            "TFLOP/s": operations * total / seconds / 1e12,
            "of matrix rate": operations * total / seconds / rate,
        }  # fmt: skip


def whole(study: Study, runs: Sequence[RunConfig]) -> Row:
    """Seconds to train runs of a profile by the textbook loop, and by the library without measures."""
    torch.set_num_threads(cores())
    data = prepare(images_of(study), runs[0].data, DEVICE, torch.float32)
    seconds, _ = timed(lambda: [textbook(run, data) for run in runs])
    groups = dict(REGISTRY)
    REGISTRY.clear()
    try:
        with tempfile.TemporaryDirectory() as folder:
            execution = Execution(
                runs=Path(folder), data=project_root() / "data", results=project_root() / "results"
            )
            chosen = replace(study, runs=tuple(runs))
            ours, _ = timed(lambda: [record.result.steps for record in complete(chosen, execution)])
    finally:
        REGISTRY.update(groups)
    return {"networks": len(runs), "textbook seconds": seconds, "library seconds": ours, "ratio": seconds / ours}


def searches(study: Study, shape: tuple[int, int, int]) -> Iterator[Row]:
    """Seconds of the measures that try many variants of a network, one by one and in fleets."""
    (config,) = members(study, shape, 1)
    data = prepare(images_of(study), config.data, DEVICE, DTYPES[config.training.precision])
    result = train(config, data)
    for name in SEARCHES:
        seconds = {}
        for batched in (False, True):
            run = TrainedRun(config, data, *result)
            run.variants.batched = batched
            seconds[batched], _ = timed(lambda: [len(REGISTRY[name].function(run))])  # noqa: B023
        chosen = TrainedRun(config, data, *result).variants.batched
        yield {
            "width": shape[0], "depth": shape[1], "measure": name, "one by one": seconds[False],
            "in fleets": seconds[True], "rule": "in fleets" if chosen else "one by one",
        }  # fmt: skip


def shown(rows: Sequence[Row]) -> str:
    """As a table."""
    return pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.4g}")


def main() -> None:
    """Print the tables and add them to the results."""
    profile, data = [*sys.argv[1:], *["quick", ""][len(sys.argv) - 1 :]][:2]
    study = open_study("correlation", profile, data, 0, project_root() / "data")
    keep_memory()
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{cores()} CPU cores"
    with kept("fleets") as tell:

        def told(rows: Iterable[Row]) -> list[Row]:
            found = []
            for row in rows:
                tell(row)
                found.append(row)
            return found

        of_training = told(row for shape in SHAPES[profile] for row in modes(study, shape))
        torch.set_num_threads(1)
        measured = SHAPES[profile] if profile == "quick" else []
        of_measures = told(row for shape in measured for row in searches(study, shape))
        grid = list(study.runs) if profile == "quick" else members(study, SHAPES[profile][0], 2)
        total = told(whole(study, runs) for runs in ([grid] if profile != "paper" else []))
        with updated(RESULTS / "fleets.json") as known:
            known[f"{profile}, {device}"] = {
                "training": of_training, "measures": of_measures, "whole": total[0] if total else {},
                "environment": {
                    "python": platform.python_version(), "torch": torch.__version__,
                    "machine": platform.machine(), "device": device, "data": study.data.title,
                },
            }  # fmt: skip
    print(*(shown(rows) for rows in (of_training, of_measures, total) if rows), sep="\n")


if __name__ == "__main__":
    main()
