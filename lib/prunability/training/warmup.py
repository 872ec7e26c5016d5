"""A learning rate that rises in a straight line to its value over the first epochs (Gilmer et al. 2022)."""

import torch
from torch import Tensor

from prunability.training.config import RunConfig


def pace(config: RunConfig, epoch: int, steps: int) -> Tensor:
    """By what the learning rate is multiplied in each step of an epoch, [steps], in the precision of its weights.

    Step t of the training, from 1, has t/T up to 1, T being the steps of ``warmup_epochs``; without these it is 1.
    """
    kind = torch.float64 if config.training.precision == "float64" else torch.float32
    if epoch >= config.training.warmup_epochs:
        return torch.ones(steps, dtype=kind)
    taken = torch.arange(1, steps + 1, dtype=kind) + epoch * steps
    return taken / (config.training.warmup_epochs * steps)
