"""Prunability, and every other measure, of anybody's trained network."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from prunability.data.dataset import Dataset
from prunability.foundation.defaults import defaults
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.seeding import generator
from prunability.measures import structure
from prunability.measures.base import REGISTRY, take
from prunability.measures.pruning import orders
from prunability.measures.search import (
    HEADLINE,
    PRUNERS,
    RESOLUTION,
    Pruner,
    Tolerance,
    loss_curve,
    prunabilities,
    prunable,
)
from prunability.measures.subject import Measurable, Training, UndefinedMeasureError
from prunability.measures.variants import Variants
from prunability.training.loop import logits

# A finer grid than this, and than single weights, would only fill the memory.
FINEST = 10_000


@dataclass
class OwnNetwork(Measurable):
    """A trained module, that module at initialisation where it is known, and the seed of random draws."""

    data: Dataset
    model: nn.Module
    start: nn.Module | None
    seed: int

    @property
    def network(self) -> nn.Module:  # noqa: D102
        return self.model

    @cached_property
    def folded(self) -> nn.Module:  # noqa: D102
        return structure.folded(self.model)

    @cached_property
    def folded_initial(self) -> nn.Module:  # noqa: D102
        if self.start is None:
            raise UndefinedMeasureError("the network at initialisation was not given")
        return structure.folded(self.start)

    @cached_property
    def train_logits(self) -> Tensor:  # noqa: D102
        return logits(self.model, self.data.train_images).double()

    @cached_property
    def train_loss(self) -> float:  # noqa: D102
        return F.cross_entropy(self.train_logits, self.data.train_labels).item()

    @property
    def training(self) -> Training:  # noqa: D102
        raise UndefinedMeasureError("how the network was trained is not known")

    @cached_property
    def variants(self) -> Variants:
        """As it is where BatchNorm cannot be folded: to prune a weight is the same before folding and after."""
        try:
            network = self.folded
        except UndefinedMeasureError:
            network = self.model
        return Variants(network, self.data.train_images, self.data.train_labels)

    def draws(self, purpose: str, *more: int) -> Generator:  # noqa: D102
        return generator("own network", self.seed, purpose, *more)

    def piecewise_linear(self) -> None:  # noqa: D102
        structure.piecewise_linear(self.model)


Images = Tensor | Iterable[tuple[Tensor, Tensor]]


@defaults()
def prunability(
    model: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    tolerance: float | Tolerance = HEADLINE,
    pruner: Pruner = "magnitude",
    resolution: int = RESOLUTION,
    seed: int = 0,
) -> float:
    """The smallest fraction of a network's weights that keeps its training loss within a tolerance.

    Args:
        model: any module in evaluation mode whose outputs are logits [N, classes]. Its convolution and linear
            weights are pruned, in copies.
        images: the training set as the network reads it, [N, ...]; or pairs of images and labels, such as a
            DataLoader gives.
        labels: classes [N], where ``images`` is a tensor.
        tolerance: ε in nats, for L + ε; or a :class:`Tolerance`.
        pruner: "magnitude", "layerwise", or "random", which is a mean over five orders.
        resolution: G of the fractions 1/G, 2/G, …, 1 that are tried, exactly.
        seed: of the random orders.

    Raises:
        PrunabilityError: what is given is none of this, or the loss is not finite.
    """
    run = _checked(model, images, labels, None, seed)
    weights, goal = _weights(run, pruner, resolution), _tolerance(tolerance)
    found, _ = prunabilities(
        run.variants, run.train_loss, pruner, [goal], orders(run, pruner), resolution, ranked=weights
    )
    return found[goal]


@defaults()
def pruning_curve(
    model: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    pruner: Pruner = "magnitude",
    resolution: int = RESOLUTION,
    seed: int = 0,
) -> list[float]:
    """The training loss in nats with 1/G, 2/G, …, 1 of the weights kept; else as :func:`prunability`."""
    run = _checked(model, images, labels, None, seed)
    weights = _weights(run, pruner, resolution)
    return loss_curve(run.variants, pruner, orders(run, pruner), resolution, weights)


@defaults()
def measures_of(
    model: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    initial: nn.Module | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Every measure of a network, or why it has none: name, label, family, value, standard_error, unit, undefined.

    ``initial`` is the network before training, in evaluation mode, for the distances from it; the rest, and what is
    raised, is as for :func:`prunability`.
    """
    run, rows = _checked(model, images, labels, initial, seed), []
    # Second derivatives of attention are there in plain products alone.
    with sdpa_kernel(SDPBackend.MATH):
        for name, group in REGISTRY.items():
            values, errors, undefined = take(name, run)
            rows += [
                (m.name, m.label, m.family, values.get(m.name), errors.get(m.name), m.unit, undefined or "")
                for m in group.measures
            ]
    return pd.DataFrame(rows, columns=["name", "label", "family", "value", "standard_error", "unit", "undefined"])


