"""Measures of optimisation speed, from the training's own record; they cost no pass."""

from prunability.measures.base import Measure, measure
from prunability.measures.subject import Measurable, UndefinedMeasureError

RU = "Ru et al. 2021"
# Weight of an epoch against the one after it, as Ru et al. 2021 set it.
DECAY = 0.999


def epoch_losses(run: Measurable) -> list[float]:
    """The mean of the minibatch losses of each whole epoch, in nats.

    Ru et al. sum over epochs of a fixed number of steps; where training stopped inside one, that one is left
    out. There is a whole one before it: the first is never stopped.

    Raises:
        UndefinedMeasureError: one was not finite.
    """
    result, steps = run.training
    losses = [running for running, _ in result.curve if running is not None]
    if len(losses) < len(result.curve):
        raise UndefinedMeasureError("a training loss was not finite")
    return losses[:-1] if result.steps % steps else losses


@measure(
    Measure(
        "sum_of_training_losses",
        "sum of training losses",
        "speed",
        "Lyle et al. 2020; Ru et al. 2021",
        "Σ_t ℓ_t over steps",
        "nats",
    )
)
def sum_of_training_losses(run: Measurable) -> dict[str, float]:
    """Sum over all steps of the minibatch cross-entropy. Undefined where one was not finite."""
    total = run.training.result.sum_of_training_losses
    if total is None:
        raise UndefinedMeasureError("a training loss was not finite")
    return {"sum_of_training_losses": total}


@measure(
    Measure(
        "training_losses_of_last_epoch", "training losses, last epoch", "speed", f"{RU}, TSE-E with E = 1",
        "mean ℓ_t over the last whole epoch", "nats",
    ),
    Measure(
        "training_losses_moving_average", "training losses, moving average", "speed", f"{RU}, TSE-EMA",
        "Σ_e γ^(E−e) · mean ℓ_t over whole epoch e, γ = 0.999", "nats",
    ),
)  # fmt: skip
def training_speed_estimates(run: Measurable) -> dict[str, float]:
    """The last whole epoch's mean loss, and the sum over whole epochs with weights that fade into the past.

    Undefined where a training loss was not finite.
    """
    losses = epoch_losses(run)
    fading = sum(loss * DECAY ** (len(losses) - epoch) for epoch, loss in enumerate(losses, 1))
    return {"training_losses_of_last_epoch": losses[-1], "training_losses_moving_average": fading}


@measure(
    Measure(
        "steps_to_target",
        "steps to target loss",
        "speed",
        "Jiang et al. 2020, optimization-based measures",
        "steps",
        "steps",
    )
)
def steps_to_target(run: Measurable) -> dict[str, float]:
    """Optimisation steps until the target loss was reached. Undefined where it was not."""
    if run.training.result.status != "converged":
        raise UndefinedMeasureError("the target loss was not reached")
    return {"steps_to_target": float(run.training.result.steps)}
