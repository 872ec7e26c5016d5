"""What PyTorch does where nothing is said, as it was installed: a startup file may have set it otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def defaults() -> Iterator[None]:
    """New tensors are float32 and on the CPU, gradients are kept, and products of float32 are not rounded.

    What was set otherwise is so again afterwards. Also a decorator.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    mkldnn: Any = torch.backends.mkldnn
    kinds = (mkldnn.matmul, mkldnn.conv)
    precisions = [kind.fp32_precision for kind in kinds]
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device(None)
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        for kind, precision in zip(kinds, precisions, strict=True):
            kind.fp32_precision = precision
        if device.type != "cpu":
            torch.set_default_device(device)
        torch.set_default_dtype(dtype)
