"""What tests of several modules use."""

import importlib.util
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunability.foundation.execution import project_root
from prunability.measures import REGISTRY, Estimated, TrainedRun
from prunability.measures.search import Pruner
from prunability.training.config import NETWORKS, NetworkConfig, RunConfig
from prunability.training.layers import Convolution, Linear, ReLU

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
NAMES = ["width", "depth", "learning_rate"]
PROVENANCE: dict[str, Any] = {
    "data": {"title": "digits"},
    "study": {"profile": "quick"},
    "runs_used": 40,
    "runs_left_out": {"diverged: a loss": 2},
}


def small_network(kind: str, width: int, depth: int) -> NetworkConfig:
    """A network of a kind, with the depth where it has one."""
    config, settings = NETWORKS[kind], {"width": width, "depth": depth}
    return config.model_validate({name: n for name, n in settings.items() if name in config.model_fields})


def altered(config: RunConfig, **rules: object) -> RunConfig:
    content = config.model_dump()
    content["training"].update(rules)
    return RunConfig.model_validate(content)


def value(run: TrainedRun, name: str) -> float:
    """A measure's value; an undefined one raises."""
    function = next(f for f, group in REGISTRY.items() if name in {member.name for member in group.measures})
    found = REGISTRY[function].function(run)[name]
    return found.value if isinstance(found, Estimated) else found


def small_convolution(seed: int, scale: float = 1.0, hidden: int = 6) -> nn.Sequential:
    """A convolution and a linear layer for grey images of 4×4 pixels and three classes, in float64."""
    torch.manual_seed(seed)
    net = nn.Sequential(Convolution(1, hidden, 3), ReLU(), nn.Flatten(1, 3), Linear(hidden * 4, 3)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net.eval()


def slow_losses(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    pruner: Pruner,
    grid: int,
    orders: Sequence[list[int]],
) -> list[float]:
    """Every fraction's loss, by sorting Python numbers: no masks, no early exit, no sharing."""
    names = [f"{name}.weight" for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    state = {name: tensor.clone().contiguous() for name, tensor in net.state_dict().items()}
    losses = []
    for step in range(1, grid + 1):
        total = 0.0
        for order in orders:
            groups = [[name] for name in names] if pruner == "layerwise" else [names]
            changed = {name: state[name].clone() for name in names}
            for group in groups:
                flat = [(name, i) for name in group for i in range(state[name].numel())]
                if pruner == "random":
                    flat = [flat[i] for i in np.argsort(order)]
                else:
                    flat.sort(key=lambda item: -abs(state[item[0]].flatten()[item[1]].item()))
                for name, i in flat[math.ceil(step * len(flat) / grid) :]:
                    changed[name].view(-1)[i] = 0
            net.load_state_dict({**state, **changed})
            with torch.no_grad():
                total += F.cross_entropy(net(x), y).item()
        losses.append(total / len(orders))
    net.load_state_dict(state)
    return losses


def benchmark(name: str) -> ModuleType:
    """A benchmark as a module."""
    path = project_root() / "benchmarks" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"{name}_benchmark", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def slow_answer(losses: list[float], limit: float) -> float:
    return next((k + 1 for k, loss in enumerate(losses[:-1]) if loss <= limit), len(losses)) / len(losses)
