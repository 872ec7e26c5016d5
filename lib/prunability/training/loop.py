"""Training of one network: the reference, and what every training shares."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunability.data.dataset import Dataset
from prunability.foundation.defaults import defaults
from prunability.foundation.seeding import generator, seed_for
from prunability.training import checkpoints
from prunability.training.attack import TrainingAttack, step_keys
from prunability.training.augmentation import augmented, moves
from prunability.training.checkpoints import EPOCHS_LEFT, OutOfTimeError, keep, resume
from prunability.training.config import RunConfig, TrainingConfig
from prunability.training.course import Course, Result, cross_entropies, parts
from prunability.training.cuda_graph import Replayed, captures
from prunability.training.dropout import dropout_mask, places
from prunability.training.losses import MEMORY, first_memory, objective
from prunability.training.networks import Network, make_network
from prunability.training.stopping import judge
from prunability.training.warmup import pace

# Pixels of the images evaluated together: on a CPU so few that their activations stay in its cache. With
# gradients, which keep the activations, half of that.
EVALUATION_PIXELS = {"cpu": 2**17, "cuda": 2**22}
# On a CPU, the most pixels of an image with which a fleet is faster than its networks one by one.
LARGEST_IMAGE = 16 * 16
ADAM_BETA2, ADAM_EPS = 0.999, 1e-8
DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}

State = dict[str, Tensor]


class Start(NamedTuple):
    """Where a run begins: its state, and a mask of its weights, 1 or 0; what it does not name is whole."""

    state: State
    mask: State


Starts = Callable[[RunConfig], Start]


def no_starts(config: RunConfig) -> Start:
    """Where nothing is known of other runs.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"run {config.hash} begins where another ended, or with a mask: its start must be given")


def build(config: RunConfig, shape: Sequence[int], classes: int) -> Network:
    """The untrained network of a run for images of ``shape`` [channels, H, W], on the CPU.

    Its draws follow from the run's configuration alone.
    """
    with defaults(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(*config.seed_key("initialisation")))
        network = make_network(config.network, shape, classes)
    network.to(DTYPES[config.training.precision])
    return network.to(memory_format=torch.channels_last)


def begun(config: RunConfig, shape: Sequence[int], classes: int, starts: Starts) -> Start:
    """Where a run begins: with all its weights at its initialisation or, with an origin, where ``starts`` say."""
    if config.origin is None:
        return Start(build(config, shape, classes).state_dict(), {})
    return starts(config)


def train(
    config: RunConfig,
    data: Dataset,
    checkpoint: Path | None = None,
    until: float = math.inf,
    starts: Starts = no_starts,
) -> tuple[State, State, Result]:
    """Train one network and return its initial and final state (on the CPU) and how it ended.

    With a path for a ``checkpoint``, what a long training has reached is written there every few minutes, and
    a training that was killed goes on from it: bit for bit on a CPU, to rounding on a GPU. ``until`` is the
    time, by :func:`time.monotonic`, at which it stops to go on another day.

    SGD with momentum or Adam, constant learning rate once warm, weight decay (L2) on every parameter; an epoch uses
    as many full batches as there are. :class:`Course` says when it stops. Forward passes of the
    training steps run in the configuration's precision; every evaluation runs in float32, in float64 if
    that is the precision. ``starts`` say where a run with an origin begins; weights that are masked there stay 0.

    Raises:
        OutOfTimeError: it has not ended by ``until``; what it has reached is kept.
    """
    device = data.train_images.device
    network = build(config, data.train_images.shape[1:], data.classes).to(device)
    state, mask = begun(config, data.train_images.shape[1:], data.classes, starts)
    network.load_state_dict(state)
    initial = _copy(network)
    course = Course(config)
    optimiser = optimiser_of(network, config.training)
    memory = first_memory(config.training, data.train_labels, data.classes)
    if checkpoint is not None and (kept := resume(checkpoint, config, course, ("network", "optimiser", *memory))):
        network.load_state_dict(kept["network"])
        optimiser.load_state_dict(kept["optimiser"])
        memory = {name: kept[name].to(device) for name in memory}
    step, written = _step_of(network, optimiser, mask, memory.get(MEMORY), config, data), time.monotonic()
    while course.status is None:
        start = time.monotonic()
        for index, losses, whole in _parts(network, step, config, data, course):
            if course.took(index, losses, whole=whole):
                judge([course], lambda _, chosen: _losses(network, data, chosen))
        now = time.monotonic()
        late = now + EPOCHS_LEFT * (now - start) > until
        if course.status is None and checkpoint is not None and (late or now - written > checkpoints.EVERY):
            reached = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
            keep(checkpoint, config, course, reached | memory)
            written = now
        if course.status is None and late:
            raise OutOfTimeError
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


