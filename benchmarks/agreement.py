"""How far results depend on the machine's arithmetic: CPU against GPU, and bfloat16 against float32.

Takes every few runs of the profile ``quick`` of both studies and makes them in pairs: the same weights measured
on CPU and GPU, a network trained on either, and a network trained in float32 and in bfloat16. To compare with,
it is also trained with another seed: training amplifies a rounding as it does a seed. Prints, for each measure
and target, the median and the largest relative difference of a pair and how far both order the networks alike
(Kendall tau), and adds the tables to ``benchmarks/results/agreement.json``. Without a GPU, the pairs that need
one are left as they are there.

    python benchmarks/agreement.py
"""

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from prunability.analysis.ranks import kendall_tau
from prunability.data.dataset import prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import cores, project_root
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.studies import open_study
from prunability.training.config import RunConfig
from prunability.training.loop import DTYPES, one_thread, train

SAMPLE = {"correlation": 3, "double-descent": 5}
CPU, GPU = torch.device("cpu"), torch.device("cuda")
TARGETS = ("train_loss", "test_loss", "test_error")


def sample(study: str) -> list[RunConfig]:
    """Every few runs of a study's main grid."""
    opened = open_study(study, "quick", "", 0, project_root() / "data")
    return [run for run in opened.runs if run.hash in opened.parts["grid"]][:: SAMPLE[study]]


def trained(config: RunConfig, device: torch.device) -> TrainedRun:
    """A run, trained on a device."""
    data = prepare(
        load_images("digits", project_root() / "data"), config.data, device, DTYPES[config.training.precision]
    )
    return TrainedRun(config, data, *train(config, data))


def moved(run: TrainedRun, device: torch.device) -> TrainedRun:
    """The same weights, to be measured on another device."""
    images = load_images("digits", project_root() / "data")
    data = prepare(images, run.config.data, device, DTYPES[run.config.training.precision])
    return TrainedRun(run.config, data, run.initial, run.final, run.result)


def lowered(config: RunConfig) -> RunConfig:
    """The same run with the forward passes of its training in bfloat16."""
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": "bfloat16"})})


def values(run: TrainedRun) -> dict[str, float]:
    """Targets and measures of a network."""
    result = asdict(run.result)
    found: dict[str, float] = {name: result[name] for name in TARGETS}
    for group in REGISTRY.values():
        try:
            measured = group.function(run)
        except UndefinedMeasureError:
            continue
        found |= {name: v.value if isinstance(v, Estimated) else v for name, v in measured.items()}
    return found


def pairs(configs: Sequence[RunConfig]) -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    """What is compared, and the values of each pair."""
    for config in configs:
        base = trained(config, CPU)
        of_base = values(base)
        yield "trained in bfloat16, against float32", of_base, values(trained(lowered(config), CPU))
        other = config.model_copy(update={"seed": config.seed + 50})
        yield "trained with another seed", of_base, values(trained(other, CPU))
        if torch.cuda.is_available():
            yield "same weights, measured on GPU, against CPU", of_base, values(moved(base, GPU))
            yield "trained and measured on GPU, against CPU", of_base, values(trained(config, GPU))


def table(found: Sequence[tuple[dict[str, float], dict[str, float]]]) -> pd.DataFrame:
    """A row for each value that both of every pair have."""
    rows = []
    for name in found[0][0]:
        both = [(a[name], b[name]) for a, b in found if name in a and name in b]
        first, second = np.array(both).T
        size = np.maximum(np.abs(first), np.abs(second))
        difference = np.abs(first - second) / np.where(size > 0, size, 1)
        tau = kendall_tau(first, second) if len(set(first)) > 1 and len(set(second)) > 1 else None
        rows.append((name, len(both), float(np.median(difference)), float(difference.max()), tau))
    return pd.DataFrame(rows, columns=["value", "pairs", "median difference", "largest difference", "tau"])


def main() -> None:
    """Make the pairs, print the tables, and write them."""
    compared: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {}
    with one_thread():
        for study in SAMPLE:
            for what, one, other in pairs(sample(study)):
                compared.setdefault(f"{what}: {study}", []).append((one, other))
    path = Path(__file__).parent / "results" / "agreement.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for what, found in compared.items():
        rows = table(found)
        print(f"\n{what}, {len(found)} networks\n{rows.to_string(index=False, float_format='{:.2g}'.format)}")
        known[what] = {
            "rows": json.loads(rows.to_json(orient="records")),
            "environment": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "machine": platform.machine(),
                "device": torch.cuda.get_device_name() if "GPU" in what else f"{cores()} CPU cores",
                "data": "digits",
            },
        }
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
