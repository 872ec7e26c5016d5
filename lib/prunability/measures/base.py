"""What a measure is: a function of a trained network, registered with its source and its version.

Every measure is written so that it should *rise* with the test loss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Generator, Tensor

from prunability.data.dataset import Dataset
from prunability.measures.scan import Scan
from prunability.measures.search import SWEEP, Pruner, Tolerance, prunability, prunable
from prunability.measures.variants import Variants, Weights
from prunability.training.config import RunConfig
from prunability.training.course import Result
from prunability.training.loop import State, build, logits
from prunability.training.networks import Network, folded


class UndefinedMeasureError(Exception):
    """A measure has no value on this network; the message says why. It is recorded, never a silent NaN."""


@dataclass(frozen=True)
class Measure:
    """One column of the table of runs.

    ``formula`` is what is computed, ``source`` where it comes from with its equation there, ``unit`` in what
    ("1" for a pure number). A quantity that its source expects to *fall* with the test loss is ``negated``.
    ``of_prunability`` tells prunability with its variants, and what is computed from it, from its rivals.
    """

    name: str
    label: str
    family: str
    source: str
    formula: str = ""
    unit: str = "1"
    negated: bool = False
    of_prunability: Literal["no", "variant", "made from it"] = "no"


@dataclass
class TrainedRun:
    """A trained network with its data; what several measures need is computed once."""

    config: RunConfig
    data: Dataset
    initial: State
    final: State
    result: Result
    cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    # Of each search the share of a sum of losses that bfloat16 was trusted to; None where it did not look.
    screens: dict[str, float | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _network(self, state: State) -> Network:
        network = build(self.config, self.data.train_images.shape[1:], self.data.classes)
        network.load_state_dict(state)
        return network.to(self.data.train_images.device).eval()

    @cached_property
    def network(self) -> Network:
        """The trained network in evaluation mode."""
        return self._network(self.final)

    @cached_property
    def folded(self) -> Network:
        """The trained network with BatchNorm folded away."""
        return folded(self.network)

    @cached_property
    def folded_initial(self) -> Network:
        """The network at initialisation, BatchNorm folded away."""
        return folded(self._network(self.initial))

    @cached_property
    def parameters(self) -> Weights:
        """Every parameter of the folded network: weights, and the biases that BatchNorm became."""
        return {name: tensor.detach() for name, tensor in self.folded.named_parameters()}

    @cached_property
    def initial_parameters(self) -> Weights:
        """The same at initialisation."""
        return {name: tensor.detach() for name, tensor in self.folded_initial.named_parameters()}

    @cached_property
    def train_logits(self) -> Tensor:
        """Logits [N, classes] on the training set, in float64."""
        return logits(self.folded, self.data.train_images).double()

    @property
    def train_loss(self) -> float:
        """L(w) in nats."""
        assert self.result.train_loss is not None, "a diverged run has no measures"
        return self.result.train_loss

    @cached_property
    def variants(self) -> Variants:
        """Evaluates copies of the folded network with other weights on the training set."""
        return Variants(self.folded, self.data.train_images, self.data.train_labels)

    @cached_property
    def weights(self) -> Weights:
        """The prunable weights as trained, BatchNorm not folded: their magnitudes decide which go."""
        return prunable(self.network)

    @cached_property
    def weight_count(self) -> int:
        """d, the number of prunable weights."""
        return sum(weight.numel() for weight in self.weights.values())

    @cached_property
    def magnitude_prunability(self) -> dict[Tolerance, float]:
        """Prunability with the magnitude pruner over the whole sweep of tolerances."""
        return self.prunability("magnitude", SWEEP)[0]

    def prunability(
        self, pruner: Pruner, tolerances: Sequence[Tolerance], generators: Sequence[Generator | None] = (None,)
    ) -> tuple[dict[Tolerance, float], Scan]:
        """Prunability of the folded network, the trained weights' magnitudes deciding; the screen is noted."""
        found, scan = prunability(
            self.variants, self.train_loss, pruner, tolerances, generators, ranked=self.weights
        )
        self.screens[pruner] = scan.share
        return found, scan


class Estimated(NamedTuple):
    """A value that random draws estimate, with the standard error of that estimate, in the same unit."""

    value: float
    standard_error: float


def standard_error(draws: Sequence[float]) -> float:
    """Of the mean of independent draws: their standard deviation over the root of their number."""
    return torch.tensor(draws, dtype=torch.float64).std().item() / math.sqrt(len(draws))


Function = Callable[[TrainedRun], Mapping[str, float | Estimated]]


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


Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def shared(
    function: Callable[Concatenate[TrainedRun, Arguments], Answer],
) -> Callable[Concatenate[TrainedRun, Arguments], Answer]:
    """Let a function of a run, which several measures need, be computed once for each run."""

    @wraps(function)
    def once(run: TrainedRun, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        key = (function.__module__, function.__qualname__, args, tuple(sorted(kwargs.items())))
        if key not in run.cache:
            run.cache[key] = function(run, *args, **kwargs)
        answer: Answer = run.cache[key]
        return answer

    return once
