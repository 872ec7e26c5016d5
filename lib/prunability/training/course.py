"""How a training goes and how it ended: the protocol's stopping rule."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from prunability.data.dataset import Dataset
from prunability.training.config import RunConfig

# Once the loss over the training set was found below this (in nats), every part of an epoch is judged.
CLOSE = 0.05
PARTS = 4

# What is read of a record is checked: a mean cross-entropy, and a fraction of examples.
Loss = Annotated[float, Field(ge=0)] | None
Share = Annotated[float, Field(ge=0, le=1)] | None
Status = Literal["converged", "not converged", "diverged"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a training ended. Losses are mean cross-entropies in nats, errors fractions; None if diverged.

    ``epochs`` counts those begun, ``steps`` those taken: the last epoch may not be whole. ``curve`` holds, an
    epoch each, the mean of the minibatch losses over the steps taken and, where the stopping rule had to know
    it, the loss over the training set in evaluation mode, the last one of the epoch.
    ``sum_of_training_losses`` is over all steps.
    """

    status: Status
    reason: str
    epochs: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(ge=0)]
    sum_of_training_losses: float | None
    train_loss: Loss
    train_error: Share
    test_loss: Loss
    test_error: Share
    curve: list[tuple[float | None, float | None]]


class Course:
    """How far one training is, and when it ends (Jiang et al. 2020; Dziugaite et al. 2020).

    L(w), the loss over the training set, is judged at the end of every epoch and, once it was found below
    0.05 nats, of every quarter of one; training stops as *converged* when it is at most the target. It also
    stops at the epoch limit (*not converged*) and when a loss is no longer finite (*diverged*). A training
    that is not to stop at the target goes on to the epoch limit and is judged only there.

    ``known`` holds the latest known loss of each example, float32 [N]: of a training step or an evaluation.
    """

    def __init__(self, config: RunConfig) -> None:
        self.rules, self.begins = config.training, config.begins
        self.curve: list[tuple[float | None, float | None]] = []
        self.total, self.steps, self.close = 0.0, 0, False
        self.known = torch.zeros(config.data.n_train, dtype=torch.float32)
        self.status: Status | None = None
        self._epoch = torch.zeros(0, dtype=torch.float64)
        self._fresh: list[Tensor] = []

    def took(self, index: Tensor, losses: Tensor, *, whole: bool) -> bool:
        """Take what a part of an epoch found; True if L(w) is to be judged.

        In between judgements nothing happens, so that company that is judged more often changes nothing.

        Args:
            index: the examples of each step, int64 [steps, batch].
            losses: what they cost in nats, [steps, batch].
            whole: whether the epoch is over.
        """
        self.known[index] = losses.float()
        self._fresh.append(losses.double())
        if not (whole or self.close):
            return False
        of_steps, self._fresh = torch.cat(self._fresh).mean(dim=1), []
        self.total += of_steps.sum().item()
        self.steps += len(of_steps)
        if not len(self._epoch):
            self.curve.append((None, None))
        self._epoch = torch.cat([self._epoch, of_steps])
        running = self._epoch.mean().item()
        if whole:
            self._epoch = self._epoch[:0]
        finite = math.isfinite(running)
        self.curve[-1] = (running if finite else None, self.curve[-1][1])
        if not finite:
            self.status = "diverged"
        elif whole and self.epoch == self.rules.max_epochs:
            self.status = "not converged"
        return finite if self.rules.stop_at_target else self.status == "not converged"

    @property
    def epoch(self) -> int:
        """How many epochs were begun, those among them that the run does not repeat but begins after."""
        return self.begins + len(self.curve)

    @property
    def limit(self) -> float:
        """The loss, in nats, above which nothing follows from L(w)."""
        if not self.rules.stop_at_target:
            return math.inf
        return self.rules.target_loss if self.close else max(CLOSE, self.rules.target_loss)

    def evaluated(self, losses: Tensor) -> None:
        """Take the losses of all training examples after the last step in nats, float64 [N]."""
        self.known = losses.float()
        loss = losses.mean().item()
        self.curve[-1] = (self.curve[-1][0], loss if math.isfinite(loss) else None)
        self.close = self.close or loss < CLOSE
        if not math.isfinite(loss):
            self.status = "diverged"
        elif loss <= self.rules.target_loss:
            self.status = "converged"

    def result(self, train_logits: Tensor, data: Dataset, test_logits: Tensor) -> Result:
        """How it ended, with the logits [N, classes] of the final network."""
        assert self.status is not None, "the training has not ended"
        target, most = self.rules.target_loss, self.rules.max_epochs
        reason = {
            "converged": f"training loss at most {target} nats",
            "not converged": f"epoch limit of {most} reached"
            if self.rules.stop_at_target
            else f"training loss above {target} nats after {most} epochs",
            "diverged": "a loss was not finite",
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


def parts(steps: int, *, close: bool) -> list[slice]:
    """The steps of an epoch between judgements: all, or quarters as equal as can be, none of them empty."""
    number = PARTS if close else 1
    ends = sorted({-(-part * steps // number) for part in range(number + 1)})
    return [slice(begin, end) for begin, end in pairwise(ends)]


def cross_entropies(outputs: Tensor, labels: Tensor) -> Tensor:
    """What each example costs in nats, float64 [..., N], from logits [..., N, classes]."""
    losses = F.cross_entropy(outputs.double().flatten(0, -2), labels.flatten(), reduction="none")
    return losses.view(labels.shape)


def _evaluate(outputs: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Mean cross-entropy in nats and fraction of errors, both None where the loss is not finite."""
    loss = cross_entropies(outputs, labels).mean().item()
    if not math.isfinite(loss):
        return None, None
    return loss, error_of(outputs, labels)


def error_of(outputs: Tensor, labels: Tensor) -> float:
    """The fraction of examples whose largest logit, of [N, classes], is not their label's."""
    return (outputs.argmax(1) != labels).double().mean().item()
