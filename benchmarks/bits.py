"""What the last bits of results depend on here, and what it costs to fix them.

Runs itself under each setting of MKL, of PyTorch's own kernels (ATen) and of oneDNN, and prints for each
result a letter a setting, the same where the results are the same bits; how many fleets are not what their
networks are alone; and the seconds of processor time. What was found is written, under the name of
the processor, to ``benchmarks/results/bits.json``; what was found on others stays there.

    python benchmarks/bits.py
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prunability.data.dataset import DataConfig, Dataset, prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import project_root
from prunability.foundation.files import updated
from prunability.foundation.seeding import generator
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.training.arithmetic import fleets_agree, in_force
from prunability.training.config import MLPConfig, NetworkConfig, NiNConfig, RunConfig, TrainingConfig
from prunability.training.fleet import train_fleet
from prunability.training.loop import build, logits, one_thread, train
from rows import RESULTS, Row, kept

OURS = "ours"
# What ATen takes where nobody caps it as the library does.
NATIVE = {"ATEN_CPU_CAPABILITY": "avx512"} if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2" else {}
# An empty MKL_CBWR counts as set, so that the library leaves it, and as none with MKL.
SETTINGS: dict[str, dict[str, str]] = {
    OURS: {},
    "nothing": {"MKL_CBWR": ""} | NATIVE,
    "MKL compatible": {"MKL_CBWR": "COMPATIBLE"},
    "ATen native": NATIVE,
    "ATen default": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN AVX512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
}
ROUNDS = 2
ADAM = {"optimiser": "adam", "learning_rate": 3e-3, "batch_size": 128}
# Fleets whose networks are to be what they are alone: network, batch size, training images.
SHAPES: list[tuple[NetworkConfig, int, int]] = [
    (NiNConfig(width=24, depth=2), 32, 1000),
    (NiNConfig(width=7, depth=2), 11, 200),
    (MLPConfig(width=45), 128, 600),
    (MLPConfig(width=5), 10, 200),
    (MLPConfig(width=11), 31, 133),
    (MLPConfig(width=13), 32, 133),
]


def bits(parts: Iterable[Tensor]) -> str:
    """A checksum of tensors."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()[:16]


def run_of(network: NetworkConfig, n_train: int = 1000, seed: int = 0, **rules: Any) -> RunConfig:
    """A run on digits of three epochs, unless rules say otherwise."""
    known = {"learning_rate": 0.03, "batch_size": 32, "max_epochs": 3, "target_loss": 1e-3}
    images = load_images("digits", project_root() / "data")
    return RunConfig(
        data=DataConfig(checksum=images.checksum, n_train=n_train),
        network=network,
        seed=seed,
        training=TrainingConfig(**(known | rules)),
    )


def data_of(config: RunConfig) -> Dataset:
    """The digits of a run."""
    images = load_images("digits", project_root() / "data")
    return prepare(images, config.data, torch.device("cpu"), torch.float32)


def fleet(network: NetworkConfig, n_train: int = 1000, **rules: Any) -> str:
    """Four networks trained side by side."""
    runs = [run_of(network, n_train, seed, **rules) for seed in range(4)]
    found = {one.config.hash: one.final for one in train_fleet(runs, data_of(runs[0]), len(runs))}
    return bits(part for run in runs for part in found[run.hash].values())


def single(network: NetworkConfig, n_train: int = 1000, **rules: Any) -> str:
    """One network trained alone."""
    run = run_of(network, n_train, **rules)
    return bits(train(run, data_of(run))[1].values())


def large(precision: str) -> str:
    """A network trained on two hundred made-up 32×32 images, and its logits."""
    draws = generator("images")
    images = torch.randn(500, 3, 32, 32, generator=draws).to(memory_format=torch.channels_last)
    data = Dataset(
        10, images[:200], torch.randint(10, (200,), generator=draws), images[200:], torch.arange(300) % 10
    )
    run = run_of(NiNConfig(width=64, depth=2), 200, precision=precision, batch_size=64)
    return bits(train(run, data)[1].values())


def evaluated() -> str:
    """Logits of an untrained network on 500 made-up 32×32 images."""
    images = torch.randn(500, 3, 32, 32, generator=generator("images")).to(memory_format=torch.channels_last)
    return bits([logits(build(run_of(NiNConfig(width=64, depth=2)), (3, 32, 32), 10), images)])


