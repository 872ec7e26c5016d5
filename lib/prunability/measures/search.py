"""Prunability: the smallest fraction of weights that keeps the training loss within a tolerance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from prunability.measures.scan import Scan, first_admissible
from prunability.measures.variants import Variants, Weights

RESOLUTION = 200
RANDOM_DRAWS = 5

Kind = Literal["absolute", "relative"]
Pruner = Literal["magnitude", "random", "layerwise"]
PRUNERS: tuple[Pruner, ...] = ("magnitude", "layerwise", "random")


@dataclass(frozen=True)
class Tolerance:
    """How much loss is admissible: L + ε in nats (absolute) or (1 + β)·L (relative)."""

    kind: Kind
    amount: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"a tolerance is {' or '.join(get_args(Kind))}, not {self.kind!r}")
        if not self.amount > 0:
            raise ValueError(f"a tolerance must be positive, got {self.amount}")

    def limit(self, loss: float) -> float:
        """t(L), the admissible mean loss in nats."""
        return loss + self.amount if self.kind == "absolute" else loss * (1 + self.amount)

    @property
    def name(self) -> str:
        """Such as ``absolute_0.1``."""
        return f"{self.kind}_{self.amount:g}"

    @property
    def label(self) -> str:
        """Such as ``ε = 0.1``."""
        return f"{'ε' if self.kind == 'absolute' else 'β'} = {self.amount:g}"

    @property
    def formula(self) -> str:
        """Such as ``L + 0.1``."""
        return f"L + {self.amount:g}" if self.kind == "absolute" else f"{1 + self.amount:g}·L"


HEADLINE = Tolerance("absolute", 0.1)
# The protocol's, at which every pruner is measured, and finer sweeps for the magnitude pruner.
TOLERANCES = (HEADLINE, *(Tolerance("relative", beta) for beta in (0.1, 0.5, 1.0)))
SWEEP = (
    *(Tolerance("absolute", epsilon) for epsilon in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)),
    *(Tolerance("relative", beta) for beta in (0.1, 0.2, 0.5, 1.0, 2.0)),
)


def prunable(network: nn.Module) -> Weights:
    """Every convolution and linear weight tensor, attention's projections among them; no biases, nothing else."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            found[f"{name}.weight".removeprefix(".")] = module.weight.detach()
        elif isinstance(module, nn.MultiheadAttention):
            for own in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
                if (weight := getattr(module, own)) is not None:
                    found[f"{name}.{own}".removeprefix(".")] = weight.detach()
    return found


def keep_steps(
    weights: Weights, pruner: Pruner, resolution: int = RESOLUTION, generator: torch.Generator | None = None
) -> Weights:
    """For each weight the first grid step g at which it is kept, for fractions α = g / resolution.

    Exactly ceil(α·d) of d weights are kept: over the whole network the largest magnitudes (*magnitude*) or
    those first in one uniform random order (*random*), or in each tensor its largest (*layerwise*). Ties
    keep the lower flat index. Masks are nested in α.

    Returns:
        Tensors of the weights' shapes and type, with whole values 1 to ``resolution``.
    """
    if pruner == "layerwise":
        return {
            name: _like(weight, _steps(_magnitude_ranks(weight.flatten()), resolution))
            for name, weight in weights.items()
        }
    flat = torch.cat([weight.flatten() for weight in weights.values()])
    if pruner == "magnitude":
        ranks = _magnitude_ranks(flat)
    else:
        ranks = torch.randperm(len(flat), generator=generator).to(flat.device)
    parts = _steps(ranks, resolution).split([weight.numel() for weight in weights.values()])
    return {name: _like(weights[name], part) for name, part in zip(weights, parts, strict=True)}


def _magnitude_ranks(flat: Tensor) -> Tensor:
    """Position of each weight in the order of falling magnitude."""
    order = flat.abs().argsort(descending=True, stable=True)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(flat), device=flat.device))


def _steps(ranks: Tensor, resolution: int) -> Tensor:
    """The first g with ceil(g·d / resolution) > rank, in exact integer arithmetic."""
    return ranks * resolution // len(ranks) + 1


def _like(weight: Tensor, steps: Tensor) -> Tensor:
    return torch.empty_like(weight).copy_(steps.view_as(weight))


def pruned(weights: Weights, steps: Weights, step: int) -> Weights:
    """φ(w, step / resolution): kept weights as they are, the others zero."""
    # Comparing into a float and multiplying is 20 times faster on a CPU than torch.where.
    return {
        name: torch.le(steps[name], step, out=torch.empty_like(weight)).mul_(weight)
        for name, weight in weights.items()
    }


def prunabilities(
    variants: Variants,
    loss: float,
    pruner: Pruner,
    tolerances: Sequence[Tolerance],
    generators: Sequence[torch.Generator | None] = (None,),
    resolution: int = RESOLUTION,
    at_once: int | None = None,
    ranked: Weights | None = None,
) -> tuple[dict[Tolerance, float], Scan]:
    """Prunability of a network at several tolerances, in one scan of the grid.

    It is the smallest α in {1/G, 2/G, …, 1} with L(φ(w, α)) ≤ t(L(w)). The whole network is admissible by
    definition, since t(L) > L. Source: Kuhn et al. 2021, in words; the grid is this project's choice.

    Args:
        variants: the network in evaluation mode with its training set.
        loss: L(w) in nats.
        pruner: which weights go first.
        tolerances: t, one or several.
        generators: one for each random draw; the loss of a fraction is the mean over draws.
        resolution: G.
        at_once: fractions evaluated side by side; by default what suits the device.
        ranked: the weights whose magnitudes decide, if BatchNorm is folded into those evaluated.

    Returns:
        The fraction for each tolerance, and the scan behind them.
    """
    weights = prunable(variants.network)
    draws = [keep_steps(ranked or weights, pruner, resolution, generator) for generator in generators]
    levels = [lambda step=step: [pruned(weights, steps, step) for steps in draws] for step in range(1, resolution)]
    scan = first_admissible(variants, levels, [tolerance.limit(loss) for tolerance in tolerances], at_once)
    return {
        tolerance: 1.0 if level is None else (level + 1) / resolution
        for tolerance, level in zip(tolerances, scan.first, strict=True)
    }, scan


def loss_curve(
    variants: Variants,
    pruner: Pruner,
    generators: Sequence[torch.Generator | None] = (None,),
    resolution: int = RESOLUTION,
    ranked: Weights | None = None,
) -> list[float]:
    """L(φ(w, g/G)) in nats for g = 1 … G, all of it: the slow way, for a figure or a check."""
    weights = prunable(variants.network)
    draws = [keep_steps(ranked or weights, pruner, resolution, generator) for generator in generators]
    return [
        variants.mean_losses([pruned(weights, steps, step) for steps in draws]).mean().item()
        for step in range(1, resolution + 1)
    ]
