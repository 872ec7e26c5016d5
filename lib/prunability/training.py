"""Training of one network: SGD with momentum to a target cross-entropy."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from prunability.config import RunConfig
from prunability.data import Dataset
from prunability.networks import Network, make_network
from prunability.seeding import generator, seed_for

# Below this mean of an epoch's minibatch losses the whole training set is evaluated (in nats).
CHECK_BELOW = 0.1
# Pixels of the images evaluated together: on a CPU so few that their activations stay in its cache. With
# gradients, which keep the activations, half of that.
EVALUATION_PIXELS = {"cpu": 2**17, "cuda": 2**23}
DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}

State = dict[str, Tensor]


@dataclass(frozen=True)
class Result:
    """How a training ended. Losses are mean cross-entropies in nats, errors fractions; None if diverged.

    ``curve`` holds, an epoch each, the mean of the minibatch losses and, where the stopping rule asked for
    it, the loss over the training set in evaluation mode. ``sum_of_training_losses`` is over all steps.
    """

    status: Literal["converged", "not converged", "diverged"]
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


def train(config: RunConfig, data: Dataset) -> tuple[State, State, Result]:
    """Train one network and return its initial and final state (on the CPU) and how it ended.

    SGD with momentum, constant learning rate, weight decay on every parameter, no augmentation; an epoch
    uses as many full batches as there are. After an epoch whose mean minibatch loss is below 0.1 nats the
    training set is evaluated, and training stops as *converged* once that loss is at most the target
    (Jiang et al. 2020; Dziugaite et al. 2020). Training also stops at the epoch limit (*not converged*)
    and when a loss is no longer finite (*diverged*). Forward passes of the training steps run in the
    configuration's precision; every evaluation runs in float32, in float64 if that is the precision.
    """
    device = data.train_images.device
    network = build(config, data.train_images.shape[1:], data.classes).to(device)
    initial = _copy(network)
    rules = config.training
    optimiser = torch.optim.SGD(
        network.parameters(), rules.learning_rate, rules.momentum, weight_decay=rules.weight_decay, fused=True
    )
    curve: list[tuple[float | None, float | None]] = []
    total, steps = 0.0, 0
    status: Literal["converged", "not converged", "diverged"] = "not converged"
    for epoch in range(rules.max_epochs):
        losses = _epoch(network, optimiser, config, data, epoch)
        total += losses.sum().item()
        steps += len(losses)
        running = losses.mean().item()
        if not math.isfinite(running):
            status = "diverged"
            curve.append((None, None))
            break
        loss = mean_loss(network, data.train_images, data.train_labels) if running < CHECK_BELOW else None
        curve.append((running, loss))
        if loss is not None and loss <= rules.target_loss:
            status = "converged"
            break
    reason = {
        "converged": f"training loss at most {rules.target_loss} nats",
        "not converged": f"epoch limit of {rules.max_epochs} reached",
        "diverged": "a training loss was not finite",
    }[status]
    train_loss, train_error = _evaluate(network, data.train_images, data.train_labels)
    test_loss, test_error = _evaluate(network, data.test_images, data.test_labels)
    if train_loss is None or test_loss is None:
        status, reason = "diverged", "a loss was not finite"
    result = Result(
        status, reason, len(curve), steps, total if math.isfinite(total) else None,
        train_loss, train_error, test_loss, test_error, curve,
    )  # fmt: skip
    return initial, _copy(network), result


def _epoch(
    network: Network, optimiser: torch.optim.Optimizer, config: RunConfig, data: Dataset, epoch: int
) -> Tensor:
    """One pass over the training set; returns the minibatch losses [steps] in float64."""
    images, labels, batch = data.train_images, data.train_labels, config.training.batch_size
    order = torch.randperm(len(labels), generator=generator(*config.seed_key("data order"), epoch))
    noise = generator(*config.seed_key("dropout"), epoch)
    order = order.to(images.device)
    losses = []
    network.train()
    for index in order[: len(order) // batch * batch].split(batch):
        masks = [mask.to(images.device) for mask in network.dropout_masks(images[index].shape, noise)]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=config.training.precision == "bfloat16"):
            loss = F.cross_entropy(network(images[index], masks), labels[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses).double()


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


def _evaluate(network: Network, images: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Mean cross-entropy in nats and fraction of errors, both None where the loss is not finite."""
    outputs = logits(network, images).double()
    loss = F.cross_entropy(outputs, labels).item()
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
