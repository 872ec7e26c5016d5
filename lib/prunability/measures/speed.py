"""Measures of optimisation speed, from the training's own record."""

from prunability.measures.base import Measure, TrainedRun, UndefinedMeasureError, measure


@measure(Measure("sum_of_training_losses", "sum of training losses", "speed", "Lyle et al. 2020; Ru et al. 2020"))
def sum_of_training_losses(run: TrainedRun) -> dict[str, float]:
    """Sum over all steps of the minibatch cross-entropy, in nats."""
    total = run.result.sum_of_training_losses
    if total is None:
        raise UndefinedMeasureError("a training loss was not finite")
    return {"sum_of_training_losses": total}
