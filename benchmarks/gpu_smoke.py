"""What works on a GPU, and what it costs: a few minutes, in parts that do not depend on one another.

Each part has a time limit; what it found, or why it failed, is printed and written at once, a line of JSON each, so
that a borrowed machine that ends early leaves what it did. Without a GPU the same parts run with small sizes.

    python benchmarks/gpu_smoke.py [--out FILE] [--data folder:IMAGES] [--parts NAME,NAME]
"""

import argparse
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from prunability.data.dataset import DataConfig, Dataset, prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import project_root
from prunability.foundation.seeding import generator
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.records import tables
from prunability.records.workers import environment
from prunability.studies import open_study
from prunability.training import loop
from prunability.training.augmentation import augmented, moves
from prunability.training.config import (
    CNNConfig,
    MLPConfig,
    NiNConfig,
    ResNetConfig,
    RunConfig,
    TrainingConfig,
)
from prunability.training.dropout import dropout_keys, dropout_mask, places
from prunability.training.fleet import Fleet, train_fleet
from prunability.training.loop import logits, train
from prunability.training.strategy import trained
from rows import written

GPU = torch.cuda.is_available()
CPU, DEVICE = torch.device("cpu"), torch.device("cuda" if GPU else "cpu")
# Width, depth, batch size; how many side by side; images.
SHAPES = [(64, 2, 64), (128, 4, 64), (256, 4, 256)] if GPU else [(4, 1, 16)]
FLEETS = [1, 6, 18] if GPU else [1, 2]
COUNT, SIDE = (50_000, 32) if GPU else (64, 8)
STEPS = 10 if GPU else 2
EXAMPLES = 512 if GPU else 64
# Seconds that a part may take.
LIMIT = 45.0

Rows = Iterator[dict[str, Any]]


