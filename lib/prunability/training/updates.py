"""A step of an optimiser for many networks at once, each with settings of its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prunability.training.loop import ADAM_BETA2, ADAM_EPS, State


def update(
    weights: Tensor, gradient: Tensor, moments: Sequence[Tensor], taken: Tensor,
    rate: Tensor, decay: Tensor, factor: Tensor,
) -> None:  # fmt: skip
    """What ``torch.optim.SGD``, with one moment, and ``Adam``, with two, do; a network a row, in place.

    One rounding an operation, so that a network's bits do not depend on its place in the fleet.

    Args:
        weights: [M, ω].
        gradient: [M, ω]; it is changed too.
        moments: [M, ω] each.
        taken: float64 [M, 1], the steps that Adam took.
        rate: learning rates [M, 1].
        decay: weight decays [M, 1].
        factor: [M, 1], SGD's momentum or Adam's β₁.
    """
    gradient.add_(weights * decay)
    first = moments[0].mul_(factor)
    if len(moments) == 1:
        weights.sub_(first.add_(gradient) * rate)
        return
    taken.add_(1)
    first.add_(gradient * (1 - factor))
    second = moments[1].mul_(ADAM_BETA2).add_(gradient.mul_(gradient).mul_(1 - ADAM_BETA2))
    scale = (1 - ADAM_BETA2**taken).sqrt_().to(weights.dtype)
    step = first / second.sqrt().div_(scale).add_(ADAM_EPS)
    weights.sub_(step.mul_((rate / (1 - factor.double() ** taken)).to(weights.dtype)))


def stacked(masks: Sequence[State], parts: Mapping[str, torch.Size]) -> Tensor:
    """Masks of networks as rows [M, ω] over their ``parts``, 1 where a mask does not name one."""
    return torch.stack(
        [
            torch.cat([mask.get(name, torch.ones(shape)).flatten() for name, shape in parts.items()])
            for mask in masks
        ]
    )
