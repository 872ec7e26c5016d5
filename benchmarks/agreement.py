"""How far results depend on the machine's arithmetic: CPU against GPU, and bfloat16 against float32.

Takes every few runs of the profile ``quick`` of both studies and makes them in pairs: the same weights measured
on CPU and GPU, a network trained on either, and a network trained in float32 and in bfloat16. To compare with,
it is also trained with another seed: training amplifies a rounding as it does a seed. Prints, for each measure
and target, the median and the largest relative difference of a pair and how far both order the networks alike
(Kendall tau), and adds the tables to ``benchmarks/results/agreement.json``.

    python benchmarks/agreement.py FOLDER [cpu|gpu]

``cpu`` makes the pairs that need no GPU, ``gpu`` the others; by default both are made where there is a GPU, else
the first. What a half finds is in FOLDER at once, with the networks that were trained on the CPU: carried to a
machine with a GPU, it spares that one the half of the CPU, and carried back it has both.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from prunability.analysis.ranks import kendall_tau
from prunability.data.dataset import Dataset, prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import project_root
from prunability.foundation.files import updated
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.records.workers import environment
from prunability.studies import open_study
from prunability.training.arithmetic import processor
from prunability.training.config import RunConfig
from prunability.training.course import Result
from prunability.training.loop import DTYPES, one_thread, train
from rows import RESULTS, written

SAMPLE = {"correlation": 3, "double-descent": 5}
CPU, GPU = torch.device("cpu"), torch.device("cuda")
TARGETS = ("train_loss", "test_loss", "test_error")

Values = dict[str, float]


def sample(study: str) -> list[RunConfig]:
    """Every few runs of a study's main grid."""
    opened = open_study(study, "quick", "", 0, project_root() / "data")
    return [run for run in opened.runs if run.hash in opened.parts["grid"]][:: SAMPLE[study]]


def prepared(config: RunConfig, device: torch.device) -> Dataset:
    """The digits of a run."""
    images = load_images("digits", project_root() / "data")
    return prepare(images, config.data, device, DTYPES[config.training.precision])


def trained(config: RunConfig, device: torch.device) -> TrainedRun:
    """A run, trained on a device."""
    data = prepared(config, device)
    return TrainedRun(config, data, *train(config, data))


def lowered(config: RunConfig) -> RunConfig:
    """The same run with the forward passes of its training in bfloat16."""
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": "bfloat16"})})


def values(run: TrainedRun) -> Values:
    """Targets and measures of a network."""
    result = asdict(run.result)
    found: Values = {name: result[name] for name in TARGETS}
    for group in REGISTRY.values():
        try:
            measured = group.function(run)
        except UndefinedMeasureError:
            continue
        found |= {name: v.value if isinstance(v, Estimated) else v for name, v in measured.items()}
    return found


def of_cpu(config: RunConfig, at: Path) -> Iterator[tuple[str, Values, Values]]:
    """What is compared without a GPU, and the values of each pair; the network is kept for the other half."""
    base = trained(config, CPU)
    of_base = values(base)
    kept = {"initial": base.initial, "final": base.final, "result": asdict(base.result), "values": of_base}
    torch.save(kept | {"processor": processor()}, at / f"{config.hash}.pt")
    yield "trained in bfloat16, against float32", of_base, values(trained(lowered(config), CPU))
    other = config.model_copy(update={"seed": config.seed + 50})
    yield "trained with another seed", of_base, values(trained(other, CPU))


def of_gpu(config: RunConfig, at: Path) -> Iterator[tuple[str, Values, Values]]:
    """What a GPU is compared on with a CPU, which has made its half."""
    kept = torch.load(at / f"{config.hash}.pt", weights_only=True)
    base = TrainedRun(config, prepared(config, GPU), kept["initial"], kept["final"], Result(**kept["result"]))
    against = f"against CPU ({kept['processor']})"
    yield f"same weights, measured on GPU, {against}", kept["values"], values(base)
    yield f"trained and measured on GPU, {against}", kept["values"], values(trained(config, GPU))


HALVES = {"cpu": of_cpu, "gpu": of_gpu}


def table(found: Sequence[tuple[Values, Values]]) -> pd.DataFrame:
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
    """Make the pairs of a half or of both; write the tables of all that are in the folder."""
    at, *asked = sys.argv[1:]
    folder = Path(at)
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "pairs.jsonl"
    with one_thread(), written(rows) as tell:
        runs = [(study, config) for study in SAMPLE for config in sample(study)]
        for half in asked or (["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]):
            made_by = environment(GPU if half == "gpu" else CPU, "digits")
            for study, config in runs:
                for what, one, other in HALVES[half](config, folder):
                    tell({
                        "what": f"{what}: {study}", "run": config.hash, "one": one, "other": other,
                        "environment": made_by,
                    })  # fmt: skip
    # Of a pair that was made more than once, the last.
    pairs = {(row["what"], row["run"]): row for row in map(json.loads, rows.read_text("utf-8").splitlines())}
    with updated(RESULTS / "agreement.json") as known:
        for what in dict.fromkeys(what for what, _ in pairs):
            found = [row for (of, _), row in pairs.items() if of == what]
            compared = table([(row["one"], row["other"]) for row in found])
            print(
                f"\n{what}, {len(found)} networks\n{compared.to_string(index=False, float_format='{:.2g}'.format)}"
            )
            known[what] = {
                "rows": json.loads(compared.to_json(orient="records")), "environment": found[-1]["environment"],
            }  # fmt: skip


if __name__ == "__main__":
    main()
