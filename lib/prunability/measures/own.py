"""Prunability, and every other measure, of anybody's trained network."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from prunability.data.dataset import Dataset
from prunability.foundation.defaults import defaults
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.seeding import generator
from prunability.measures import structure
from prunability.measures.base import REGISTRY, Taken, take
from prunability.measures.given import Images, dataset, see_network, see_start, see_weights
from prunability.measures.pruning import orders
from prunability.measures.search import (
    HEADLINE,
    PRUNERS,
    RESOLUTION,
    Pruner,
    Tolerance,
    loss_curve,
    prunabilities,
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
            values, errors, undefined = _taken(name, run)
            rows += [
                (m.name, m.label, m.family, values.get(m.name), errors.get(m.name), m.unit, undefined or "")
                for m in group.measures
            ]
    return pd.DataFrame(rows, columns=["name", "label", "family", "value", "standard_error", "unit", "undefined"])


def _taken(name: str, run: OwnNetwork) -> Taken:
    """As ``take``; a network whose outputs cannot be differentiated lacks the measures that need it."""
    try:
        return take(name, run)
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        return Taken({}, {}, "the network's outputs cannot be differentiated: it evaluates under no_grad, perhaps")


def _checked(
    model: nn.Module, images: Images, labels: Tensor | None, initial: nn.Module | None, seed: int
) -> OwnNetwork:
    """The network and its data, seen to be what is needed."""
    like = see_weights(see_network(model))
    if initial is not None:
        see_start(initial, model)
    run = OwnNetwork(dataset(model, like, images, labels), model, initial, seed)
    if broken := int((~run.train_logits.isfinite()).any(1).sum()):
        raise PrunabilityError(
            f"the training loss is {run.train_loss}: outputs must be finite, and are not for {broken} of "
            f"{len(run.train_logits)} images"
        )
    return run


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
        raise PrunabilityError(f"resolution must be an int from 1 on, got {resolution!r}")
    if resolution > (most := max(FINEST, run.weight_count)):
        raise PrunabilityError(f"resolution {resolution} is finer than one weight: at most {most} is of use here")
    return run.weights
