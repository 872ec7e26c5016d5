"""What a measure is: a function of a trained network, registered with its source and its version.

Every measure is written so that it should *rise* with the test loss.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from prunability.config import RunConfig
from prunability.data import Dataset
from prunability.networks import NiN, folded
from prunability.pruning import SWEEP, Tolerance, prunability, prunable
from prunability.scan import Variants
from prunability.training import Result, State, build, logits


class UndefinedMeasureError(Exception):
    """A measure has no value on this network; the message says why. It is recorded, never a silent NaN."""


@dataclass(frozen=True)
class Measure:
    """One column of the table of runs."""

    name: str
    label: str
    family: str
    source: str


@dataclass
class TrainedRun:
    """A trained network with its data; what several measures need is computed once."""

    config: RunConfig
    data: Dataset
    initial: State
    final: State
    result: Result

    def _network(self, state: State) -> NiN:
        network = build(self.config, self.data.train_images.shape[1], self.data.classes)
        network.load_state_dict(state)
        return network.to(self.data.train_images.device).eval()

    @cached_property
    def network(self) -> NiN:
        """The trained network in evaluation mode."""
        return self._network(self.final)

    @cached_property
    def folded(self) -> NiN:
        """The trained network with BatchNorm folded into the convolutions before it."""
        return folded(self.network)

    @cached_property
    def folded_initial(self) -> NiN:
        """The network at initialisation, BatchNorm folded."""
        return folded(self._network(self.initial))

    @cached_property
    def train_logits(self) -> Tensor:
        """Logits [N, classes] on the training set."""
        return logits(self.network, self.data.train_images)

    @property
    def train_loss(self) -> float:
        """L(w) in nats."""
        assert self.result.train_loss is not None, "a diverged run has no measures"
        return self.result.train_loss

    @cached_property
    def variants(self) -> Variants:
        """Evaluates pruned copies of the network on the training set."""
        return Variants(self.network, self.data.train_images, self.data.train_labels)

    @cached_property
    def weight_count(self) -> int:
        """d, the number of prunable weights."""
        return sum(weight.numel() for weight in prunable(self.network).values())

    @cached_property
    def magnitude_prunability(self) -> dict[Tolerance, float]:
        """Prunability with the magnitude pruner over the whole sweep of tolerances."""
        return prunability(self.variants, self.train_loss, "magnitude", SWEEP)[0]


Function = Callable[[TrainedRun], Mapping[str, float]]


@dataclass(frozen=True)
class Group:
    """Measures that one function computes together. A changed definition takes a new version."""

    function: Function = field(repr=False)
    version: int
    measures: tuple[Measure, ...]


REGISTRY: dict[str, Group] = {}


def measure(*members: Measure, version: int = 1) -> Callable[[Function], Function]:
    """Register a function of a :class:`TrainedRun` that returns a value for the name of each member."""

    def register(function: Function) -> Function:
        taken = {known.name for group in REGISTRY.values() for known in group.measures}
        if clash := taken & {member.name for member in members}:
            raise ValueError(f"measures registered twice: {sorted(clash)}")
        REGISTRY[function.__name__] = Group(function, version, members)
        return function

    return register


def all_measures() -> dict[str, Measure]:
    """Every registered measure by name, in order of registration."""
    return {member.name: member for group in REGISTRY.values() for member in group.measures}


@torch.no_grad()
def weights_and_biases(network: nn.Module) -> dict[str, Tensor]:
    """Trainable tensors of a folded network: weights, and the biases that BatchNorm became."""
    scales = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    return {
        name: tensor.detach() for name, tensor in network.named_parameters() if name not in scales
    }  # fmt: skip