def measured() -> dict[str, str]:
    """Every measure of one network: trained in float64 and rounded to 1/256, it is everywhere the same."""
    precise = run_of(NiNConfig(width=40, depth=2), learning_rate=0.1, max_epochs=6, precision="float64")
    images = load_images("digits", project_root() / "data")
    states = train(precise, prepare(images, precise.data, torch.device("cpu"), torch.float64))
    initial, final = (
        {
            name: (part * 256).round().div(256).float() if part.is_floating_point() else part
            for name, part in s.items()
        }
        for s in states[:2]
    )
    run = run_of(NiNConfig(width=40, depth=2))
    curve: list[tuple[float | None, float | None]] = [
        (round(running or 0, 3), None) for running, _ in states[2].curve
    ]
    result = replace(states[2], curve=curve, sum_of_training_losses=round(states[2].sum_of_training_losses or 0, 3))
    of_network = TrainedRun(run, data_of(run), initial, final, result)
    found = {}
    for name, group in REGISTRY.items():
        try:
            values = [v.value if isinstance(v, Estimated) else v for v in group.function(of_network).values()]
            found[name] = hashlib.sha256(np.array(values, dtype=float).tobytes()).hexdigest()[:16]
        except UndefinedMeasureError:
            found[name] = "undefined"
    return found | {"weights": bits(final.values())}


# What a test compares with what is written here for its processor.
GOLDEN: dict[str, Callable[[], str]] = {
    "fleet of NiN": lambda: fleet(NiNConfig(width=24, depth=2)),
    "NiN alone": lambda: single(NiNConfig(width=24, depth=2)),
}
CHECKED: dict[str, Callable[[], str | dict[str, str]]] = {
    **GOLDEN,
    "fleet of NiN, dropout": lambda: fleet(NiNConfig(width=40, depth=1, dropout=0.1), batch_size=128),
    "fleet of NiN, odd sizes": lambda: fleet(NiNConfig(width=7, depth=2), 200, batch_size=11),
    "fleet of MLP, Adam": lambda: fleet(MLPConfig(width=45), 600, max_epochs=20, **ADAM),
    "fleet of MLP, odd sizes": lambda: fleet(MLPConfig(width=5), 200, batch_size=10),
    "NiN of width 1 alone": lambda: single(NiNConfig(width=1, depth=2)),
    "MLP alone, Adam": lambda: single(MLPConfig(width=45), 600, max_epochs=20, **ADAM),
    "32×32 alone, float32": lambda: large("float32"),
    "32×32 alone, bfloat16": lambda: large("bfloat16"),
    "32×32 logits": evaluated,
    "measure": measured,
}


def under_setting() -> dict[str, Any]:
    """What one process finds: checksums, processor seconds, how many fleets disagree, what was in force."""
    checksums: dict[str, str] = {}
    seconds = {}
    with one_thread():
        for name, compute in CHECKED.items():
            start = time.process_time()
            found = compute()
            seconds[name] = time.process_time() - start
            checksums |= {name: found} if isinstance(found, str) else {f"{name} {k}": v for k, v in found.items()}
        runs = [run_of(network, n_train, batch_size=batch) for network, batch, n_train in SHAPES]
        disagree = sum(not fleets_agree(run, data_of(run)) for run in runs)
        environment = in_force() | {"python": platform.python_version(), "torch": torch.__version__}
    return {"environment": environment, "bits": checksums, "seconds": seconds, "fleets that disagree": disagree}


def child(setting: str) -> dict[str, Any]:
    """What a process under a setting finds."""
    names = {name for settings in SETTINGS.values() for name in settings}
    plain = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, __file__, "child"], env=plain | SETTINGS[setting], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the tables and write what was found."""
    with kept("bits") as tell:
        compare(tell)


def compare(tell: Callable[[Row], None]) -> None:
    """Every setting, several times, each told as it is found."""
    found = {}
    for setting in SETTINGS:
        found[setting] = child(setting)
        tell({"setting": setting, **found[setting]})
    for _ in range(ROUNDS - 1):
        for setting in SETTINGS:
            again = child(setting)
            if again["bits"] != found[setting]["bits"]:
                raise RuntimeError(f"{setting}: not the same bits twice")
            least = {name: min(value, again["seconds"][name]) for name, value in found[setting]["seconds"].items()}
            found[setting]["seconds"] = least
    letters: dict[str, list[str]] = {}
    for name in found[OURS]["bits"]:
        seen: dict[str, str] = {}
        letters[name] = [seen.setdefault(one["bits"][name], chr(65 + len(seen))) for one in found.values()]
    print(pd.DataFrame(letters, index=list(found)).T.to_string())
    print(pd.Series({setting: one["fleets that disagree"] for setting, one in found.items()}).to_string())
    costs = pd.DataFrame({setting: one["seconds"] for setting, one in found.items()})
    print(costs.to_string(float_format=lambda value: f"{value:.2f}"))
    with updated(RESULTS / "bits.json") as known:
        known[found[OURS]["environment"]["processor"]] = found


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        print(json.dumps(under_setting()))
    else:
        main()
