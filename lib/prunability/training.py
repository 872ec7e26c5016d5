"""Training of one network to a target cross-entropy: the reference, and the rule that ends a training."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from prunability.augmentation import augmented, moves
from prunability.config import RunConfig, TrainingConfig
from prunability.data import Dataset
from prunability.dropout import dropout_keys, dropout_mask, places
from prunability.networks import Network, make_network
from prunability.seeding import generator, seed_for

# Below this mean of an epoch's minibatch losses the whole training set is evaluated (in nats).
CHECK_BELOW = 0.1
# Pixels of the images evaluated together: on a CPU so few that their activations stay in its cache. With
# gradients, which keep the activations, half of that.
EVALUATION_PIXELS = {"cpu": 2**17, "cuda": 2**23}
# On a CPU core: the most pixels of an image, and values in the largest maps of all networks together, with
# which a fleet is faster than its networks one by one (``benchmarks/fleets.py`` prints the times).
LARGEST_IMAGE = 16 * 16
LARGEST_MAPS = 2**18
ADAM_BETA2, ADAM_EPS = 0.999, 1e-8
DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}

State = dict[str, Tensor]
Status = Literal["converged", "not converged", "diverged"]


@dataclass(frozen=True)
class Result:
    """How a training ended. Losses are mean cross-entropies in nats, errors fractions; None if diverged.

    ``curve`` holds, an epoch each, the mean of the minibatch losses and, where the stopping rule asked for
    it, the loss over the training set in evaluation mode. ``sum_of_training_losses`` is over all steps.
    """

    status: Status
    reason: str
    epochs: int
    steps: int
    sum_of_training_losses: float | None
    train_loss: float | None
    train_error: float | None
    test_loss: float | None
    test_error: float | None
    curve: list[tuple[float | None, float | None]]


def build(config: RunConfig, shape: Sequence[int], classes: int) -> Network:
    """The untrained network of a run for images of ``shape`` [channels, H, W], on the CPU.

    Its draws follow from the run's configuration alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(*config.seed_key("initialisation")))
        network = make_network(config.network, shape, classes)
    network.to(DTYPES[config.training.precision])
    return network.to(memory_format=torch.channels_last)


class Course:
    """How far one training is, and when it ends (Jiang et al. 2020; Dziugaite et al. 2020).

    After an epoch whose mean minibatch loss is below 0.1 nats the training set is evaluated, and training
    stops as *converged* once that loss is at most the target. It also stops at the epoch limit (*not
    converged*) and when a loss is no longer finite (*diverged*). A training that is not to stop at the
    target goes on to the epoch limit, and only then the training set is evaluated.
    """

    def __init__(self, rules: TrainingConfig) -> None:
        self.rules = rules
        self.curve: list[tuple[float | None, float | None]] = []
        self.total, self.steps = 0.0, 0
        self.status: Status | None = None

    def epoch_done(self, losses: Tensor) -> bool:
        """Take an epoch's minibatch losses [steps], float64; True if the training set is to be evaluated."""
        self.total += losses.sum().item()
        self.steps += len(losses)
        running = losses.mean().item()
        finite = math.isfinite(running)
        self.curve.append((running if finite else None, None))
        if not finite:
            self.status = "diverged"
        elif len(self.curve) == self.rules.max_epochs:
            self.status = "not converged"
        if not self.rules.stop_at_target:
            return self.status == "not converged"
        return finite and running < CHECK_BELOW

    def evaluated(self, loss: float) -> None:
        """Take the loss over the training set after the last epoch, in nats."""
        self.curve[-1] = (self.curve[-1][0], loss if math.isfinite(loss) else None)
        if loss <= self.rules.target_loss:
            self.status = "converged"

    def result(self, train_logits: Tensor, data: Dataset, test_logits: Tensor) -> Result:
        """How it ended, with the logits [N, classes] of the final network."""
        assert self.status is not None, "the training has not ended"
        target, most = self.rules.target_loss, self.rules.max_epochs
        reason = {
            "converged": f"training loss at most {target} nats",
            "not converged": f"training loss above {target} nats after {most} epochs",
            "diverged": "a training loss was not finite",
        }[self.status]
        train_loss, train_error = _evaluate(train_logits, data.train_labels)
        test_loss, test_error = _evaluate(test_logits, data.test_labels)
        status = self.status
        if train_loss is None or test_loss is None:
            status, reason = "diverged", "a loss was not finite"
        return Result(
            status, reason, len(self.curve), self.steps, self.total if math.isfinite(self.total) else None,
            train_loss, train_error, test_loss, test_error, self.curve,
        )  # fmt: skip


