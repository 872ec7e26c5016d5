"""How a training goes and how it ended: the protocol's stopping rule."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from prunability.config import TrainingConfig
from prunability.data import Dataset

# Below this mean of an epoch's minibatch losses the whole training set is evaluated (in nats).
CHECK_BELOW = 0.1

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


def _evaluate(outputs: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Mean cross-entropy in nats and fraction of errors, both None where the loss is not finite."""
    loss = F.cross_entropy(outputs.double(), labels).item()
    if not math.isfinite(loss):
        return None, None
    return loss, (outputs.argmax(1) != labels).double().mean().item()
