"""Dropout noise that follows from the run, the epoch and the step alone: computed from keys, not drawn in turn.

A generator's draws depend on the device and on what it drew before. Here each element's noise is a hash of
its place and of a key, so that a network has the same noise alone, in any fleet and on any device.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from prunability.foundation.seeding import generator
from prunability.training.config import RunConfig

# Odd multipliers of 32-bit hashes: of the golden ratio, and those found by C. Wellons (hash-prospector).
GOLDEN, FIRST, SECOND = 0x9E3779B9 - 2**32, 0x7FEB352D, 0x846CA68B - 2**32


def dropout_keys(config: RunConfig, epoch: int, steps: int, layers: int) -> Tensor:
    """The keys of an epoch, int32 [steps, layers, 2]."""
    draws = generator(*config.seed_key("dropout"), epoch)
    return torch.randint(-(2**31), 2**31, (steps, layers, 2), generator=draws).int()


def places(shape: tuple[int, int, int], batch: int, examples_last: bool, device: torch.device) -> Tensor:
    """A number for each element of a layer's output [channels, H, W] on a batch, the same in either layout.

    Returns:
        int32 [channels, H, W, B], or [B, channels, H, W] with channels last in memory.
    """
    numbers = torch.arange(batch * torch.Size(shape).numel(), dtype=torch.int32).mul_(GOLDEN).view(*shape, batch)
    if not examples_last:
        numbers = numbers.permute(3, 0, 1, 2).contiguous(memory_format=torch.channels_last)
    return numbers.to(device)


def dropout_mask(keys: Tensor, rates: Tensor, numbers: Tensor) -> Tensor:
    """What multiplies a layer's output: 0 with the probability of a network's rate, else 1 / (1 − rate).

    Args:
        keys: int32 [M, 2], one pair a network.
        rates: probabilities [M], in the type that the mask shall have.
        numbers: of :func:`places`.

    Returns:
        [M, *numbers.shape].
    """
    each = (-1, *[1] * numbers.dim())
    thresholds = (rates.double() * 2**32 - 2**31).round().int().view(each)
    first, second, scale = keys[:, 0].view(each), keys[:, 1].view(each), (1 / (1 - rates)).view(each)
    if numbers.is_cuda and scale.dtype == torch.float32:
        mask: Tensor = _fused()(first, second, numbers, thresholds, scale.view(torch.int32)).view(torch.float32)
        return mask
    return (hashed(first, second, numbers) >= thresholds).to(rates.dtype).mul_(scale)


def hashed(first: Tensor, second: Tensor, numbers: Tensor) -> Tensor:
    """Uniform whole numbers, int32, that follow from two keys and a number alone."""
    mixed = numbers ^ first
    # The shift keeps the sign, which costs the hash one of its 32 bits and saves a pass.
    mixed.bitwise_xor_(mixed >> 16).mul_(FIRST).bitwise_xor_(second)
    return mixed.bitwise_xor_(mixed >> 16).mul_(SECOND)


@cache
def _fused() -> Callable[..., Tensor]:
    """The whole of :func:`dropout_mask` as one kernel, for a GPU's memory is slower than its arithmetic.

    All arguments are int32, the scale's bits among them, and so is what it returns: the mask's bits.
    """
    kernel: Callable[..., Tensor] = torch.cuda.jiterator._create_jit_fn(  # its documented name
        f"""template <typename T> T dropout(T first, T second, T number, T threshold, T scale) {{
            int mixed = number ^ first;
            mixed = int(unsigned(mixed ^ (mixed >> 16)) * {FIRST}u) ^ second;
            mixed = int(unsigned(mixed ^ (mixed >> 16)) * {SECOND % 2**32}u);
            return mixed >= threshold ? scale : 0;
        }}"""
    )
    return kernel
