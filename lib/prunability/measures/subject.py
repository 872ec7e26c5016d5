"""What measures are taken of: a trained network with its data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from torch import Generator, Tensor, nn

from prunability.data.dataset import Dataset
from prunability.foundation.seeding import generator
from prunability.measures.scan import Scan
from prunability.measures.search import SWEEP, Pruner, Tolerance, prunabilities, prunable
from prunability.measures.variants import Variants, Weights
from prunability.training.config import RunConfig
from prunability.training.course import Result
from prunability.training.loop import State, build, logits
from prunability.training.networks import Network, folded


class UndefinedMeasureError(Exception):
    """A measure has no value on this network; the message says why. It is recorded, never a silent NaN."""


class Training(NamedTuple):
    """How a network was trained, as far as measures ask."""

    result: Result
    steps_an_epoch: int


class Measurable:
    """A trained network with its data, as measures see it; what several of them need is computed once.

    Where the network comes from, :class:`TrainedRun` and :class:`prunability.measures.own.OwnNetwork` say. What is
    not known of it raises an :class:`UndefinedMeasureError`.
    """

    data: Dataset

    @property
    def network(self) -> nn.Module:
        """The trained network in evaluation mode."""
        raise NotImplementedError

    @property
    def folded(self) -> nn.Module:
        """The trained network with BatchNorm folded away."""
        raise NotImplementedError

    @property
    def folded_initial(self) -> nn.Module:
        """The network at initialisation, BatchNorm folded away."""
        raise NotImplementedError

    @property
    def train_loss(self) -> float:
        """L(w) in nats."""
        raise NotImplementedError

    @property
    def training(self) -> Training:
        """How it was trained."""
        raise NotImplementedError

    def draws(self, purpose: str, *more: int) -> Generator:
        """The random draws of this network for one purpose."""
        raise NotImplementedError

    def piecewise_linear(self) -> None:
        """See that the logits are piecewise linear in every single weight and bias, as our networks' are."""

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """What :func:`shared` functions gave."""
        return {}

    @cached_property
    def screens(self) -> dict[str, float | None]:
        """Of each search the share of a sum of losses that bfloat16 was trusted to; None where it did not look."""
        return {}

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
        found, scan = prunabilities(
            self.variants, self.train_loss, pruner, tolerances, generators, ranked=self.weights
        )
        self.screens[pruner] = scan.share
        return found, scan


@dataclass
class TrainedRun(Measurable):
    """A network that was trained as its configuration says."""

    config: RunConfig
    data: Dataset
    initial: State
    final: State
    result: Result

    def _network(self, state: State) -> Network:
        network = build(self.config, self.data.train_images.shape[1:], self.data.classes)
        network.load_state_dict(state)
        return network.to(self.data.train_images.device).eval()

    @cached_property
    def network(self) -> Network:  # noqa: D102
        return self._network(self.final)

    @cached_property
    def folded(self) -> Network:  # noqa: D102
        return folded(self.network)

    @cached_property
    def folded_initial(self) -> Network:  # noqa: D102
        return folded(self._network(self.initial))

    @property
    def train_loss(self) -> float:  # noqa: D102
        assert self.result.train_loss is not None, "a diverged run has no measures"
        return self.result.train_loss

    @property
    def training(self) -> Training:  # noqa: D102
        return Training(self.result, self.config.data.n_train // self.config.training.batch_size)

    def draws(self, purpose: str, *more: int) -> Generator:  # noqa: D102
        return generator(*self.config.seed_key(purpose), *more)
