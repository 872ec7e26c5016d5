"""The networks, each defined once, as a plain module for one network."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunability.config import NiNConfig


class NiN(nn.Module):
    """Network in network: depth × [3×3 stride 2, 1×1, 1×1 convolutions], 1×1 classifier, average pooling.

    Each convolution of a block is followed by BatchNorm and ReLU, each block by dropout. Source: the
    family of Jiang et al. 2020 and Dziugaite et al. 2020, after Lin et al. 2014.
    """

    def __init__(self, config: NiNConfig, channels: int, classes: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.blocks = nn.ModuleList(
            _block(channels if index == 0 else config.width, config.width) for index in range(config.depth)
        )
        self.classifier = Pointwise(config.width, classes)

    def forward(self, x: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Logits [B, classes] of images [B, channels, H, W]; ``masks`` multiply the blocks' outputs."""
        for index, block in enumerate(self.blocks):
            x = block(x)
            if masks:
                x = x * masks[index]
        logits: Tensor = self.classifier(x)
        return logits.mean(dim=(2, 3))

    def dropout_masks(self, images: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """One epoch's or batch's dropout masks for images of shape [..., channels, H, W].

        Returns one tensor [..., width, h, w] a block, of 0 and 1/(1 − p); none without dropout. The
        noise is an input of the network so that it follows from the run and not from a global state.
        """
        if not self.dropout:
            return []
        *batch, _, height, width = images
        masks = []
        for _ in self.blocks:
            height, width = (height + 1) // 2, (width + 1) // 2
            shape = (*batch, self.classifier.in_channels, height, width)
            kept = torch.rand(shape, generator=generator) >= self.dropout
            masks.append(kept / (1 - self.dropout))
        return masks


@torch.no_grad()
def folded(network: NiN) -> NiN:
    """A copy in evaluation mode whose outputs are the same and whose BatchNorms only add a bias.

    Each convolution's weight takes the scale of the BatchNorm after it, γ / sqrt(var + eps).
    """
    copy = deepcopy(network).eval()
    for block in copy.blocks:
        for conv, norm in pairwise(block.children()):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                mean, variance = norm.running_mean, norm.running_var
                assert mean is not None
                assert variance is not None
                scale = norm.weight / torch.sqrt(variance + norm.eps)
                conv.weight.mul_(scale[:, None, None, None])
                norm.bias.sub_(mean * scale)
                norm.weight.fill_(1)
                mean.zero_()
                variance.fill_(1 - norm.eps)
    return copy


class Pointwise(nn.Conv2d):
    """A 1×1 convolution, computed as the matrix product it is.

    In float32 on channels-last maps this halves the time of a training step on digits and costs
    nothing on 32×32 images; in bfloat16 the convolution is the faster one.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        if torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


def _block(channels: int, width: int) -> nn.Sequential:
    convolutions = (
        nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
        Pointwise(width, width, bias=False),
        Pointwise(width, width, bias=False),
    )
    return nn.Sequential(*(layer for conv in convolutions for layer in (conv, nn.BatchNorm2d(width), nn.ReLU())))
