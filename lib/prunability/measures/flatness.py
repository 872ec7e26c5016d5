"""Flatness: how much Gaussian noise on the weights the training loss bears."""

import torch

from prunability.measures.base import Measure, TrainedRun, UndefinedMeasureError, measure, weights_and_biases
from prunability.pruning import HEADLINE
from prunability.scan import Variants, Weights, first_admissible
from prunability.seeding import generator

# Standard deviations tried, from the largest down, ten a decade; the last interval is then halved.
SIGMAS = [10 ** (1 - step / 10) for step in range(61)]
HALVINGS = 4
NOISE_DRAWS = 5


def sigma(run: TrainedRun, magnitude_aware: bool) -> float:
    """The largest standard deviation σ with E[L(w + σ·noise)] ≤ L(w) + ε, ε the headline tolerance.

    Noise is standard normal on each weight and bias of the folded network, times |w| if
    ``magnitude_aware``. The expectation is the mean over draws that are the same for every σ. σ is the
    largest of a grid of ten values a decade, refined by halving the interval above it (to 1.5 %).

    Raises:
        UndefinedMeasureError: every σ of the grid is within the tolerance, or none is.
    """
    centre = weights_and_biases(run.folded)
    noise = [_noise(run, centre, draw, magnitude_aware) for draw in range(NOISE_DRAWS)]
    variants = Variants(run.folded, run.data.train_images, run.data.train_labels)

    def first(sigmas: list[float]) -> int | None:
        levels = [
            lambda sigma=sigma: [
                {name: torch.add(centre[name], part, alpha=sigma) for name, part in draw.items()} for draw in noise
            ]
            for sigma in sigmas
        ]
        return first_admissible(variants, levels, [HEADLINE.limit(run.train_loss)]).first[0]

    level = first(SIGMAS)
    if not level:
        which = "none" if level is None else "even the largest"
        raise UndefinedMeasureError(
            f"of the standard deviations {SIGMAS[-1]:.0e} to {SIGMAS[0]:.0e}, {which} is within the tolerance"
        )
    inside, outside = SIGMAS[level], SIGMAS[level - 1]
    for _ in range(HALVINGS):
        middle = (inside * outside) ** 0.5
        inside, outside = (middle, outside) if first([middle]) == 0 else (inside, middle)
    return inside


def _noise(run: TrainedRun, centre: Weights, draw: int, magnitude_aware: bool) -> Weights:
    draws = generator(*run.config.seed_key("weight noise"), draw)
    noise = {}
    for name, tensor in centre.items():
        part = torch.randn(tensor.shape, generator=draws).to(tensor)
        noise[name] = torch.empty_like(tensor).copy_(part * tensor.abs() if magnitude_aware else part)
    return noise


@measure(Measure("pacbayes_flatness", "PAC-Bayes 1/σ²", "flatness", "Jiang et al. 2020, eq. 53"))
def pacbayes_flatness(run: TrainedRun) -> dict[str, float]:
    """1/σ², the same noise on every weight."""
    return {"pacbayes_flatness": sigma(run, magnitude_aware=False) ** -2}


@measure(
    Measure("pacbayes_magnitude_flatness", "PAC-Bayes 1/σ′² (magnitude)", "flatness", "Jiang et al. 2020, eq. 61")
)
def pacbayes_magnitude_flatness(run: TrainedRun) -> dict[str, float]:
    """1/σ′², noise proportional to each weight's magnitude."""
    return {"pacbayes_magnitude_flatness": sigma(run, magnitude_aware=True) ** -2}