def _checked(
    model: nn.Module, images: Images, labels: Tensor | None, initial: nn.Module | None, seed: int
) -> OwnNetwork:
    """The network and its data, seen to be what is needed."""
    for module in (model, initial):
        if not isinstance(module, nn.Module) and module is not None:
            raise PrunabilityError(f"a torch module is needed, this is a {type(module).__name__}")
        if module is not None and module.training:
            raise PrunabilityError("the network is in training mode: call its eval() first")
    weights = prunable(model)
    if not weights:
        raise PrunabilityError("the network has no convolution and no linear weights that could be pruned")
    own = dict(model.named_parameters(remove_duplicate=False))
    if made := [name for name in weights if name not in own]:
        raise PrunabilityError(
            f"{made[0]} is no parameter but computed from others, by a mask or a normalisation: make it permanent "
            "first (torch.nn.utils.prune.remove, remove_weight_norm, parametrize.remove_parametrizations)"
        )
    if len({weight.data_ptr() for weight in weights.values()}) < len(weights):
        raise PrunabilityError("two layers of the network share one weight tensor, which is not pruned twice")
    like = next(iter(weights.values()))
    x, y = _examples(images, labels)
    x, y = x.to(like.device), y.to(like.device)
    if x.dtype != like.dtype:
        raise PrunabilityError(f"images are {x.dtype}, the network's weights {like.dtype}: convert the images")
    outputs = logits(model, x[:2])
    if outputs.dim() != 2 or len(outputs) != min(2, len(x)):
        raise PrunabilityError(f"outputs must be logits [N, classes], these are {list(outputs.shape)}")
    if not 0 <= int(y.min()) <= int(y.max()) < outputs.shape[1]:
        raise PrunabilityError(
            f"labels must lie in 0 to {outputs.shape[1] - 1}, found {int(y.min())} to {int(y.max())}"
        )
    run = OwnNetwork(Dataset(outputs.shape[1], x, y, x[:0], y[:0]), model, initial, seed)
    if not torch.tensor(run.train_loss).isfinite():
        raise PrunabilityError(f"the training loss is {run.train_loss}: there is nothing to keep")
    return run


def _examples(images: Images, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    if not isinstance(images, Tensor):
        if labels is not None:
            raise PrunabilityError(
                f"images are a {type(images).__name__}: give a tensor; or pairs of images and labels, and no labels"
            )
        pairs = list(images) if isinstance(images, Iterable) else []
        if not pairs or not all(_is_pair(pair) for pair in pairs):
            raise PrunabilityError("pairs of images and labels, all tensors, are needed, as of a DataLoader")
        images, labels = (torch.cat(part) for part in zip(*pairs, strict=True))
    if labels is not None and not isinstance(labels, Tensor):
        raise PrunabilityError(f"labels are a {type(labels).__name__}: give a tensor")
    if labels is None or labels.dim() != 1 or len(labels) != len(images) or not len(images):
        found = "none" if labels is None else list(labels.shape)
        raise PrunabilityError(f"labels must be [N] for images {list(images.shape)}, found {found}")
    if labels.is_floating_point():
        raise PrunabilityError("labels must be whole numbers, the classes")
    return images, labels.long()


def _is_pair(found: object) -> bool:
    return isinstance(found, list | tuple) and len(found) == 2 and all(isinstance(part, Tensor) for part in found)


def _tolerance(tolerance: float | Tolerance) -> Tolerance:
    try:
        return tolerance if isinstance(tolerance, Tolerance) else Tolerance("absolute", tolerance)
    except ValueError as error:
        raise PrunabilityError(f"tolerance: {error}") from error
    except TypeError as error:
        raise PrunabilityError(f"tolerance must be nats, a number, or a Tolerance, got {tolerance!r}") from error


def _weights(run: OwnNetwork, pruner: str, resolution: int) -> dict[str, Tensor]:
    if pruner not in PRUNERS:
        raise PrunabilityError(f"pruner {pruner!r} is none of {', '.join(PRUNERS)}")
    if not isinstance(resolution, int) or resolution < 1:
        raise PrunabilityError(f"resolution must be a whole number from 1 on, got {resolution}")
    if resolution > (most := max(FINEST, run.weight_count)):
        raise PrunabilityError(f"resolution {resolution} is finer than one weight: at most {most} is of use here")
    return run.weights
