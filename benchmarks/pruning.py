"""What the pruning scan costs: examples evaluated and seconds, against trying every fraction.

Trains networks of the correlation study's digits to convergence, scans them with every pruner, checks the
answers against the exhaustive scan, prints a table and writes ``benchmarks/results/pruning.json``.

    python benchmarks/pruning.py
"""

import json
import platform
import time
from itertools import pairwise

import pandas as pd
import torch

from prunability.data.dataset import DataConfig, prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import cores, project_root
from prunability.foundation.files import write
from prunability.foundation.seeding import generator
from prunability.measures import TrainedRun
from prunability.measures.search import (
    HEADLINE,
    PRUNERS,
    RANDOM_DRAWS,
    RESOLUTION,
    Pruner,
    loss_curve,
    prunabilities,
    prunable,
)
from prunability.training.config import NiNConfig, RunConfig, TrainingConfig
from prunability.training.loop import one_thread, train
from rows import RESULTS, Row, kept

NETWORKS = ((24, 1), (40, 2), (64, 2))


def trained(width: int, depth: int, device: torch.device) -> TrainedRun:
    """A converged network on 1,000 digits."""
    images = load_images("digits", project_root() / "data")
    config = RunConfig(
        data=DataConfig(checksum=images.checksum, n_train=1000),
        network=NiNConfig(width=width, depth=depth),
        training=TrainingConfig(learning_rate=0.1, batch_size=32),
    )
    data = prepare(images, config.data, device, torch.float32)
    initial, final, result = train(config, data)
    if result.status != "converged":
        raise RuntimeError(f"width {width}, depth {depth}: {result.status}")
    return TrainedRun(config, data, initial, final, result)


def compare(run: TrainedRun, pruner: Pruner) -> Row:
    """One row of the table: a scan at the headline tolerance and the exhaustive one."""

    def draws() -> list[torch.Generator | None]:
        count = RANDOM_DRAWS if pruner == "random" else 1
        return [generator("benchmark", draw) if pruner == "random" else None for draw in range(count)]

    start = time.perf_counter()
    found, scan = prunabilities(run.variants, run.train_loss, pruner, [HEADLINE], draws())
    middle = time.perf_counter()
    curve = loss_curve(run.variants, pruner, draws())
    end = time.perf_counter()
    limit = HEADLINE.limit(run.train_loss)
    expected = next((k for k, loss in enumerate(curve[:-1], 1) if loss <= limit), RESOLUTION) / RESOLUTION
    if found[HEADLINE] != expected:
        raise RuntimeError(f"the scan says {found[HEADLINE]}, the exhaustive scan {expected}")
    whole = RESOLUTION * len(draws()) * len(run.data.train_labels)
    width, depth = run.config.setting("width"), run.config.setting("depth")
    return {
        "width": width, "depth": depth, "pruner": pruner, "prunability": expected,
        "rises": sum(later > earlier for earlier, later in pairwise(curve)),
        "passes": scan.examples / whole * RESOLUTION, "fewer examples": whole / scan.examples,
        "seconds": middle - start, "exhaustive seconds": end - middle,
    }  # fmt: skip


def together(run: TrainedRun, examples: int = 50) -> Row:
    """Seconds of 2 and of 16 variants evaluated as one fleet, over those of one by one."""
    row: Row = {"width": run.config.setting("width"), "depth": run.config.setting("depth")}
    variants, index = run.variants, torch.arange(examples, device=run.data.train_labels.device)
    row["rule"], chosen = "in fleets" if variants.batched else "one by one", variants.batched
    for count in (2, 16):
        weights = [prunable(run.folded)] * count
        seconds = []
        for batched in (True, False):
            variants.batched = batched
            variants.losses(weights, index)
            start = time.perf_counter()
            for _ in range(20):
                variants.losses(weights, index)
            if index.is_cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        row[f"{count} in a fleet"] = seconds[0] / seconds[1]
    variants.batched = chosen
    return row


def main() -> None:
    """Print the table and write it with the environment."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows, ratios = list[Row](), list[Row]()
    with one_thread(), kept("pruning") as tell:
        runs = [trained(width, depth, device) for width, depth in NETWORKS]
        for run in runs:
            for pruner in PRUNERS:
                rows.append(compare(run, pruner))
                tell(rows[-1])
            ratios.append(together(run))
            tell(ratios[-1])
        environment = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": cores(),
            "threads": 1,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        }
        content = {"environment": environment, "fleet over one by one": ratios, "rows": rows}
        write(RESULTS / "pruning.json", json.dumps(content, indent=1) + "\n")
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    print("\nseconds of a fleet over those of one by one")
    print(pd.DataFrame(ratios).to_string(index=False, float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
