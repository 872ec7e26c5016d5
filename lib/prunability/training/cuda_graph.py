"""A function of tensors on a GPU, recorded once and replayed: no kernel waits for the processor."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

WARM_UPS = 3


class Captured:
    """A CUDA graph of ``function``, called with tensors of always the same shapes.

    Args:
        function: of tensors to a tensor; it may change ``state`` in place and must not wait for the device.
        state: what it changes; as it was before when the capture is done.
        examples: arguments to record it with.

    Raises:
        RuntimeError: it cannot be recorded; ``state`` is as it was.
    """

    def __init__(self, function: Callable[..., Tensor], state: Sequence[Tensor], *examples: Tensor) -> None:
        self.inputs = [example.clone() for example in examples]
        saved = [tensor.clone() for tensor in state]
        beside = _stream()
        beside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(beside):
                for _ in range(WARM_UPS):
                    function(*self.inputs)
            torch.cuda.current_stream().wait_stream(beside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=beside):
                self.output = function(*self.inputs)
        finally:
            # Where it failed, steps of the warm-up may still run that write what is put back.
            torch.cuda.current_stream().wait_stream(beside)
            for tensor, before in zip(state, saved, strict=True):
                tensor.copy_(before)

    def __call__(self, *arguments: Tensor) -> Tensor:
        """What the function returns; queued, not waited for."""
        for place, argument in zip(self.inputs, arguments, strict=True):
            place.copy_(argument, non_blocking=True)
        self.graph.replay()
        return self.output.clone()


def capture(function: Callable[..., Tensor], state: Sequence[Tensor], *examples: Tensor) -> Captured | None:
    """As :class:`Captured`; None, and a warning, where the function cannot be recorded."""
    try:
        return Captured(function, state, *examples)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        warnings.warn(f"steps are not captured as a CUDA graph ({error}): they are slower", stacklevel=3)
        return None


class Replayed:
    """A function that is launched when it is called first, and then captured, where that can be, and replayed.

    Args:
        function: as of :class:`Captured`.
        state: says what it changes; asked after the first call, which may have made some of it.
    """

    def __init__(self, function: Callable[..., Tensor], state: Callable[[], Sequence[Tensor]]) -> None:
        self.function, self.state, self.calls = function, state, 0

    def __call__(self, *arguments: Tensor) -> Tensor:
        """What the function returns."""
        self.calls += 1
        if self.calls == 2:
            self.function = capture(self.function, self.state(), *arguments) or self.function
        return self.function(*arguments)


def captures(device: torch.device) -> bool:
    """Whether steps of training are captured on a device."""
    return device.type == "cuda"


@cache
def _stream() -> torch.cuda.Stream:
    """The one stream of all captures: memory that was freed on it is taken again on it."""
    return torch.cuda.Stream()
