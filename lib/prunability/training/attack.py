"""Images moved a little to raise a network's loss: projected gradient ascent, in training and afterwards."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunability.data.dataset import Dataset
from prunability.foundation.seeding import generator
from prunability.training.config import RunConfig
from prunability.training.dropout import dropout_keys, hashed, places

# Of an attack on the batch of a training step.
STEPS = 3


def attacked(
    network: nn.Module, images: Tensor, labels: Tensor, radius: float, ends: Tensor, start: Tensor, steps: int
) -> Tensor:
    """Images that raise the cross-entropy, none farther in any pixel than ``radius`` of the range between ``ends``.

    Projected gradient ascent (Madry et al. 2018) from ``start`` in that box, −1 to 1 a pixel, in steps of
    2.5 · radius / steps. Images and ``start`` are of one network or of a fleet, each of which sees its own.
    """
    black, bright = ends
    reach = radius * (bright - black)
    moved: Tensor = (images + reach * start).clamp(black, bright)
    for _ in range(steps):
        moved.requires_grad_()
        loss = F.cross_entropy(network(moved), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + 2.5 / steps * reach * slope.sign()
        moved = moved.clamp(images - reach, images + reach).clamp(black, bright)
    return moved


def step_keys(config: RunConfig, epoch: int, steps: int, layers: int) -> Tensor:
    """The keys of an epoch's noise, int32 [steps, layers, 2]: of dropout and, last, of where attacks start."""
    keys = dropout_keys(config, epoch, steps, layers)
    if not config.training.adversarial:
        return keys
    draws = generator(*config.seed_key("attack in training"), epoch)
    own = torch.randint(-(2**31), 2**31, (steps, 1, 2), generator=draws).int()
    return torch.cat([keys, own], dim=1)


class TrainingAttack:
    """Attacks on the batches of a network or a fleet that is trained under attack; of another it does nothing.

    The attack sees the network in evaluation mode, without dropout, so that it moves no running statistic.
    """

    def __init__(self, config: RunConfig, data: Dataset, *, fleet: bool) -> None:
        self.radius = config.training.adversarial
        if self.radius:
            image, device = data.train_images.shape[1:], data.train_images.device
            assert data.ends is not None, "the range of a pixel is known"
            self.ends = data.ends[..., None] if fleet else data.ends
            channels, height, width = image
            self.numbers = places((channels, height, width), config.training.batch_size, fleet, device)

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        """What is trained on instead; ``keys`` [M, layers, 2] are of :func:`step_keys`, M 1 for one network."""
        if not self.radius:
            return images
        each = (-1, *[1] * self.numbers.dim())
        first, second = (key.view(each) for key in keys[:, -1].unbind(-1))
        start = hashed(first, second, self.numbers[None]).to(images) / 2**31
        network.eval()
        moved = attacked(network, images, labels, self.radius, self.ends, start.view(images.shape), STEPS)
        network.train()
        return moved
