"""Training many networks of one shape as one batched computation."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunability.data.dataset import Dataset
from prunability.training import checkpoints
from prunability.training.attack import TrainingAttack
from prunability.training.augmentation import augmented
from prunability.training.checkpoints import EPOCHS_LEFT, OutOfTimeError, Place, keep, resume
from prunability.training.config import RunConfig, shape_of
from prunability.training.course import Course, Result, cross_entropies, parts
from prunability.training.cuda_graph import Captured, capture, captures
from prunability.training.dropout import dropout_mask, places
from prunability.training.loop import DTYPES, Starts, State, begun, build, draws_of, evaluation_batch, no_starts
from prunability.training.losses import MEMORY, first_memory, objective
from prunability.training.stopping import judge
from prunability.training.updates import stacked, update

# Examples that a fleet evaluates together, on a CPU.
CHUNK = 128
# The parts of a member's checkpoint.
KEPT = ("weights", "taken", "moments", "buffers", "seconds")


class Trained(NamedTuple):
    """A finished training; ``seconds`` is the network's share of the time its fleet took."""

    config: RunConfig
    initial: State
    final: State
    result: Result
    seconds: float


@dataclass
class Member:
    """A network in training."""

    config: RunConfig
    initial: State
    course: Course
    mask: State
    seconds: float = 0.0


def train_fleet(
    configs: Sequence[RunConfig],
    data: Dataset,
    size: int,
    checkpoint: Place | None = None,
    until: float = math.inf,
    starts: Starts = no_starts,
) -> Iterator[Trained]:
    """Train networks of one shape, at most ``size`` at a time; yields each one as soon as it ends.

    Each is trained as :func:`prunability.training.loop.train` would train it alone, to rounding: same initial
    weights, data order and dropout noise, same rule of stopping. A network that has ended leaves after that
    part of the epoch; with the next epoch one that waits takes its place.

    ``checkpoint`` says where each keeps what it has reached, every few minutes and ``until`` that time, by
    :func:`time.monotonic`; each goes on from there in any fleet. ``starts`` say where runs with an origin begin.

    Raises:
        ValueError: the configurations are not all of one shape.
        OutOfTimeError: some have not ended by ``until``; what they have reached is kept.
    """
    if len({shape_of(config) for config in configs}) > 1:
        raise ValueError("a fleet's networks must share data, architecture, optimiser and all else of `shape_of`")
    if not configs:
        return
    waiting, fleet = list(configs), Fleet(configs[0], data)
    written = time.monotonic()
    while waiting or fleet.members:
        start = time.monotonic()
        entering = [waiting.pop(0) for _ in range(min(len(waiting), size - len(fleet.members)))]
        fleet.enter(entering, checkpoint, starts)
        yield from fleet.epoch()
        now = time.monotonic()
        yield from fleet.leave()
        late = now + EPOCHS_LEFT * (now - start) > until
        if checkpoint is not None and (late or now - written > checkpoints.EVERY):
            fleet.keep(checkpoint)
            written = now
        if late and (waiting or fleet.members):
            raise OutOfTimeError


