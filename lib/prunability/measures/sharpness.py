"""Worst-case sharpness: how far the weights may move in the worst direction within the tolerance."""

import math

import torch
from torch.func import functional_call
from torch.nn import functional as F

from prunability.measures.base import Measure, TrainedRun, UndefinedMeasureError, measure
from prunability.measures.curvature import differentiable
from prunability.measures.output import JIANG
from prunability.pruning import HEADLINE
from prunability.scan import Weights
from prunability.training import evaluation_batch

# Half-widths of the box tried, from the smallest up, three a decade.
RADII = [10 ** (step / 3 - 4.5) for step in range(18)]
# How exactly the last direction is followed to the tolerance, as a share of ε.
PRECISION = 0.002


def worst_direction(run: TrainedRun, moved: Weights) -> tuple[float, Weights]:
    """The mean loss at moved weights, in nats, and the signs of its gradient there."""
    parameters = differentiable(moved)
    images, labels = run.data.train_images, run.data.train_labels
    total = 0.0
    for part in torch.arange(len(labels), device=labels.device).split(evaluation_batch(images, gradients=True)):
        loss = F.cross_entropy(
            functional_call(run.folded, parameters, (images[part],)), labels[part], reduction="sum"
        )
        loss.backward()
        total += loss.item()
    signs = {name: torch.sign(tensor.grad) for name, tensor in parameters.items() if tensor.grad is not None}
    return total / len(labels), signs


@measure(
    Measure(
        "worst_case_sharpness", "worst-case sharpness 1/α²", "flatness",
        f"{JIANG}, sharpness flatness, after Keskar et al. 2017", "1/α²",
    )
)  # fmt: skip
def worst_case_sharpness(run: TrainedRun) -> dict[str, float]:
    """1/α², α the half-width of the smallest box around w in which ascent exceeds L(w) + ε.

    For each half-width the weights go to the corner of the box that the gradient at the corner before
    points to; the gradient there gives the next corner. Towards the first corner beyond the tolerance, α is
    where the loss is L(w) + ε, to 0.2 % of ε. Ascent finds a local maximum, so α is an upper bound of the
    exact one. Undefined if no box of the grid exceeds the tolerance.
    """
    centre, limit = run.parameters, HEADLINE.limit(run.train_loss)

    def corner(signs: Weights, radius: float) -> Weights:
        return {name: torch.add(tensor, signs[name], alpha=radius) for name, tensor in centre.items()}

    _, signs = worst_direction(run, centre)
    for radius in RADII:
        loss, following = worst_direction(run, corner(signs, radius))
        if not loss <= limit:
            break
        signs = following
    else:
        raise UndefinedMeasureError(f"no box of half-width up to {RADII[-1]:.0e} exceeds the tolerance")
    # L is close to quadratic in the radius: regula falsi on its square (Illinois).
    low, high, below, above = 0.0, radius**2, run.train_loss - limit, loss - limit
    excess, middle, side = above, high, 0
    while abs(excess) > PRECISION * HEADLINE.amount and high > low * (1 + PRECISION):
        share = below / (below - above) if math.isfinite(above) else 0.5
        middle = low + (high - low) * min(max(share, 0.01), 0.99)
        excess = run.variants.mean_losses([corner(signs, middle**0.5)]).item() - limit
        if excess <= 0:
            low, below = middle, excess
            above = above / 2 if side < 0 else above
            side = -1
        else:
            high, above = middle, excess
            below = below / 2 if side > 0 else below
            side = 1
    return {"worst_case_sharpness": 1 / middle}
