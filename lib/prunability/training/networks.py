"""The networks, each defined once, for one network and for a fleet, with how its BatchNorms fold.

Images are [B, channels, H, W] and logits [B, classes]; in a fleet, images are [M or 1, channels, H, W, B]
and logits [M, classes, B] (see :mod:`prunability.training.layers`).
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from prunability.training.config import CNNConfig, MLPConfig, NetworkConfig, NiNConfig, ResNetConfig
from prunability.training.layers import BatchNorm, Convolution, Linear, Pointwise, ReLU, SignShift, halved


class NiN(nn.Module):
    """Network in network: depth × [3×3 stride 2, 1×1, 1×1 convolutions], 1×1 classifier, average pooling.

    Each convolution of a block is followed by BatchNorm and ReLU, each block by dropout. Source: the
    family of Jiang et al. 2020 and Dziugaite et al. 2020, after Lin et al. 2014.
    """

    def __init__(self, config: NiNConfig, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _nin_block(shape[0] if index == 0 else config.width, config.width) for index in range(config.depth)
        )
        self.classifier = Pointwise(config.width, classes)

    def forward(self, x: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Logits of images; ``masks``, of the shapes of the blocks' outputs, multiply those."""
        for index, block in enumerate(self.blocks):
            x = block(x)
            if masks:
                # In bfloat16 the next layer would round to it anyway; so fewer bytes are moved.
                x = (x * masks[index]).to(x.dtype)
        logits: Tensor = self.classifier(x)
        return logits.mean(dim=(2, 3))

    def dropout_shapes(self, image: Sequence[int]) -> list[tuple[int, int, int]]:
        """[width, h, w] of what is dropped out after each block, for images [channels, H, W]."""
        _, height, width = image
        shapes = []
        for _ in self.blocks:
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((self.classifier.in_channels, height, width))
        return shapes

    def fold(self) -> None:
        """Fold each BatchNorm into the convolution before it."""
        for block in self.blocks:
            assert isinstance(block, nn.Sequential)
            for place in range(0, len(block), 3):
                conv, norm = block[place], block[place + 1]
                assert isinstance(conv, nn.Conv2d)
                assert isinstance(norm, nn.BatchNorm2d)
                _fold_into(conv, norm)
                block[place + 1] = nn.Identity()


def _nin_block(channels: int, width: int) -> nn.Sequential:
    convolutions = (
        Convolution(channels, width, 3, stride=2, padding=1, bias=False),
        Pointwise(width, width, bias=False),
        Pointwise(width, width, bias=False),
    )
    return nn.Sequential(*(layer for conv in convolutions for layer in (conv, BatchNorm(width), ReLU())))


