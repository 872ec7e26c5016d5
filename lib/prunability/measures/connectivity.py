"""The loss on the line between two trained networks of one shape, as they are and with their units matched."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import zip_longest
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor, nn

from prunability.foundation.errors import PrunabilityError
from prunability.measures.probes import probe
from prunability.measures.subject import TrainedRun, UndefinedMeasureError
from prunability.training.course import cross_entropies, error_of
from prunability.training.loop import State, evaluation_batch, logits
from prunability.training.networks import ResNet18

# t of t·w + (1 − t)·w′.
POINTS = tuple(step / 10 for step in range(11))
# What is looked at along the line, in the order of a probe's rows.
ALONG = ("train_loss", "train_error", "test_loss", "test_error")
# Of the similarity, what rounding alone may seem to gain.
ROUNDING = 1e-12


class Layer(NamedTuple):
    """A layer whose units may change places: its weight, and what else there is of each unit, by name."""

    weight: str
    beside: tuple[str, ...]


def barriers(row: Sequence[float]) -> dict[str, float]:
    """For each of ``ALONG`` the most by which it lies above the straight line between the two ends; at least 0."""
    rows = torch.tensor(row, dtype=torch.float64).view(len(ALONG), len(POINTS))
    t = torch.tensor(POINTS, dtype=torch.float64)
    above = rows - (t * rows[:, -1:] + (1 - t) * rows[:, :1])
    return dict(zip(ALONG, above.amax(dim=1).clamp(min=0).tolist(), strict=True))


@probe(pair=True)
def barrier(run: TrainedRun, partner: TrainedRun) -> list[float]:
    """``ALONG`` at each of ``POINTS``, row by row, where t = 1 is the run and t = 0 its partner.

    BatchNorm's statistics are recomputed on the training set at every point (Jordan et al. 2022), the ends too.
    Source: Frankle et al. 2020.

    Raises:
        PrunabilityError: the two are not of one shape.
    """
    return _along(run, partner.final)


@probe(pair=True)
def matched_barrier(run: TrainedRun, partner: TrainedRun) -> list[float]:
    """The same with the units of the partner permuted to be like the run's (Ainsworth et al. 2023, algorithm 1).

    Raises:
        PrunabilityError: the two are not of one shape.
        UndefinedMeasureError: they are residual networks, whose units cannot be permuted layer by layer.
    """
    _one_shape(run.final, partner.final)
    return _along(run, matched(run.final, partner.final, chain(run.network), run.draws("weight matching")))


def _one_shape(own: State, other: State) -> None:
    if {name: tensor.shape for name, tensor in own.items()} != {name: t.shape for name, t in other.items()}:
        raise PrunabilityError("between two networks there is a line only where they are of one shape")


def _along(run: TrainedRun, other: State) -> list[float]:
    _one_shape(run.final, other)
    network, data, points = deepcopy(run.network), run.data, []
    for t in POINTS:
        mixed = {
            name: t * own + (1 - t) * other[name] for name, own in run.final.items() if own.is_floating_point()
        }
        network.load_state_dict(run.final | mixed)
        recompute_statistics(network, data.train_images)
        sides = (data.train_images, data.train_labels), (data.test_images, data.test_labels)
        found = [(logits(network, images), labels) for images, labels in sides]
        points.append([of(*side) for side in found for of in (_loss, error_of)])
    return [value for row in zip(*points, strict=True) for value in row]


def _loss(outputs: Tensor, labels: Tensor) -> float:
    return cross_entropies(outputs, labels).mean().item()


@torch.no_grad()
def recompute_statistics(network: nn.Module, images: Tensor) -> None:
    """Take each BatchNorm's mean and variance anew: the mean of those of parts of the images as equal as can be."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # which is a plain mean over parts
    if norms:
        network.train()
        for part in images.tensor_split(-(-len(images) // evaluation_batch(images))):
            network(part)
        network.eval()


def chain(network: nn.Module) -> list[Layer]:
    """The layers of a network in which each reads only the one before, in order.

    Raises:
        UndefinedMeasureError: the network is residual: there a unit is added to those of other layers.
    """
    if isinstance(network, ResNet18):
        raise UndefinedMeasureError("weights are matched layer by layer, which a residual network is not made of")
    products, norms = (
        [name for name, module in network.named_modules() if isinstance(module, kinds)]
        for kinds in ((nn.Conv2d, nn.Linear), nn.BatchNorm2d)
    )
    of_units = [name for name, tensor in network.state_dict().items() if tensor.dim() == 1]
    return [
        Layer(f"{product}.weight", tuple(name for name in of_units if name.rpartition(".")[0] in (product, norm)))
        for product, norm in zip_longest(products, norms)
    ]


def matched(own: State, other: State, layers: Sequence[Layer], draws: Generator) -> State:
    """The other network, its units permuted until no layer alone can be made more like one's own.

    Each hidden layer in turn, in random order, takes the permutation that is best given the others'.
    """
    improved = True
    while improved:
        improved = False
        for place in torch.randperm(len(layers) - 1, generator=draws).tolist():
            alike = _alike(own, other, layers, place)
            rows, order = linear_sum_assignment(alike.numpy(), maximize=True)
            gain = alike[rows, order].sum() - alike.trace()
            if gain > ROUNDING * alike.abs().sum():
                other, improved = permuted(other, layers, place, torch.from_numpy(order)), True
    return other


def _alike(own: State, other: State, layers: Sequence[Layer], place: int) -> Tensor:
    """The inner product of all that is learned of each of one's own units (rows) and of each other unit (columns):
    what it reads, what reads it, its bias, its scale and shift in BatchNorm; float64.
    """
    layer, reader = layers[place], layers[place + 1].weight

    def of_units(state: State) -> Tensor:
        learned = [state[name][:, None] for name in layer.beside if "running" not in name]
        parts = [state[layer.weight].flatten(1), state[reader].transpose(0, 1).flatten(1), *learned]
        return torch.cat(parts, dim=1).double()

    return of_units(own) @ of_units(other).T


def permuted(state: State, layers: Sequence[Layer], place: int, order: Tensor) -> State:
    """The same function with the units of one layer in another order: first the one at ``order[0]``, and so on."""
    layer, reader = layers[place], layers[place + 1].weight
    moved = {name: state[name][order] for name in (layer.weight, *layer.beside)}
    return state | moved | {reader: state[reader][:, order]}
