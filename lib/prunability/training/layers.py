"""The layers of the networks, each for one network and for a fleet of networks of the same shape.

One network maps images [B, channels, H, W]. In a fleet of M networks every weight, bias and statistic has
a leading axis of M, and maps are [M, channels, H, W, B]: with the examples innermost a convolution is one
batched matrix product, whose result BatchNorm reads without a copy. A layer tells the two by the number of
axes of its input. A first axis of 1 in a fleet's input stands for the same examples for every network.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Convolution(nn.Conv2d):
    """A square convolution; in a fleet, a matrix product with the windows that the kernel sees."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H′, W′], or [M, inputs, H, W, B] to [M, outputs, H′, W′, B]."""
        if x.dim() == 4:
            return super().forward(x)
        (size, _), (stride, _) = self.kernel_size, self.stride
        assert not isinstance(self.padding, str)
        if size > 1 or stride > 1:
            x = Windows.apply(x, size, stride, self.padding[0])
        weight = self.weight.flatten(2)
        out = _product(weight, x.reshape(len(x), weight.shape[2], -1), self.bias)
        return torch.unflatten(out, 2, x.shape[-3:])


class Pointwise(Convolution):
    """A 1×1 convolution, computed as the matrix product it is.

    In float32 on channels-last maps this halves the time of a training step on digits and costs
    nothing on 32×32 images; in bfloat16 the convolution is the faster one.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """As any convolution."""
        if x.dim() == 5 or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


class Linear(nn.Linear):
    """A linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] to [B, outputs], or [M, inputs, B] to [M, outputs, B]."""
        return super().forward(x) if x.dim() == 2 else _product(self.weight, x, self.bias)


class BatchNorm(nn.BatchNorm2d):
    """Normalises each channel, of each network by itself; momentum 0.1."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps to maps of the same shape; in training mode running statistics are updated in place."""
        if x.dim() == 4:
            return super().forward(x)
        statistics = (self.running_mean, self.running_var)
        if self.training:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            mean, variance = (tensor.view(-1) for tensor in statistics if tensor is not None)
        else:
            mean, variance = (tensor.reshape(-1) for tensor in statistics if tensor is not None)
        weight, bias = self.weight.reshape(-1), self.bias.reshape(-1)
        assert self.momentum is not None
        out = F.batch_norm(
            x.reshape(1, len(weight), -1), mean, variance, weight, bias, self.training, self.momentum, self.eps
        )
        return out.view(x.shape)


class SignShift(nn.Module):
    """What is left of a BatchNorm once its scale is taken forward: sign·x + shift, a channel each."""

    sign: Tensor

    def __init__(self, sign: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("sign", sign)
        self.shift = nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        """Maps to maps of the same shape."""
        later = (..., None, None) if x.dim() == 4 else (..., None, None, None)
        return x * self.sign[later] + self.shift[later]


class ReLU(nn.Module):
    """max(x, 0), in place where no gradient is taken: what reads x before must not be read again.

    In place, autograd would copy whole maps back and forth, for x is a view of a matrix product's result.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.relu(x, inplace=not torch.is_grad_enabled())


def halved(x: Tensor) -> Tensor:
    """The largest of each 2×2 pixels of maps in either layout; what an odd side leaves over is left out."""
    high, wide = x.shape[2] // 2, x.shape[3] // 2
    x = x[:, :, : 2 * high, : 2 * wide].unflatten(3, (wide, 2)).unflatten(2, (high, 2))
    return x.amax(dim=(3, 5))


class Windows(torch.autograd.Function):
    """What a square kernel sees at each place: [M, C, H, W, B] to [M, C · size², H′, W′, B]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, stride: int, padding: int) -> Tensor:
        """One copy of the maps for each place in the kernel."""
        ctx.geometry = (x.shape, size, stride, padding)
        x = F.pad(x, (0, 0, padding, padding, padding, padding))
        seen = x.unfold(2, size, stride).unfold(3, size, stride)  # [M, C, H′, W′, B, size, size]
        return seen.permute(0, 1, 5, 6, 2, 3, 4).flatten(1, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Sums what each pixel was seen as."""
        (m, channels, height, width, batch), size, stride, padding = ctx.geometry
        (gradient,) = gradients
        gradient = gradient.unflatten(1, (channels, size, size))
        high, wide = gradient.shape[4:6]
        total = gradient.new_zeros(m, channels, height + 2 * padding, width + 2 * padding, batch)
        for row in range(size):
            for column in range(size):
                rows = slice(row, row + stride * (high - 1) + 1, stride)
                columns = slice(column, column + stride * (wide - 1) + 1, stride)
                total[:, :, rows, columns] += gradient[:, :, row, column]
        return total[:, :, padding : padding + height, padding : padding + width], None, None, None


def _product(weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    """Weights [M, outputs, inputs] times x [M or 1, inputs, P], plus bias [M, outputs]."""
    x = x.expand(len(weight), -1, -1)
    return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias[:, :, None], weight, x)
