"""Worst-case sharpness: how far the weights may move in the worst direction within the tolerance."""

import math
from dataclasses import dataclass

import torch
from torch.func import functional_call
from torch.nn import functional as F

from prunability.measures.base import Measure, measure, shared
from prunability.measures.output import JIANG
from prunability.measures.search import HEADLINE
from prunability.measures.subject import Measurable, UndefinedMeasureError
from prunability.measures.variants import Weights
from prunability.training.loop import evaluation_batch

# Half-widths of the box tried, from the smallest up, two a decade.
RADII = [10 ** (step / 2 - 4.5) for step in range(12)]
# How exactly the last direction is followed to the tolerance, as a share of ε.
PRECISION = 0.002


def differentiable(parameters: Weights) -> Weights:
    """Copies that gradients are taken in."""
    return {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}


def gradient(run: Measurable, moved: Weights) -> tuple[float, Weights]:
    """The mean loss at moved weights, in nats, and its gradient there."""
    parameters = differentiable(moved)
    images, labels = run.data.train_images, run.data.train_labels
    batch, total = evaluation_batch(images, gradients=True), 0.0
    for some, their in zip(images.split(batch), labels.split(batch), strict=True):
        loss = F.cross_entropy(functional_call(run.folded, parameters, (some,)), their, reduction="sum")
        loss.backward()
        total += loss.item()
    # A parameter that the network does not use has none.
    slopes = {name: torch.zeros_like(own) if own.grad is None else own.grad for name, own in parameters.items()}
    return total / len(labels), {name: slope / len(labels) for name, slope in slopes.items()}


@dataclass(frozen=True)
class Ascent:
    """The corner of a box, along ``signs`` at ``radius``, that ascent reached beyond the tolerance.

    ``excess`` is its loss over the limit in nats, infinite if it is not finite; ``slope`` is the gradient
    that pointed to it. ``radius`` is None where no box exceeded the tolerance.
    """

    radius: float | None
    excess: float
    signs: Weights
    slope: Weights


def corner(run: Measurable, signs: Weights, radius: float) -> Weights:
    """The weights w + radius · signs."""
    return {name: torch.add(tensor, signs[name], alpha=radius) for name, tensor in run.parameters.items()}


@shared
def ascent(run: Measurable) -> Ascent:
    """Corners of growing boxes, each where the gradient at the corner before points to, up to the tolerance."""
    limit = HEADLINE.limit(run.train_loss)
    _, slope = gradient(run, run.parameters)
    for radius in RADII:
        signs = {name: tensor.sign() for name, tensor in slope.items()}
        loss, following = gradient(run, corner(run, signs, radius))
        if not loss <= limit:
            return Ascent(radius, loss - limit if math.isfinite(loss) else math.inf, signs, slope)
        slope = following
    return Ascent(None, 0.0, {}, slope)


@measure(
    Measure(
        "worst_case_sharpness",
        "worst-case sharpness 1/α²",
        "flatness",
        f"{JIANG}, sharpness flatness, after Keskar et al. 2017",
        "1/α²",
    )
)
def worst_case_sharpness(run: Measurable) -> dict[str, float]:
    """1/α², α the half-width of the smallest box around w in which ascent exceeds L(w) + ε.

    For each half-width the weights go to the corner of the box that the gradient at the corner before
    points to; the gradient there gives the next corner. Towards the first corner beyond the tolerance, α is
    where the loss is L(w) + ε, to 0.2 % of ε. Ascent finds a local maximum, so α is an upper bound of the
    exact one. Undefined if no box of the grid exceeds the tolerance, or every box does.
    """
    found, limit = ascent(run), HEADLINE.limit(run.train_loss)
    if found.radius is None:
        raise UndefinedMeasureError(f"no box of half-width up to {RADII[-1]:.0e} exceeds the tolerance")
    # L is close to quadratic in the radius: regula falsi on its square (Illinois).
    low, high, below, above = 0.0, found.radius**2, run.train_loss - limit, found.excess
    excess, middle, side = above, high, 0
    while abs(excess) > PRECISION * HEADLINE.amount and high > low * (1 + PRECISION):
        share = below / (below - above) if math.isfinite(above) else 0.5
        middle = low + (high - low) * min(max(share, 0.01), 0.99)
        loss = run.variants.mean_losses([corner(run, found.signs, middle**0.5)]).item()
        excess = loss - limit if math.isfinite(loss) else math.inf
        if excess <= 0:
            low, below = middle, excess
            above = above / 2 if side < 0 else above
            side = -1
        else:
            high, above = middle, excess
            below = below / 2 if side > 0 else below
            side = 1
    if middle == 0:
        raise UndefinedMeasureError("the loss exceeds the tolerance in every box, however small")
    return {"worst_case_sharpness": 1 / middle}
