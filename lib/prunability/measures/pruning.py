"""Prunability with its variants, and the counts of parameters."""

from prunability.measures.base import Measure, TrainedRun, measure
from prunability.pruning import HEADLINE, RANDOM_DRAWS, SWEEP, TOLERANCES, Pruner, Tolerance, prunability
from prunability.seeding import generator

KUHN = "Kuhn et al. 2021 (in words)"


def name_of(pruner: Pruner, tolerance: Tolerance) -> str:
    """The column of a prunability, such as ``prunability_magnitude_absolute_0.1``."""
    return f"prunability_{pruner}_{tolerance.name}"


def _members(pruner: Pruner, tolerances: tuple[Tolerance, ...]) -> list[Measure]:
    return [
        Measure(name_of(pruner, tolerance), f"prunability, {pruner}, {tolerance.label}", "pruning", KUHN)
        for tolerance in tolerances
    ]


HEADLINE_MEASURE = name_of("magnitude", HEADLINE)


@measure(*_members("magnitude", SWEEP))
def prunability_magnitude(run: TrainedRun) -> dict[str, float]:
    """Smallest fraction of weights, largest magnitudes first, that keeps the loss within t(L)."""
    return {name_of("magnitude", tolerance): value for tolerance, value in run.magnitude_prunability.items()}


@measure(*_members("random", TOLERANCES))
def prunability_random(run: TrainedRun) -> dict[str, float]:
    """The same for weights kept in a uniform random order; the loss is the mean over five orders."""
    draws = [generator(*run.config.seed_key("random pruning"), draw) for draw in range(RANDOM_DRAWS)]
    found, _ = prunability(run.variants, run.train_loss, "random", TOLERANCES, draws)
    return {name_of("random", tolerance): value for tolerance, value in found.items()}


@measure(*_members("layerwise", TOLERANCES))
def prunability_layerwise(run: TrainedRun) -> dict[str, float]:
    """The same for the largest magnitudes within each tensor, one fraction for all tensors."""
    found, _ = prunability(run.variants, run.train_loss, "layerwise", TOLERANCES)
    return {name_of("layerwise", tolerance): value for tolerance, value in found.items()}


@measure(Measure("kept_parameter_count", "kept parameters", "pruning", "this project, for claim C2"))
def kept_parameter_count(run: TrainedRun) -> dict[str, float]:
    """Prunability × d: the number of weights left, the existing kind of pruning-based measure."""
    return {"kept_parameter_count": run.magnitude_prunability[HEADLINE] * run.weight_count}


@measure(Measure("prunable_weight_count", "prunable weights", "size", "this project"))
def prunable_weight_count(run: TrainedRun) -> dict[str, float]:
    """d: every convolution and linear weight."""
    return {"prunable_weight_count": float(run.weight_count)}


@measure(Measure("parameter_count", "parameters", "size", "Jiang et al. 2020, eq. 20"))
def parameter_count(run: TrainedRun) -> dict[str, float]:
    """Trainable parameters: weights, biases and BatchNorm's scales and shifts."""
    return {"parameter_count": float(sum(tensor.numel() for tensor in run.network.parameters()))}
