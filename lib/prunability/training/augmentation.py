"""Random crops and flips, drawn for a run, an epoch and a place in its order."""

import torch
from torch import Tensor
from torch.nn import functional as F

from prunability.foundation.seeding import generator
from prunability.training.config import RunConfig

# Images are padded with zeros, their mean, by this share of their size before they are cropped.
PADDING = 1 / 8


def moves(config: RunConfig, epoch: int, steps: int, image: torch.Size) -> Tensor:
    """How each example of an epoch is moved: row and column of its crop, and 1 for a flip.

    Returns:
        int64 [steps, batch, 3], on the CPU; [steps, batch, 0] without augmentation.
    """
    shape = (steps, config.training.batch_size)
    if not config.training.augmentation:
        return torch.empty(*shape, 0, dtype=torch.int64)
    draws = generator(*config.seed_key("augmentation"), epoch)
    sides = [2 * _padding(side) + 1 for side in image[-2:]]
    return torch.stack([torch.randint(most, shape, generator=draws) for most in (*sides, 2)], dim=-1)


def augmented(images: Tensor, moves: Tensor) -> Tensor:
    """Images [N, channels, H, W], padded, cropped to their size and flipped as ``moves`` [N, 3] say."""
    if not moves.shape[-1]:
        return images
    height, width = images.shape[-2:]
    high, wide = _padding(height), _padding(width)
    rows = torch.arange(height, device=images.device) + moves[:, :1]
    columns = torch.arange(width, device=images.device).expand(len(images), -1)
    columns = torch.where(moves[:, 2:] == 1, columns.flip(1), columns) + moves[:, 1:2]
    padded = F.pad(images, (wide, wide, high, high))
    number = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.movedim(1, -1)[number, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _padding(side: int) -> int:
    return round(side * PADDING)
