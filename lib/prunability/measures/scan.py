"""The first level of a grid whose loss is within a tolerance: exact, and far cheaper than trying all.

Cross-entropy is never negative, so a partial sum over examples that already exceeds N·t proves that a
level's mean loss exceeds t. Two things make the proof short: the examples are visited hardest first, by
the losses that the levels before had on them, and a level costs only as many examples as its proof needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunability.training.loop import LARGEST_IMAGE, evaluation_batch
from prunability.training.networks import best_side_by_side

# A slice is as long as the losses of the level before say it must be, with this margin.
MARGIN = 1.15
SMALLEST_SLICE = 16
LARGEST_SLICE = 500
# What a forward pass costs however few its examples, in examples (measured on a CPU).
PASS_COST = 40

# On a CPU, the most values of a network with which copying the weights of several variants together pays.
LARGEST_COPY = 2**15

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Scan:
    """For each tolerance the index of the first admissible level, None where there is none.

    ``losses`` holds, for each admissible level found, the mean loss of each of its draws in nats;
    ``examples`` is how many example evaluations the scan took, over all levels and draws.
    """

    first: list[int | None]
    losses: dict[int, list[float]]
    examples: int


class Variants:
    """Losses of many variants of one network, each with some tensors replaced.

    They are evaluated as one fleet on a GPU but for large convolutions, and on a CPU where images and network are
    small; else in turn, which is faster there (``benchmarks/pruning.py`` prints the times).
    """

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.network = network.eval()
        self.images, self.labels = images, labels
        self.tensors = dict(self.network.state_dict())
        values = sum(tensor.numel() for tensor in self.tensors.values())
        self.on_gpu = images.device.type == "cuda"
        small = images[0, 0].numel() <= LARGEST_IMAGE and values <= LARGEST_COPY
        self.batched = best_side_by_side(network) if self.on_gpu else small

    @property
    def at_once(self) -> int:
        """How many levels, or draws, are worth evaluating together; those after the answer are in vain."""
        return 1 if not self.batched else 16 if self.on_gpu else 2

    def losses(self, variants: Sequence[Weights], index: Tensor | None = None) -> Tensor:
        """Cross-entropies in nats, float64 [variants, examples].

        ``index`` names the examples, all by default: [examples] for the same, [variants, examples] for
        others with every variant.
        """
        labels = self.labels if index is None else self.labels[index]
        outputs = self.outputs(variants, index).double()
        labels = labels.expand(len(variants), -1).flatten()
        flat = F.cross_entropy(outputs.flatten(0, 1), labels, reduction="none")
        return torch.reshape(flat, (len(variants), -1))

    def mean_losses(self, variants: Sequence[Weights]) -> Tensor:
        """The mean cross-entropy of each variant over all examples in nats, float64 [variants]."""
        return self.losses(variants).mean(dim=1)

    @torch.no_grad()
    def outputs(self, variants: Sequence[Weights], index: Tensor | None = None) -> Tensor:
        """Logits [variants, examples, classes]; ``index`` as for :meth:`losses`."""
        images = self.images if index is None else self.images[index]
        count = evaluation_batch(self.images)
        if self.batched:
            if self.on_gpu:  # else their activations, many at once, would not fit into its memory
                count = max(1, count // len(variants))
            stacked = {name: tensor.expand(len(variants), *tensor.shape) for name, tensor in self.tensors.items()}
            stacked |= {name: torch.stack([weights[name] for weights in variants]) for name in variants[0]}
            last = images.movedim(-4, -1) if images.dim() == 5 else images.movedim(0, -1)[None]
            parts = [functional_call(self.network, stacked, (part,)).mT for part in last.split(count, dim=-1)]
            return torch.cat(parts, dim=1)
        return torch.stack(
            [
                torch.cat([functional_call(self.network, weights, (part,)) for part in own.split(count)])
                for weights, own in zip(variants, images if images.dim() == 5 else repeat(images), strict=False)
            ]
        )


def first_admissible(
    variants: Variants,
    levels: Sequence[Callable[[], Sequence[Weights]]],
    limits: Sequence[float],
    at_once: int | None = None,
) -> Scan:
    """The first of ``levels`` whose mean loss is at most each of ``limits``; equal to trying every level.

    Args:
        variants: the network and its examples.
        levels: for each level a function that makes its variants (one, or one a random draw); a level's
            loss is the mean over its variants and all examples.
        limits: admissible mean losses in nats.
        at_once: levels evaluated side by side; by default what suits the device.
    """
    total, width = len(variants.labels), at_once or variants.at_once
    first: list[int | None] = [None] * len(limits)
    unresolved = set(range(len(limits)))
    hardness = torch.ones(total, dtype=torch.float64, device=variants.labels.device)
    full: dict[int, list[float]] = {}
    examples = 0
    for start in range(0, len(levels), width):
        if not unresolved:
            break
        candidates = {level: list(levels[level]()) for level in range(start, min(start + width, len(levels)))}
        draws = len(candidates[start])
        largest = total * draws * max(limits[number] for number in unresolved)
        # Over examples, a draw each.
        sums = {level: torch.zeros(draws, dtype=torch.float64) for level in candidates}
        waiting = hardness.argsort(descending=True, stable=True)
        while candidates and len(waiting):
            missing = largest - min(float(sums[level].sum()) for level in candidates)
            probed, size = _cheapest(hardness[waiting], missing, 1 if not variants.batched else draws, draws)
            part, waiting = waiting[:size], waiting[size:]
            for chosen in (slice(0, probed), slice(probed, draws)):
                if not candidates or chosen.start == chosen.stop:
                    continue
                weights = [weights for group in candidates.values() for weights in group[chosen]]
                losses = variants.losses(weights, part).unflatten(0, (len(candidates), -1))
                examples += losses.numel()
                hardness[part] = losses[-1].mean(dim=0)
                for level, partial in zip(list(candidates), losses.sum(dim=2).cpu(), strict=True):
                    sums[level][chosen] += partial
                    if sums[level].sum() > largest:
                        del candidates[level]
        for level in candidates:
            admitted = {number for number in unresolved if sums[level].sum() <= total * draws * limits[number]}
            if admitted:
                full[level] = (sums[level] / total).tolist()
            for number in admitted:
                first[number] = level
            unresolved -= admitted
    return Scan(first, full, examples)


def _cheapest(expected: Tensor, missing: float, least: int, draws: int) -> tuple[int, int]:
    """With how many draws, and on how many of the waiting examples, a level is most cheaply refused.

    A few draws on many examples need fewer forward passes than all draws on the hardest few.
    """
    reach = expected.cumsum(0)
    numbers = torch.arange(least, draws + 1, device=expected.device)
    sizes = torch.searchsorted(reach, missing * MARGIN / numbers.to(reach.dtype)) + 1
    sizes = sizes.clamp(SMALLEST_SLICE, LARGEST_SLICE)
    best = int((numbers * (PASS_COST + sizes)).argmin())
    return int(numbers[best]), int(sizes[best])
