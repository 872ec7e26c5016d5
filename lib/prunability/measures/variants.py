"""Copies of one network with other weights, evaluated on its examples, if need be only roughly."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunability.training.loop import LARGEST_IMAGE, evaluation_batch
from prunability.training.networks import Network, best_side_by_side

# On a CPU, the most values of a network with which copying the weights of several variants together pays.
LARGEST_COPY = 2**15
# On a GPU at least and at most so many levels of a grid are evaluated together: those after the answer are in vain,
# and more than the least only where all examples of all are no more than IN_VAIN. Of other variants, at most MOST.
LEVELS, MOST, IN_VAIN = 16, 64, 2**16
# What a forward pass costs however few its examples, in examples, on a CPU.
PASS_COST = 40
# On a GPU it is measured, on so few examples among others, as the best of some tries; the most that is believed.
FEW, TRIES, LARGEST_COST = 16, 5, 2**14
# Examples, of each sample variant, on which bfloat16 is compared with the network's own precision.
COMPARED = 64
# The error of a sum of losses in bfloat16 is taken to be at most so many times what its errors on those examples
# come to if all have one sign, and no less than a few units of its last place.
SAFETY, LEAST_SHARE = 2.0, 2**-6
# With a larger share it would hardly ever decide anything.
LARGEST_SHARE = 0.5

Weights = dict[str, Tensor]


def fast_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32; nothing else may depend on it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(bool(able.get(name)) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


class Variants:
    """Losses of many variants of one network, each with some tensors replaced.

    They are evaluated as one fleet on a GPU but for large convolutions, and on a CPU where images and network are
    small; else in turn, which is faster there (``benchmarks/pruning.py`` prints the times). ``screened`` says
    whether a first look in bfloat16 is worth it, by default whether device and network make it the faster one.
    """

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor, *, screened: bool | None = None) -> None:
        self.network = network.eval()
        self.images, self.labels = images, labels
        self.tensors = dict(self.network.state_dict())
        values = sum(tensor.numel() for tensor in self.tensors.values())
        self.on_gpu = images.device.type == "cuda"
        small = isinstance(network, Network) and images[0, 0].numel() <= LARGEST_IMAGE and values <= LARGEST_COPY
        self.batched = best_side_by_side(network) if self.on_gpu else small
        pays = images.dtype == torch.float32 and fast_bfloat16(images.device) and (self.on_gpu or not self.batched)
        self.screened = pays if screened is None else screened

    @cached_property
    def rough(self) -> Variants | None:
        """The same in bfloat16, for a first look; None where that is not faster."""
        if not self.screened:
            return None
        network, images = deepcopy(self.network).bfloat16(), self.images.bfloat16()
        return Variants(network, images, self.labels, screened=False)

    @property
    def at_once(self) -> int:
        """How many levels are worth evaluating together."""
        if not (self.batched and self.on_gpu):
            return 2 if self.batched else 1
        return max(LEVELS, min(MOST, IN_VAIN // len(self.labels)))

    def side_by_side(self, examples: int, *, gradients: bool = False) -> int:
        """How many variants, none of them in vain, are worth evaluating together on so many examples each."""
        if not (self.batched and self.on_gpu):
            return 1 if gradients else self.at_once
        return max(1, min(MOST, evaluation_batch(self.images, gradients=gradients) // examples))

    def pass_cost(self, count: int) -> int:
        """What a forward pass of so many variants costs however few its examples, in examples of each."""
        if not self.on_gpu:
            return PASS_COST
        kind = (str(self.network), self.images.shape[1:], self.images.dtype)
        if kind not in _costs:
            _costs[kind] = cost_of_a_pass(self._seconds, min(len(self.labels), evaluation_batch(self.images)))
        return max(1, _costs[kind] // (count if self.batched else 1))

    def _seconds(self, examples: int) -> float:
        """What a pass on the first examples takes, the best of some tries."""
        index, taken = torch.arange(examples, device=self.labels.device), []
        for _ in range(TRIES):
            start = time.perf_counter()
            self.losses([{}], index).sum().item()  # which waits for the device
            taken.append(time.perf_counter() - start)
        return min(taken)

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
        variants = [{name: t.to(self.images.dtype) for name, t in weights.items()} for weights in variants]
        with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.images.dtype == torch.bfloat16):
            return self._outputs(variants, self.images if index is None else self.images[index])

    def _outputs(self, variants: Sequence[Weights], images: Tensor) -> Tensor:
        count, each_its_own = evaluation_batch(self.images), images.dim() > self.images.dim()
        if self.batched:
            if self.on_gpu:  # else their activations, many at once, would not fit into its memory
                count = max(1, count // len(variants))
            stacked = {name: tensor.expand(len(variants), *tensor.shape) for name, tensor in self.tensors.items()}
            stacked |= {name: torch.stack([weights[name] for weights in variants]) for name in variants[0]}
            last = images.movedim(-4, -1) if each_its_own else images.movedim(0, -1)[None]
            parts = [functional_call(self.network, stacked, (part,)).mT for part in last.split(count, dim=-1)]
            return torch.cat(parts, dim=1)
        return torch.stack(
            [
                torch.cat([functional_call(self.network, weights, (part,)) for part in own.split(count)])
                for weights, own in zip(variants, images if each_its_own else repeat(images), strict=False)
            ]
        )


# By architecture, images and precision.
_costs: dict[Hashable, int] = {}


def cost_of_a_pass(seconds: Callable[[int], float], most: int) -> int:
    """What a pass costs however few its examples, in examples, from the seconds of a pass on some; at least 1."""
    if most <= FEW:
        return PASS_COST
    few, many = seconds(FEW), seconds(most)
    if many <= few:
        return LARGEST_COST
    of_one = (many - few) / (most - FEW)
    return max(1, min(LARGEST_COST, round(few / of_one - FEW)))


@dataclass(frozen=True)
class Screen:
    """A first look in bfloat16: ``share`` of a sum of its losses covers their error."""

    variants: Variants
    share: float

    def bounds(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """What such losses say of the true ones, any shape: the least and the most."""
        low, high = losses * (1 - self.share), losses * (1 + self.share)
        return low.nan_to_num(0.0, 0.0), high.nan_to_num(torch.inf, torch.inf)


def screen_of(variants: Variants, samples: Iterable[Weights]) -> Screen | None:
    """A first look at a network's variants, of which these are samples; None where it does not pay.

    The network itself and each sample are evaluated both ways on a few examples. The sum of the errors'
    magnitudes is what the error of a sum would be if all had one sign; of its shares of the sum, the largest
    counts, twice.
    """
    if (rough := variants.rough) is None:
        return None
    index = torch.arange(min(COMPARED, len(variants.labels)), device=variants.labels.device)
    share = LEAST_SHARE
    for weights in ({}, *samples):
        exact, near = (side.losses([weights], index)[0] for side in (variants, rough))
        finite = exact.isfinite()
        if not torch.equal(finite, near.isfinite()):
            return None
        exact, near = exact[finite], near[finite]
        if len(exact) and bool((exact != near).any()):
            share = max(share, SAFETY * float((exact - near).abs().sum() / near.sum()))
    return Screen(rough, share) if share <= LARGEST_SHARE else None