def train(config: RunConfig, data: Dataset) -> tuple[State, State, Result]:
    """Train one network and return its initial and final state (on the CPU) and how it ended.

    SGD with momentum or Adam, constant learning rate, weight decay (L2) on every parameter; an epoch uses as
    many full batches as there are. :class:`Course` says when it stops. Forward passes of the
    training steps run in the configuration's precision; every evaluation runs in float32, in float64 if
    that is the precision.
    """
    device = data.train_images.device
    network = build(config, data.train_images.shape[1:], data.classes).to(device)
    initial = _copy(network)
    course = Course(config.training)
    optimiser = optimiser_of(network, config.training)
    while course.status is None:
        if course.epoch_done(_epoch(network, optimiser, config, data, len(course.curve))):
            course.evaluated(mean_loss(network, data.train_images, data.train_labels))
    result = course.result(logits(network, data.train_images), data, logits(network, data.test_images))
    return initial, _copy(network), result


def optimiser_of(network: Network, rules: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that a configuration asks for."""
    if rules.optimiser == "adam":
        betas = (rules.momentum, ADAM_BETA2)
        return torch.optim.Adam(
            network.parameters(), rules.learning_rate, betas, ADAM_EPS, rules.weight_decay, fused=True
        )
    return torch.optim.SGD(
        network.parameters(), rules.learning_rate, rules.momentum, weight_decay=rules.weight_decay, fused=True
    )


def batches(config: RunConfig, epoch: int) -> Tensor:
    """The examples of each step of an epoch, int64 [steps, batch]: as many full batches as there are."""
    count, batch = config.data.n_train, config.training.batch_size
    order = torch.randperm(count, generator=generator(*config.seed_key("data order"), epoch))
    return order[: count // batch * batch].view(-1, batch)


def _epoch(
    network: Network, optimiser: torch.optim.Optimizer, config: RunConfig, data: Dataset, epoch: int
) -> Tensor:
    """One pass over the training set; returns the minibatch losses [steps] in float64."""
    images, labels = data.train_images, data.train_labels
    order = batches(config, epoch).to(images.device)
    shapes = network.dropout_shapes(images.shape[1:]) if config.dropout else []
    kept = [places(shape, order.shape[1], False, images.device) for shape in shapes]
    keys = dropout_keys(config, epoch, len(order), len(shapes)).to(images.device)
    rates = torch.tensor([config.dropout], dtype=images.dtype, device=images.device)
    losses = []
    network.train()
    moved = moves(config, epoch, len(order), images.shape).to(images.device)
    for index, step_keys, step_moves in zip(order, keys, moved, strict=True):
        masks = [dropout_mask(key[None], rates, numbers)[0] for key, numbers in zip(step_keys, kept, strict=True)]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=config.training.precision == "bfloat16"):
            loss = F.cross_entropy(network(augmented(images[index], step_moves), masks), labels[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses).double().cpu()


@torch.no_grad()
def logits(network: Network, images: Tensor) -> Tensor:
    """Logits [N, classes] in evaluation mode."""
    network.eval()
    return torch.cat([network(part) for part in images.split(evaluation_batch(images))])


def evaluation_batch(images: Tensor, *, gradients: bool = False) -> int:
    """How many of images [N, channels, H, W] are best evaluated together."""
    pixels = EVALUATION_PIXELS[images.device.type] // (2 if gradients else 1)
    return max(1, pixels // (images.shape[-2] * images.shape[-1]))


def mean_loss(network: Network, images: Tensor, labels: Tensor) -> float:
    """L(w): the mean cross-entropy in nats, in evaluation mode."""
    return F.cross_entropy(logits(network, images).double(), labels).item()


def _evaluate(outputs: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Mean cross-entropy in nats and fraction of errors, both None where the loss is not finite."""
    loss = F.cross_entropy(outputs.double(), labels).item()
    if not math.isfinite(loss):
        return None, None
    return loss, (outputs.argmax(1) != labels).double().mean().item()


def _copy(network: Network) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Arithmetic on one core: sums are then taken in one order, so results are the same bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
