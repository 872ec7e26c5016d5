"""Which weights a sparse network has: masks of its prunable weights, 1 where one is left and 0 where none is."""

import math
from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate, pairwise

import torch
from torch import Generator, Tensor

from prunability.foundation.errors import PrunabilityError
from prunability.measures.probes import probe
from prunability.measures.search import Pruner, keep_steps
from prunability.measures.subject import TrainedRun
from prunability.measures.variants import Weights


def weights_left(initial: Weights, final: Weights) -> Weights:
    """The mask of a trained network; a weight that was left and is 0 all the same is as good as gone."""
    return {name: ((initial[name] != 0) | (final[name] != 0)).to(own) for name, own in final.items()}


@probe()
def learning_distance(run: TrainedRun) -> list[float]:
    """‖w_T − w_0‖₂ of the weights left, w_0 where the run began, and how many these are (He et al. 2022)."""
    initial = {name: run.initial[name].to(own) for name, own in run.weights.items()}
    squares = [(own.double() - initial[name].double()).square().sum().item() for name, own in run.weights.items()]
    left = weights_left(initial, run.weights)
    return [math.sqrt(sum(squares)), float(sum(int(own.count_nonzero()) for own in left.values()))]


def smaller(left: Weights, trained: Weights, pruned: float) -> Weights:
    """A mask without the smallest share ``pruned`` of the trained weights that a mask has left, over all layers.

    Of n weights ceil((1 − pruned)·n) stay; of equal ones those of the lower flat index.
    """
    mask = torch.cat([own.flatten() for own in left.values()]) > 0
    flat = torch.cat([trained[name].flatten() for name in left])[mask]
    kept = torch.zeros(len(mask), dtype=flat.dtype)
    kept[mask] = _kept(flat, "magnitude", math.ceil((1 - Fraction(str(pruned))) * len(flat)))
    parts = kept.split([own.numel() for own in left.values()])
    return {name: part.view(left[name].shape) for name, part in zip(left, parts, strict=True)}


def moved(mask: Weights, draws: Generator) -> Weights:
    """As many weights in each layer, in random places."""
    return {name: _kept(own, "random", int(own.sum()), draws) for name, own in mask.items()}


def static(weights: Weights, density: float, draws: Generator) -> Weights:
    """A random mask with the numbers of weights of :func:`static_counts`."""
    counts = static_counts({name: weight.numel() for name, weight in weights.items()}, density)
    return {name: _kept(weight, "random", counts[name], draws) for name, weight in weights.items()}


def static_counts(sizes: Mapping[str, int], density: float) -> dict[str, int]:
    """Weights that each layer keeps, round(density · d) in all: the first and the last layer whole, the others
    their part of the rest in proportion to their sizes.

    Raises:
        PrunabilityError: the two whole layers alone have more.
    """
    total, inner = sum(sizes.values()), list(sizes)[1:-1]
    whole = total - sum(sizes[name] for name in inner)
    rest, within = round(density * total) - whole, max(1, total - whole)
    if rest < 0:
        raise PrunabilityError(
            f"density {density:g} is too small: the first and the last layer stay whole, and have {whole} of the "
            f"{total} weights; it must be at least {whole / total:.3g}"
        )
    # Differences of rounded running sums: none is off by more than one, and the whole by nothing.
    ends = [round(Fraction(rest * end, within)) for end in accumulate((sizes[name] for name in inner), initial=0)]
    return dict(sizes) | {name: high - low for name, (low, high) in zip(inner, pairwise(ends), strict=True)}


def _kept(weight: Tensor, pruner: Pruner, count: int, draws: Generator | None = None) -> Tensor:
    """1 for the first ``count`` weights in a pruner's order, else 0; counted in float64, which is exact."""
    steps = keep_steps({"": weight.double()}, pruner, weight.numel(), draws)[""]
    return (steps <= count).to(weight.dtype)