def synthetic(count: int, side: int, device: torch.device) -> Dataset:
    """Noise with labels that follow from it, in float32."""
    draws = generator("gpu smoke test")
    images = torch.randn(count, 3, side, side, generator=draws).contiguous(memory_format=torch.channels_last)
    labels = (images[:, 0].mean(dim=(1, 2)) * side).round().long() % 10
    images, labels = images.to(device), labels.to(device)
    return Dataset(10, images, labels, images[: count // 5], labels[: count // 5])


def run_of(shape: tuple[int, int, int], count: int, seed: int = 0, dropout: float = 0.0, **rules: Any) -> RunConfig:
    """A network-in-network on synthetic images."""
    width, depth, batch = shape
    return RunConfig(
        data=DataConfig(checksum="0" * 64, n_train=count),
        network=NiNConfig(width=width, depth=depth, dropout=dropout),
        training=TrainingConfig.model_validate(
            {"learning_rate": 0.02, "batch_size": batch, "precision": "bfloat16"} | rules
        ),
        seed=seed,
    )


def seconds(work: Callable[[], Any], repeats: int = 3) -> float:
    """The median time of some work, after once more to warm up."""
    times = []
    for _ in range(repeats + 1):
        synchronise()
        start = time.perf_counter()
        work()
        synchronise()
        times.append(time.perf_counter() - start)
    return float(torch.tensor(times[1:]).median())


def synchronise() -> None:
    """Wait for the GPU."""
    if GPU:
        torch.cuda.synchronize()


def apart(one: Tensor, other: Tensor) -> float:
    """‖one − other‖ / ‖other‖."""
    one, other = one.double().cpu(), other.double().cpu()
    return float((one - other).norm() / other.norm().clamp_min(1e-300))


def ceilings() -> Rows:
    """Bytes a second of a large copy, operations a second of a large product."""
    size, length = (8192, 2**28) if GPU else (128, 2**16)
    source, target = torch.randn(length, device=DEVICE), torch.empty(length, device=DEVICE)
    yield {"copy TB/s": 8 * length / seconds(lambda: target.copy_(source)) / 1e12}
    for dtype in (torch.float32, torch.bfloat16):
        one, other = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
        spent = seconds(lambda: one @ other)  # noqa: B023  (called at once)
        yield {"product": str(dtype), "TFLOP/s": 2 * size**3 / spent / 1e12}


def noise() -> Rows:
    """Dropout masks and augmented images, GPU against CPU: they must be the same."""
    config = run_of((16, 2, 32), 320, dropout=0.3, augmentation=True)
    keys = dropout_keys(config, 0, 10, 1)[:, 0]
    rates = torch.linspace(0, 0.9, 10)
    for last in (True, False):
        masks = [
            dropout_mask(keys.to(device), rates.to(device), places((16, 8, 8), 32, last, device))
            for device in (CPU, DEVICE)
        ]
        yield {"masks, examples last": last, "equal": torch.equal(masks[0], masks[1].cpu())}
    data = synthetic(320, SIDE, CPU)
    moved = moves(config, 0, 10, data.train_images.shape[1:]).flatten(0, 1)
    on_gpu = augmented(data.train_images.to(DEVICE), moved.to(DEVICE)).cpu()
    yield {"augmentation equal": torch.equal(augmented(data.train_images, moved), on_gpu)}


def graphs() -> Rows:
    """Steps captured as a graph, of a fleet and of one network, against the same kernels one after another."""
    data = synthetic(EXAMPLES, SIDE, DEVICE)
    for precision in ("float32", "bfloat16"):
        rules = {"precision": precision, "augmentation": True}
        runs = [run_of((16, 2, 32), EXAMPLES, seed, dropout=0.2 * seed, **rules) for seed in range(3)]
        found = []
        for captures in (True, False):
            fleet = Fleet(runs[0], data)
            fleet.captures = captures and GPU
            fleet.enter(runs)
            before = fleet.weights.clone()
            losses = fleet.epoch() or fleet.weights.clone()
            assert isinstance(losses, Tensor)
            found.append(losses)
        yield {
            "precision": precision, "captured": GPU, "moved": apart(found[1], before),
            "graph against eager": apart(found[0], found[1]),
        }  # fmt: skip
    for network in (ResNetConfig(width=2), CNNConfig(width=2)):
        run = run_of((16, 2, 32), EXAMPLES, max_epochs=2 + STEPS, target_loss=1e-9)
        run = run.model_copy(update={"network": network})
        ends, spent = [], []
        for captures in (True, False):
            start = time.perf_counter()
            with patch.object(loop, "captures", lambda _, captures=captures: captures and GPU):
                _, final, result = train(run, data)
            spent.append(1e3 * (time.perf_counter() - start) / result.steps)
            ends.append(torch.cat([final[name].flatten() for name in final]))
        yield {
            "alone": network.kind, "captured": GPU, "graph against eager": apart(*ends),
            "ms a step with graph, without": spent,
        }  # fmt: skip


def fleets() -> Rows:
    """Members of a bfloat16 fleet that leave at different times; each must end as it is due."""
    data = synthetic(EXAMPLES, SIDE, DEVICE)
    runs = [run_of((16, 2, 32), EXAMPLES, seed, max_epochs=2 + seed, target_loss=1e-9) for seed in range(4)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = list(train_fleet(runs, data, 3))
    yield {
        "epochs": [one.result.epochs for one in found], "due": [run.training.max_epochs for run in runs],
        "warnings": [str(warning.message) for warning in told],
    }  # fmt: skip
    if GPU:
        shape, count = (128, 3, 128), 1024
        data = synthetic(count, SIDE, DEVICE)
        many = [run_of(shape, count, seed, max_epochs=1) for seed in range(64)]
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.03)
        try:
            ended = sum(1 for _ in trained(many, data))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
        yield {"with 3 % of the memory": f"{ended} of {len(many)} trained"}


def steps() -> Rows:
    """Milliseconds of a step and memory at its peak, of fleets of several sizes."""
    data = synthetic(COUNT, SIDE, DEVICE)
    for shape in SHAPES:
        for members in FLEETS:
            for dropout in (0.0, 0.2) if members == FLEETS[1] else (0.0,):
                runs = [run_of(shape, COUNT, seed, dropout) for seed in range(members)]
                if GPU:
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                fleet = Fleet(runs[0], data)
                fleet.enter(runs)
                fleet.network.train()
                draws = [draw[:, :STEPS].contiguous() for draw in fleet._draws()]
                start = time.perf_counter()
                fleet.step(*(draw[:, 0] for draw in draws))
                synchronise()
                first = time.perf_counter() - start
                whole = seconds(
                    lambda: [fleet.step(*(draw[:, step] for draw in draws)) for step in range(STEPS)]  # noqa: B023
                )
                yield {
                    "width, depth, batch": shape, "networks": members, "dropout": dropout, "first step s": first,
                    "ms a step": 1e3 * whole / STEPS, "ms a step and network": 1e3 * whole / STEPS / members,
                    "GB": torch.cuda.max_memory_allocated() / 1e9 if GPU else None,
                }  # fmt: skip


def evaluation() -> Rows:
    """Examples a second of a forward pass in float32, in bfloat16, and in TF32 where that is not off."""
    data = synthetic(max(COUNT // 5, 64), SIDE, DEVICE)
    run = run_of(SHAPES[1 if GPU else 0], len(data.train_labels), max_epochs=1)
    result = train(run, data)
    network = TrainedRun(run, data, *result).folded
    exact = logits(network, data.train_images)
    for precision in ("float32", "bfloat16"):
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found = logits(network, data.train_images)
            spent = seconds(lambda: logits(network, data.train_images))
        yield {
            "precision": precision, "TF32": os.environ["NVIDIA_TF32_OVERRIDE"] == "1",
            "examples/s": len(data.train_labels) / spent, "logits apart": apart(found, exact),
        }  # fmt: skip


def values(run: TrainedRun) -> dict[str, float]:
    """All measures of a network; seconds of each function stand beside them."""
    found: dict[str, float] = {}
    for name, group in REGISTRY.items():
        start = time.perf_counter()
        try:
            measured = group.function(run)
        except UndefinedMeasureError:
            continue
        synchronise()
        found |= {key: v.value if isinstance(v, Estimated) else v for key, v in measured.items()}
        found[f"seconds of {name}"] = time.perf_counter() - start
    return found


def measures() -> Rows:
    """Every measure of two small networks, the same weights on GPU and CPU."""
    images = load_images("digits", project_root() / "data")
    networks: list[NiNConfig | MLPConfig] = [NiNConfig(width=16, depth=1), MLPConfig(width=16)]
    for network in networks if GPU else networks[1:]:
        base = run_of(
            (1, 1, 32), 400 if GPU else 60, target_loss=0.1, max_epochs=50 if GPU else 2, precision="float32"
        )
        data = DataConfig(checksum=images.checksum, n_train=base.data.n_train)
        run = base.model_copy(update={"network": network, "data": data})
        sets = [prepare(images, data, device, torch.float32) for device in (CPU, DEVICE)]
        ended = train(run, sets[0])
        one, other = (values(TrainedRun(run, data, *ended)) for data in sets)
        taken = {key: (one.pop(key), other.pop(key)) for key in list(one) if key.startswith("seconds")}
        off = {key: abs(one[key] - other.get(key, math.nan)) / max(abs(one[key]), 1e-12) for key in one}
        worst = sorted(off, key=lambda key: -off[key] if off[key] == off[key] else -math.inf)[:6]
        yield {
            "network": network.kind, "TF32": os.environ["NVIDIA_TF32_OVERRIDE"] == "1", "measures": len(one),
            "same to 1e-4": sum(value <= 1e-4 for value in off.values()), "worst": {key: off[key] for key in worst},
            "CPU s, GPU s": [sum(pair[0] for pair in taken.values()), sum(pair[1] for pair in taken.values())],
        }  # fmt: skip


def published(source: str) -> Rows:
    """Two networks of ``small``, trained and measured from end to end, beside the published ones."""
    root = project_root()
    study = open_study("correlation", "small", source, 0, root / "data")
    table = tables.find(root / "results", "correlation", "small")
    assert table is not None
    data = prepare(load_images(source, root / "data"), study.runs[0].data, DEVICE, torch.float32)
    for run in (study.runs[0], study.runs[-1]):
        (one,) = trained([run], data)
        synchronise()
        found = values(TrainedRun(run, data, one.initial, one.final, one.result))
        settings = [run.setting(name) for name in study.hyperparameters]
        (there,) = [r for r in table.records if [r.config.setting(n) for n in study.hyperparameters] == settings]
        known = {key: value for measured in there.measures.values() for key, value in measured.values.items()}
        names = ("prunability_magnitude_absolute_0.1", "pacbayes_flatness", "log_product_of_spectral_norms")
        slow = sorted((key for key in found if key.startswith("seconds")), key=lambda key: -found[key])
        yield {
            "settings": settings, "seconds of training": one.seconds, "epochs": one.result.epochs,
            "seconds of measures": sum(found[key] for key in slow),
            "slowest": {key: found[key] for key in slow[:8]},
            "test loss": [one.result.test_loss, there.result.test_loss],
            **{name: [found.get(name), known.get(name)] for name in names},
        }  # fmt: skip


@contextmanager
def limited(limit: float) -> Iterator[None]:
    """Raises TimeoutError within, after so many seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"stopped after {limit:g} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    """Run the parts that are asked for, all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=os.devnull)
    parser.add_argument("--data", default="")
    parser.add_argument("--parts", default="")
    asked = parser.parse_args()
    parts: dict[str, Callable[[], Rows]] = {
        "ceilings": ceilings, "noise": noise, "graphs": graphs, "fleets": fleets, "steps": steps,
        "evaluation": evaluation, "measures": measures,
    }  # fmt: skip
    if asked.data:
        parts["published"] = lambda: published(asked.data)
    chosen = asked.parts.split(",") if asked.parts else list(parts)
    with written(Path(asked.out)) as tell:
        tell({"part": "environment", **environment(DEVICE, "synthetic")})
        for name in chosen:
            start = time.perf_counter()
            try:
                with limited(LIMIT):
                    for row in parts[name]():
                        tell({"part": name, **row})
            except Exception as error:  # noqa: BLE001  (the next part may work)
                tell({"part": name, "failed": f"{type(error).__name__}: {error}"})
            tell({"part": name, "seconds": time.perf_counter() - start})
        if GPU and not asked.parts:  # the override is read when a process begins
            again = [sys.executable, __file__, "--out", asked.out, "--parts", "evaluation,measures"]
            subprocess.run(again, env=os.environ | {"NVIDIA_TF32_OVERRIDE": "1"}, check=False)


if __name__ == "__main__":
    main()
