"""Prunability with its variants, and the counts of parameters."""

from collections.abc import Sequence

from torch import Generator

from prunability.measures.base import Estimated, Measure, measure, shared, standard_error
from prunability.measures.search import (
    HEADLINE,
    RANDOM_DRAWS,
    RESOLUTION,
    SWEEP,
    TOLERANCES,
    Pruner,
    Tolerance,
)
from prunability.measures.subject import Measurable

SOURCES: dict[Pruner, str] = {
    "magnitude": "Kuhn et al. 2021, abstract",
    "random": "Kuhn et al. 2021, abstract; orders this project's",
    "layerwise": "this project",
}


def name_of(pruner: Pruner, tolerance: Tolerance) -> str:
    """The column of a prunability, such as ``prunability_magnitude_absolute_0.1``."""
    return f"prunability_{pruner}_{tolerance.name}"


def _members(pruner: Pruner, tolerances: tuple[Tolerance, ...]) -> list[Measure]:
    return [
        Measure(
            name_of(pruner, tolerance), f"prunability, {pruner}, {tolerance.label}", "pruning", SOURCES[pruner],
            f"min α: L(φ(w, α)) ≤ {tolerance.formula}", "fraction", of_prunability="variant",
        )
        for tolerance in tolerances
    ]  # fmt: skip


HEADLINE_MEASURE = name_of("magnitude", HEADLINE)


@measure(*_members("magnitude", SWEEP), version=2)
def prunability_magnitude(run: Measurable) -> dict[str, float]:
    """Smallest fraction of weights, largest magnitudes first, that keeps the loss within t(L).

    It is 1 where no smaller fraction does: defined on every network.
    """
    return {name_of("magnitude", tolerance): value for tolerance, value in run.magnitude_prunability.items()}


def orders(run: Measurable, pruner: Pruner) -> Sequence[Generator | None]:
    """What a pruner draws its orders from: five of the random one, nothing for the others."""
    return [run.draws("random pruning", draw) for draw in range(RANDOM_DRAWS)] if pruner == "random" else (None,)


@shared
def random_prunability(run: Measurable) -> dict[Tolerance, Estimated]:
    """Prunability with weights kept in a uniform random order; the loss is the mean over five orders.

    The standard error is that of the mean loss at the answer over the slope from there to the next larger
    fraction whose loss is known. Losses fall ever more slowly there, so this overstates rather than
    understates it; it is 0 where the whole network is the answer.
    """
    found, scan = run.prunability("random", TOLERANCES, orders(run, "random"))
    known = {(level + 1) / RESOLUTION: losses for level, losses in scan.losses.items()}
    mean = {fraction: sum(losses) / len(losses) for fraction, losses in known.items()} | {1.0: run.train_loss}
    answers = {}
    for tolerance, fraction in found.items():
        above = [other for other in mean if other > fraction and mean[other] < mean[fraction]]
        error = 0.0
        if fraction < 1:
            # Without a larger fraction of lower loss the answer is as uncertain as the grid is long.
            slope = (mean[fraction] - mean[min(above)]) / (min(above) - fraction) if above else 0.0
            spread = standard_error(known[fraction])
            error = min(spread / slope, 1 - fraction) if slope else 1 - fraction
        answers[tolerance] = Estimated(fraction, error)
    return answers


@measure(*_members("random", TOLERANCES), version=2)
def prunability_random(run: Measurable) -> dict[str, Estimated]:
    """Smallest fraction of weights, in a uniform random order, that keeps the mean over five orders within t(L).

    Defined on every network.
    """
    return {name_of("random", tolerance): value for tolerance, value in random_prunability(run).items()}


@measure(*_members("layerwise", TOLERANCES), version=2)
def prunability_layerwise(run: Measurable) -> dict[str, float]:
    """Smallest fraction of each tensor's weights, largest magnitudes first, that keeps the loss within t(L).

    Defined on every network.
    """
    found, _ = run.prunability("layerwise", TOLERANCES)
    return {name_of("layerwise", tolerance): value for tolerance, value in found.items()}


@measure(
    Measure(
        "kept_parameter_count", "kept parameters", "pruning", "this project, for claim C2", "α·d", "count",
        of_prunability="made from it",
    ),
    version=2,
)  # fmt: skip
def kept_parameter_count(run: Measurable) -> dict[str, float]:
    """Prunability × d: the number of weights left, the existing kind of pruning-based measure. Always defined."""
    return {"kept_parameter_count": run.magnitude_prunability[HEADLINE] * run.weight_count}


@measure(Measure("prunable_weight_count", "prunable weights", "size", "this project", "d", "count"))
def prunable_weight_count(run: Measurable) -> dict[str, float]:
    """d: every convolution and linear weight. Defined on every network."""
    return {"prunable_weight_count": float(run.weight_count)}


@measure(Measure("parameter_count", "parameters", "size", "Jiang et al. 2020, eq. 20", "ω", "count"))
def parameter_count(run: Measurable) -> dict[str, float]:
    """Trainable parameters: weights, biases and BatchNorm's scales and shifts. Always defined."""
    return {"parameter_count": float(sum(tensor.numel() for tensor in run.network.parameters()))}