class MLP(nn.Module):
    """One hidden ReLU layer on the flattened image, and perhaps linear ones after it (Huh et al. 2021)."""

    def __init__(self, config: MLPConfig, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.hidden = Linear(shape[0] * shape[1] * shape[2], config.width)
        self.relu = ReLU()
        self.linear = nn.Sequential(*(Linear(config.width, config.width) for _ in range(config.linear_layers)))
        self.classifier = Linear(config.width, classes)

    def forward(self, x: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Logits of images; there are no dropout masks."""
        assert not masks
        logits: Tensor = self.classifier(self.linear(self.relu(self.hidden(x.flatten(1, 3)))))
        return logits

    def dropout_shapes(self, image: Sequence[int]) -> list[tuple[int, int, int]]:
        """None: this network has no dropout."""
        del image
        return []

    def fold(self) -> None:
        """Nothing to fold: there is no BatchNorm."""


class ResNet18(nn.Module):
    """Pre-activation ResNet of 18 layers: four stages of two blocks with k, 2k, 4k and 8k channels.

    Source: Nakkiran et al. 2020, after He et al. 2016. A block is [BatchNorm, ReLU, 3×3, BatchNorm, ReLU,
    3×3] beside a shortcut; the last stage is pooled as it is.
    """

    def __init__(self, config: ResNetConfig, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        widths = [config.width * factor for factor in (1, 2, 4, 8)]
        self.stem = Convolution(shape[0], widths[0], 3, padding=1, bias=False)
        self.blocks = nn.ModuleList()
        before = widths[0]
        for stage, width in enumerate(widths):
            for stride in (1 if stage == 0 else 2, 1):
                self.blocks.append(PreActivationBlock(before, width, stride))
                before = width
        self.classifier = Linear(before, classes)

    def forward(self, x: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Logits of images; there are no dropout masks."""
        assert not masks
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits

    def dropout_shapes(self, image: Sequence[int]) -> list[tuple[int, int, int]]:
        """None: this network has no dropout."""
        del image
        return []

    def fold(self) -> None:
        """Fold the second BatchNorm of a block back, the scale of the first forward through its ReLU.

        What the first BatchNorm reads is a sum with a shortcut, so no convolution before it can take its
        scale. But relu(a·x + b) = |a|·relu(sign(a)·x + b/|a|), and the convolutions after it take |a|.
        """
        for block in self.blocks:
            assert isinstance(block, PreActivationBlock)
            assert isinstance(block.norm2, nn.BatchNorm2d)
            _fold_into(block.conv1, block.norm2)
            block.norm2 = nn.Identity()
            readers = [block.conv1, *([block.shortcut] if block.shortcut is not None else [])]
            assert isinstance(block.norm1, nn.BatchNorm2d)
            block.norm1 = _fold_forward(block.norm1, readers)


class PreActivationBlock(nn.Module):
    """Two 3×3 convolutions, each after BatchNorm and ReLU; where the shape changes, a 1×1 shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1: nn.Module = BatchNorm(inputs)
        self.conv1 = Convolution(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm2: nn.Module = BatchNorm(outputs)
        self.conv2 = Convolution(outputs, outputs, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = Convolution(inputs, outputs, 1, stride=stride, bias=False) if changes else None
        self.relu = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        active = self.relu(self.norm1(x))
        beside = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = self.conv2(self.relu(self.norm2(self.conv1(active))))
        return out + beside


class CNN(nn.Module):
    """Four 3×3 convolutions of k, 2k, 4k and 8k channels, and a linear layer.

    Each convolution is followed by BatchNorm and ReLU, the second and the third by max pooling over 2×2 pixels, the
    last by max pooling over all. Source: Nakkiran et al. 2020, their 5-layer CNN.
    """

    def __init__(self, config: CNNConfig, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        widths = [config.width * factor for factor in (1, 2, 4, 8)]
        self.convolutions = nn.ModuleList(
            Convolution(inputs, outputs, 3, padding=1, bias=False)
            for inputs, outputs in pairwise([shape[0], *widths])
        )
        self.norms = nn.ModuleList(BatchNorm(width) for width in widths)
        self.relu = ReLU()
        self.classifier = Linear(widths[-1], classes)

    def forward(self, x: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Logits of images; there are no dropout masks."""
        assert not masks
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = self.relu(norm(convolution(x)))
            if place in (1, 2):
                x = halved(x)
        logits: Tensor = self.classifier(x.amax(dim=(2, 3)))
        return logits

    def dropout_shapes(self, image: Sequence[int]) -> list[tuple[int, int, int]]:
        """None: this network has no dropout."""
        del image
        return []

    def fold(self) -> None:
        """Fold each BatchNorm into the convolution before it."""
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            _fold_into(convolution, norm)
            self.norms[place] = nn.Identity()


Network = NiN | MLP | ResNet18 | CNN
AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def make_network(config: NetworkConfig, shape: Sequence[int], classes: int) -> Network:
    """An untrained network for images of ``shape`` [channels, H, W]."""
    if isinstance(config, NiNConfig):
        return NiN(config, shape, classes)
    if isinstance(config, MLPConfig):
        return MLP(config, shape, classes)
    if isinstance(config, CNNConfig):
        return CNN(config, shape, classes)
    return ResNet18(config, shape, classes)


def best_side_by_side(network: nn.Module) -> bool:
    """Whether a GPU computes networks of this kind fastest many at once.

    Not those whose 3×3 convolutions see whole images, to copy what each place sees costs more than it saves there,
    and no network from elsewhere, whose layers do not know of many at once.
    """
    return isinstance(network, NiN | MLP)


def largest_map(network: nn.Module, image: Sequence[int]) -> int:
    """How many values the largest output of any layer has, for one image [channels, H, W]."""
    sizes: list[int] = []
    copy = deepcopy(network).cpu().eval()
    for layer in copy.modules():
        layer.register_forward_hook(lambda _, __, output: sizes.append(output.numel()))
    with torch.no_grad():
        copy(torch.zeros(1, *image, dtype=next(copy.parameters()).dtype))
    return max(sizes)


def folded(network: AnyNetwork) -> AnyNetwork:
    """A copy in evaluation mode with the same outputs and no BatchNorm.

    Scale and shift of each BatchNorm, with its running statistics, go into weights and biases
    (Dziugaite et al. 2020). Biases are then part of the network; weights keep their names.
    """
    copy = deepcopy(network)
    copy.eval()
    copy.fold()
    return copy


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift [channels] of a BatchNorm in evaluation mode, in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


@torch.no_grad()
def _fold_into(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    scale, shift = _affine(norm)
    conv.weight.mul_(scale.to(conv.weight)[:, None, None, None])
    conv.bias = nn.Parameter(shift.to(conv.weight))


@torch.no_grad()
def _fold_forward(norm: nn.BatchNorm2d, readers: Iterable[nn.Conv2d]) -> SignShift:
    scale, shift = _affine(norm)
    # A channel that is scaled by 0 is constant; it keeps its value and nothing is taken forward.
    factor = torch.where(scale == 0, 1.0, scale.abs())
    for conv in readers:
        conv.weight.mul_(factor.to(conv.weight)[:, None, None])
    return SignShift(scale.sign().to(norm.weight), (shift / factor).to(norm.weight))