def draws_of(config: RunConfig, epoch: int, layers: int, image: torch.Size) -> tuple[Tensor, ...]:
    """What each step of an epoch is drawn by, [steps, ...]: examples, keys of noise, moves, and the rate's pace."""
    steps = len(order := batches(config, epoch))
    keys = step_keys(config, epoch, steps, layers)
    return order, keys, moves(config, epoch, steps, image), pace(config, epoch, steps)


def _step_of(
    network: Network,
    optimiser: torch.optim.Optimizer,
    mask: State,
    memory: Tensor | None,
    config: RunConfig,
    data: Dataset,
) -> Callable[..., Tensor]:
    """A step on the examples at an index [B], with :func:`step_keys` [layers, 2], moves [B, 3] and pace [].

    It returns their losses [B]. On a GPU it is captured as a graph once the optimiser has, by a first step, what it
    keeps. Weights that the ``mask`` names as 0 have no gradient: from 0 neither optimiser moves them then.
    """
    images, labels = data.train_images, data.train_labels
    device, on_gpu = images.device, images.is_cuda
    shapes = network.dropout_shapes(images.shape[1:]) if config.dropout else []
    kept = [places(shape, config.training.batch_size, False, device) for shape in shapes]
    rates = torch.tensor([config.dropout], dtype=images.dtype, device=device)
    lowered, attack = config.training.precision == "bfloat16", TrainingAttack(config, data, fleet=False)
    masked = [(network.get_parameter(name), own.to(images)) for name, own in mask.items()]

    def step(index: Tensor, keys: Tensor, moved: Tensor, pace: Tensor) -> Tensor:
        masks = [dropout_mask(key[None], rates, numbers)[0] for key, numbers in zip(keys, kept, strict=False)]
        with torch.autocast(device.type, torch.bfloat16, enabled=lowered):
            x = attack(network, augmented(images[index], moved), labels[index], keys[None])
            outputs = network(x, masks)
            own = F.cross_entropy(outputs, labels[index], reduction="none")
            costs = objective(config.training, outputs, own, memory, index)
        optimiser.zero_grad()
        costs.mean().backward()
        for parameter, left in masked:
            assert parameter.grad is not None
            parameter.grad.mul_(left)
        for group in optimiser.param_groups:
            if config.training.warmup_epochs:  # a tensor, for a captured step to read anew
                group["lr"] = pace * config.training.learning_rate
            if "capturable" in group:  # Adam's, which does the same, but wants to be told when it is captured
                group["capturable"] = on_gpu and torch.cuda.is_current_stream_capturing()
        optimiser.step()
        return own.detach()

    def state() -> list[Tensor]:
        of_optimiser = (tensor for own in optimiser.state.values() for tensor in own.values())
        beside = (tensor for tensor in (*of_optimiser, memory) if tensor is not None)
        return [*network.state_dict().values(), *beside]

    return Replayed(step, state) if captures(device) else step


def _parts(
    network: Network, step: Callable[..., Tensor], config: RunConfig, data: Dataset, course: Course
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """One pass over the training set, until the course ends. After each part: its examples, their losses in
    nats, both [steps, batch] on the CPU, and whether it was the last. In between the network may be evaluated.
    """
    image, device = data.train_images.shape[1:], data.train_images.device
    layers = len(network.dropout_shapes(image)) if config.dropout else 0
    order, *others = draws_of(config, course.epoch, layers, image)
    keys, moved, rates = (own.to(device) for own in others)
    if device.type == "cuda":  # whose optimisers read a learning rate in float32
        rates = rates.float()
    for part in parts(len(order), close=course.close):
        network.train()
        draws = zip(order[part].to(device), keys[part], moved[part], rates[part], strict=True)
        yield order[part], torch.stack([step(*own) for own in draws]).cpu(), part.stop == len(order)
        if course.status is not None:
            return


def _losses(network: Network, data: Dataset, index: Tensor | None) -> Tensor:
    """What examples cost in nats in evaluation mode, float64 [1, examples]; ``index`` [1, examples], else all."""
    chosen = slice(None) if index is None else index[0].to(data.train_labels.device)
    return cross_entropies(logits(network, data.train_images[chosen]), data.train_labels[chosen])[None]


@torch.no_grad()
def logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits [N, classes] in evaluation mode."""
    network.eval()
    return torch.cat([network(part) for part in images.split(evaluation_batch(images))])


def evaluation_batch(images: Tensor, *, gradients: bool = False) -> int:
    """How many of images [N, channels, H, W], or of what else a network reads, are best evaluated together."""
    pixels = EVALUATION_PIXELS[images.device.type] // (2 if gradients else 1)
    return max(1, pixels // math.prod(images.shape[2:]))


def _copy(network: Network) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Arithmetic on one core, as PyTorch was installed: sums are then taken in one order, and results are the same
    bit for bit.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with defaults():
            yield
    finally:
        torch.set_num_threads(before)