class Fleet:
    """Networks of one shape in training. Row m of each tensor belongs to the m-th member.

    ``weights`` holds every parameter of a network in a row [M, ω]; the parameters of ``network`` are views
    of it, so that all are updated at once.
    """

    def __init__(self, config: RunConfig, data: Dataset) -> None:
        self.data, self.shape = data, data.train_images.shape[1:]
        self.device, self.dtype = data.train_images.device, DTYPES[config.training.precision]
        self.batch_size = config.training.batch_size
        self.attack = TrainingAttack(config, data, fleet=True)
        self.autocast = config.training.precision == "bfloat16"
        self.network = build(config, self.shape, data.classes).to(self.device)
        self.names = list(self.network.state_dict())
        self.parts = {name: tensor.shape for name, tensor in self.network.named_parameters()}
        self.members: list[Member] = []
        self.captured: Captured | None = None
        self.captures = captures(self.device)
        self.weights = torch.empty(0, sum(shape.numel() for shape in self.parts.values())).to(data.train_images)
        # Of each parameter: SGD's momentum, or Adam's two moments; of each network: how many steps it took.
        count = 2 if config.training.optimiser == "adam" else 1
        self.moments = [torch.empty_like(self.weights) for _ in range(count)]
        self.taken = torch.empty(0, 1, dtype=torch.float64, device=self.device)
        self.memory = first_memory(config.training, data.train_labels, data.classes)
        self.buffers = {name: t[None][:0] for name, t in (*self.network.named_buffers(), *self.memory.items())}

    def enter(
        self, configs: Sequence[RunConfig], checkpoint: Place | None = None, starts: Starts = no_starts
    ) -> None:
        """Add networks, untrained or as far as their checkpoints say."""
        if not configs:
            return
        states = []
        for config in configs:
            state, mask = begun(config, self.shape, self.data.classes, starts)
            initial = {name: tensor.clone() for name, tensor in state.items()}
            self.members.append(Member(config, initial, Course(config), mask))
            states.append(state | self.memory)
        fresh = torch.stack([torch.cat([state[name].flatten() for name in self.parts]) for state in states])
        self.weights = torch.cat([self.weights, fresh.to(self.device)])
        zeros = torch.zeros_like(fresh, device=self.device)
        self.moments = [torch.cat([known, zeros]) for known in self.moments]
        self.taken = torch.cat([self.taken, zeros[:, :1].double()])
        for name, known in self.buffers.items():
            self.buffers[name] = torch.cat([known, torch.stack([s[name] for s in states]).to(self.device)])
        for row, member in enumerate(self.members):
            if member.course.curve or checkpoint is None:
                continue
            if kept := resume(checkpoint(member.config), member.config, member.course, KEPT):
                self.weights[row], self.taken[row] = kept["weights"], kept["taken"]
                for moment, own in zip(self.moments, kept["moments"], strict=True):
                    moment[row] = own
                for name, own in kept["buffers"].items():
                    self.buffers[name][row] = own
                member.seconds = kept["seconds"]
        self._bind()

    def keep(self, checkpoint: Place) -> None:
        """Write what each member has reached."""
        for row, member in enumerate(self.members):
            parts = (self.weights, self.taken, *self.moments)
            weights, taken, *moments = (tensor[row].cpu().clone() for tensor in parts)
            buffers = {name: tensor[row].cpu().clone() for name, tensor in self.buffers.items()}
            values = (weights, taken, moments, buffers, member.seconds)
            keep(checkpoint(member.config), member.config, member.course, dict(zip(KEPT, values, strict=True)))

    def leave(self) -> list[Trained]:
        """Take out the networks whose training has ended."""
        ended = [row for row, member in enumerate(self.members) if member.course.status is not None]
        if not ended:
            return []
        of_train, of_test = (self.logits(ended, x) for x in (self.data.train_images, self.data.test_images))
        trained = []
        for place, row in enumerate(ended):
            member = self.members[row]
            result = member.course.result(of_train[place], self.data, of_test[place])
            trained.append(Trained(member.config, member.initial, self._state(row), result, member.seconds))
        stay = [row for row in range(len(self.members)) if row not in ended]
        self.members = [self.members[row] for row in stay]
        self.weights, self.taken = self.weights[stay], self.taken[stay]
        self.moments = [known[stay] for known in self.moments]
        self.buffers = {name: tensor[stay] for name, tensor in self.buffers.items()}
        self._bind()
        return trained

    def epoch(self) -> list[Trained]:
        """Every network passes over the training set, in its own order, and is judged.

        Returns those that ended before the last part; those that ended with it are still to leave.
        """
        since, gone = time.monotonic(), list[Trained]()
        draws = self._draws()
        steps = draws[0].shape[1]
        for part in parts(steps, close=any(member.course.close for member in self.members)):
            if ended := [row for row, member in enumerate(self.members) if member.course.status is not None]:
                stay = [row for row in range(len(self.members)) if row not in ended]
                gone, draws = gone + self.leave(), [draw[stay] for draw in draws]
            if self.members:
                self._part([draw[:, part] for draw in draws], whole=part.stop == steps)
            now = time.monotonic()
            for member in self.members:
                member.seconds += (now - since) / len(self.members)
            since = now
        return gone

    def first_step(self) -> None:
        """Take the first step of an epoch, to see what a step takes."""
        self.network.train()
        self.step(*(draw[:, 0] for draw in self._draws()))

    def _draws(self) -> list[Tensor]:
        """What :func:`draws_of` says of each member's epoch, [M, steps, ...]."""
        own = [draws_of(m.config, m.course.epoch, len(self.numbers), self.shape) for m in self.members]
        return [torch.stack(kind).to(self.device) for kind in zip(*own, strict=True)]

    def _part(self, draws: Sequence[Tensor], *, whole: bool) -> None:
        """Take the steps that these are the draws of, [M, steps, ...] each, and judge the networks."""
        self.network.train()
        steps = [self.step(*(draw[:, step] for draw in draws)) for step in range(draws[0].shape[1])]
        found = zip(self.members, draws[0].cpu(), torch.stack(steps, dim=1).cpu(), strict=True)
        judged = [row for row, (member, *own) in enumerate(found) if member.course.took(*own, whole=whole)]
        if judged:
            courses = [self.members[row].course for row in judged]
            judge(courses, lambda chosen, index: self._losses([judged[row] for row in chosen], index))

    def _losses(self, rows: Sequence[int], index: Tensor | None) -> Tensor:
        """What examples cost in nats, float64 [rows, examples]; ``index`` [rows, examples], else all."""
        images, labels = self.data.train_images, self.data.train_labels.expand(len(rows), -1)
        if index is not None:
            index = index.to(self.device)
            images, labels = images[index], self.data.train_labels[index]
        return cross_entropies(self.logits(rows, images), labels)

    @torch.no_grad()
    def logits(self, rows: Sequence[int], images: Tensor) -> Tensor:
        """Logits [rows, N, classes] in evaluation mode, of images [N, channels, H, W] or [rows, N, ...]."""
        self.network.eval()
        chosen = {name: tensor[rows] for name, tensor in self.network.state_dict().items()}
        last = images.movedim(1, -1) if images.dim() == 5 else images.movedim(0, -1)[None]
        size = max(CHUNK, evaluation_batch(images) // len(rows)) if images.is_cuda else CHUNK
        return torch.cat(
            [functional_call(self.network, chosen, (part,)).mT for part in last.split(size, -1)], dim=1
        )

    def step(self, index: Tensor, keys: Tensor, moved: Tensor, pace: Tensor) -> Tensor:
        """One step of every network on the examples at ``index`` [M, B]; returns their losses [M, B].

        ``keys`` [M, layers, 2] are those of noise, ``moved`` [M, B, 3] say how the examples are augmented, ``pace``
        [M] multiplies learning rates. On a GPU the step is captured as a graph when it is first taken, and then
        replayed; where it cannot be, its kernels are launched one by one.
        """
        if self.captures and self.captured is None:
            state = [self.weights, self.taken, *self.moments, *self.buffers.values()]
            self.captured = capture(self._step, state, index, keys, moved, pace)
            self.captures = self.captured is not None
        return (self.captured or self._step)(index, keys, moved, pace)

    def _step(self, index: Tensor, keys: Tensor, moved: Tensor, pace: Tensor) -> Tensor:
        x = augmented(self.data.train_images[index.flatten()], moved.flatten(0, 1))
        labels = self.data.train_labels[index]
        masks = [dropout_mask(keys[:, layer], self.dropout, numbers) for layer, numbers in enumerate(self.numbers)]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            x = self.attack(self.network, x.unflatten(0, index.shape).movedim(1, -1), labels, keys)
            outputs = self.network(x, masks)
            losses = F.cross_entropy(outputs, labels, reduction="none")
            costs = objective(self.members[0].config.training, outputs, losses, self.buffers.get(MEMORY), index)
        found = torch.autograd.grad(costs.mean(dim=1).sum(), list(self.network.parameters()))
        gradient = torch.cat([part.flatten(1) for part in found], dim=1)
        if self.mask is not None:
            gradient.mul_(self.mask)
        update(self.weights, gradient, self.moments, self.taken, self.rate * pace[:, None], self.decay, self.factor)
        return losses.detach()

    def _bind(self) -> None:
        """Let the network's parameters and statistics be those of the members there are now."""
        self.captured = None
        place = 0
        for name, shape in self.parts.items():
            owner, _, own = name.rpartition(".")
            view = self.weights[:, place : place + shape.numel()].unflatten(1, shape)
            setattr(self.network.get_submodule(owner), own, nn.Parameter(view))
            place += shape.numel()
        for name, tensor in self.buffers.items():
            owner, _, own = name.rpartition(".")
            setattr(self.network.get_submodule(owner), own, tensor)
        masks = [member.mask for member in self.members]
        self.mask = stacked(masks, self.parts).to(self.weights) if any(masks) else None
        rules = [member.config.training for member in self.members]
        self.rate = self._column([rule.learning_rate for rule in rules])
        self.decay = self._column([rule.weight_decay for rule in rules])
        self.factor = self._column([rule.momentum for rule in rules])
        rates = [member.config.dropout for member in self.members]
        self.dropout = self._column(rates)[:, 0]
        shapes = self.network.dropout_shapes(self.shape) if any(rates) else []
        self.numbers = [places(shape, self.batch_size, True, self.device) for shape in shapes]

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)[:, None]

    def _state(self, row: int) -> State:
        state = self.network.state_dict()
        return {name: state[name][row].cpu().clone() for name in self.names}
