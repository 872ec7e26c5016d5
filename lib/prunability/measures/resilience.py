"""Noise resilience: how much the training loss rises where what a network reads, or what it computes, is noisy.

Noise is Gaussian and drawn anew for every example. It is measured by what it is added to: that is how a network may
be written in other units, or with BatchNorm folded, and bear as much.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from prunability.measures.base import Estimated, Measure, measure, shared
from prunability.measures.subject import Measurable, UndefinedMeasureError
from prunability.training.loop import evaluation_batch

# The standard deviation of the noise, as a share of that of what it is added to; draws for each example; the most
# examples that are disturbed. Chosen for cost and standard errors, before any association was looked at.
SIGMA, DRAWS, EXAMPLES = 0.5, 2, 500
# Functions that give activations, by their names in torch; in place they end in "_".
ACTIVATIONS = {
    "celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "mish", "prelu", "relu", "relu6", "selu", "silu",
    "softplus", "tanh",
}  # fmt: skip


class Activations(TorchFunctionMode):
    """While it is entered, ``visit`` sees each activation, numbered from 0, and may change it in place."""

    def __init__(self, visit: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self.visit, self.count = visit, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # Of a weight, or a single number, it is no activation of examples.
        if getattr(func, "__name__", "").rstrip("_") in ACTIVATIONS and out.dim() > 1:
            self.visit(self.count, out)
            self.count += 1
        return out


@shared
def disturbed_examples(run: Measurable) -> Tensor:
    """The indices of the examples that are disturbed: all of few, else ``EXAMPLES`` at random."""
    labels = run.data.train_labels
    return torch.randperm(len(labels), generator=run.draws("disturbed examples"))[:EXAMPLES].to(labels.device)


def parts(run: Measurable) -> Iterator[Tensor]:
    """The same, as many at once as are best evaluated together."""
    yield from disturbed_examples(run).split(evaluation_batch(run.data.train_images))


def noise(like: Tensor, draws: Sequence[Generator]) -> Tensor:
    """Standard normal noise of the shape of ``like`` [B, ...], each example's from its own draws."""
    found = torch.empty(like.shape, dtype=torch.float32, device="cpu")
    for own, generator in zip(found, draws, strict=True):
        own.normal_(generator=generator)
    return found.to(like)


@torch.no_grad()
def spreads(run: Measurable) -> list[Tensor]:
    """The standard deviation of each unit over the disturbed examples, [...] for each activation function.

    Raises:
        UndefinedMeasureError: no activation is seen, there are others for other examples, or none differs.
    """
    count, means, squares = 0, list[Tensor](), list[Tensor]()

    def visit(place: int, out: Tensor) -> None:
        if not count:
            means.append(torch.zeros_like(out[0]))
            squares.append(torch.zeros_like(out[0]))
        seen(place, out, means, len(part))
        mean, together = out.mean(0), count + len(part)
        apart = mean - means[place]
        squares[place] += (out - mean).square_().sum(0) + apart.square() * (count * len(part) / together)
        means[place] += apart * (len(part) / together)

    if not (run.data.train_images != run.data.train_images[:1]).any():
        raise UndefinedMeasureError("all images are the same")
    for part in parts(run):
        with Activations(visit):
            run.variants.network(run.data.train_images[part])
        count += len(part)
    if not means:
        raise UndefinedMeasureError("no activation function is seen in the network")
    return [(square / count).sqrt() for square in squares]


def seen(place: int, out: Tensor, known: Sequence[Tensor], examples: int) -> None:
    """See that an activation is the one [...] that is known of its place, for so many examples."""
    if place >= len(known) or out.shape != (examples, *known[place].shape):
        raise UndefinedMeasureError("the network's activations are not the same for all examples")


@torch.no_grad()
def rise(run: Measurable, outputs: Callable[[Tensor, Sequence[Generator]], Tensor], purpose: str) -> Estimated:
    """The mean rise of the cross-entropy of disturbed examples in nats.

    ``outputs`` gives the logits of images under noise from draws, a generator for each. The standard error is that
    of sampling in two stages, examples among all and draws for each (Cochran 1977, chapter 10).
    """
    found = []
    for part in parts(run):
        images, labels = run.data.train_images[part], run.data.train_labels[part]
        draws = [run.draws(purpose, example) for example in part.tolist()]
        clean = F.cross_entropy(run.train_logits[part], labels, reduction="none")
        noisy = [F.cross_entropy(outputs(images, draws).double(), labels, reduction="none") for _ in range(DRAWS)]
        found.append(torch.stack(noisy, 1) - clean[:, None])
    rises = torch.cat(found)  # [examples, draws]
    share = len(rises) / len(run.data.train_labels)
    variance = share * rises.var(1).mean().item() / DRAWS
    if share < 1:
        variance += (1 - share) * rises.mean(1).var().item()
    return Estimated(rises.mean().item(), math.sqrt(variance / len(rises)))


@measure(
    Measure(
        "loss_rise_input_noise",
        "rise under noise on inputs",
        "output",
        "this project, after Novak et al. 2018",
        f"E[L(x + {SIGMA}·s·z)] − L",
        "nats",
    )
)
def loss_rise_input_noise(run: Measurable) -> dict[str, Estimated]:
    """The mean rise of the loss under noise on the images, s the standard deviation of their values, z normal.

    Of at most 500 training examples, two draws each. Defined on every network, where images differ.
    """
    scale = SIGMA * run.data.train_images.double().std(correction=0).item()
    if not scale:
        raise UndefinedMeasureError("all values of the images are the same")

    def outputs(images: Tensor, draws: Sequence[Generator]) -> Tensor:
        logits: Tensor = run.variants.network(images.add(noise(images, draws), alpha=scale))
        return logits

    return {"loss_rise_input_noise": rise(run, outputs, "input noise")}


@measure(
    Measure(
        "loss_rise_activation_noise",
        "rise under noise on activations",
        "output",
        "this project, after Arora et al. 2018, noise stability",
        f"E[L(a + {SIGMA}·s·z)] − L",
        "nats",
    )
)
def loss_rise_activation_noise(run: Measurable) -> dict[str, Estimated]:
    """The mean rise of the loss under noise on all that ReLUs give, s the standard deviation of each unit over
    examples, z normal.

    Of at most 500 training examples, two draws each. What all layers read is noisy at once, so deep networks meet
    more of it; a unit that is the same for all examples has none. Undefined for a network from elsewhere where no
    activation function is seen or examples differ in theirs.
    """
    known = spreads(run)

    def outputs(images: Tensor, draws: Sequence[Generator]) -> Tensor:
        def visit(place: int, out: Tensor) -> None:
            seen(place, out, known, len(images))
            out.addcmul_(known[place], noise(out, draws), value=SIGMA)

        with Activations(visit):
            logits: Tensor = run.variants.network(images)
        return logits

    return {"loss_rise_activation_noise": rise(run, outputs, "activation noise")}
