"""Generalization bounds at the pruned network, in units of test error: numbers, however vacuous.

Each holds with probability 1 − δ, δ = 0.05, over the N training examples. What the data chose is paid for
by a union bound over the grid it was chosen from.
"""

import math

import torch

from prunability.measures.base import Estimated, Measure, measure, standard_error
from prunability.measures.flatness import SIGMAS, sigma
from prunability.measures.pruning import random_prunability
from prunability.measures.search import HEADLINE, RESOLUTION, keep_steps, pruned
from prunability.measures.subject import Measurable
from prunability.measures.variants import Weights

CONFIDENCE = 0.05
# Bits of a kept weight and of any other parameter: they are coded as they are.
BITS = 32
# λ of the dropout bound, fixed before any data.
LAMBDA = 1.0
# Draws of the dropout bound's expected error.
DRAWS = 5


def training_error(run: Measurable, weights: Weights) -> float:
    """Fraction of the training set that the folded network with other weights misclassifies."""
    outputs = run.variants.outputs([weights])[0]
    return (outputs.argmax(1) != run.data.train_labels).double().mean().item()


@measure(
    Measure(
        "compression_bound",
        "compression bound",
        "bounds",
        "Zhou et al. 2019, KL = bits of a code",
        "err(φ(w, α)) + √[(bits·ln 2 + ln G + ln(2√N/δ)) / 2N]",
        "error fraction",
        of_prunability="made from it",
    )
)
def compression_bound(run: Measurable) -> dict[str, float]:
    """An Occam bound on the test error of the network pruned to its prunability α.

    Code: which k = ⌈αd⌉ of the d weights are kept, log₂ C(d, k) bits, 32 bits for each kept weight and each
    other parameter, and α itself among G values. The prior of a network of so many bits is 2^(−bits), and
    the PAC-Bayes theorem is that of Maurer 2004. Defined on every network.
    """
    alpha, d = run.magnitude_prunability[HEADLINE], run.weight_count
    step = round(alpha * RESOLUTION)
    kept = -(-step * d // RESOLUTION)
    others = sum(tensor.numel() for tensor in run.parameters.values()) - d
    positions = (math.lgamma(d + 1) - math.lgamma(kept + 1) - math.lgamma(d - kept + 1)) / math.log(2)
    bits = positions + BITS * (kept + others)
    steps = keep_steps(run.weights, "magnitude")
    error = training_error(run, pruned({name: run.parameters[name] for name in run.weights}, steps, step))
    n = len(run.data.train_labels)
    complexity = bits * math.log(2) + math.log(RESOLUTION) + math.log(2 * math.sqrt(n) / CONFIDENCE)
    return {"compression_bound": error + math.sqrt(complexity / (2 * n))}


@measure(
    Measure(
        "dropout_bound",
        "dropout bound",
        "bounds",
        "McAllester 2013, dropout bound, at σ instead of 1",
        "[E err + (λ/N)((α‖W‖² + ‖b‖²)/2σ² + ln(61·G/δ))] / (1 − 1/2λ), λ = 1",
        "error fraction",
        of_prunability="made from it",
    )
)
def dropout_bound(run: Measurable) -> dict[str, Estimated]:
    """A PAC-Bayes bound on the expected test error of the network with weights dropped at random.

    Each weight W is kept with probability α, the random prunability at the headline tolerance (the dropout
    rate is 1 − α), else it is 0; what is kept, and every bias b, has normal noise, under the posterior around
    its value and under the prior around 0. The noise's σ is the largest of the grid that the PAC-Bayes
    flatness admits. The expected training error is a mean over five draws, and so the bound holds up to its
    standard error, which is recorded. Undefined where σ is.
    """
    alpha = random_prunability(run)[HEADLINE].value
    scale = max(s for s in SIGMAS if s <= sigma(run, magnitude_aware=False).value)
    errors = []
    for draw in range(DRAWS):
        draws = run.draws("dropout bound", draw)
        moved = {}
        for name, tensor in run.parameters.items():
            drawn = tensor.cpu() + scale * torch.randn(tensor.shape, generator=draws, dtype=torch.float32)
            if name in run.weights:
                drawn *= torch.rand(tensor.shape, generator=draws, dtype=torch.float32) < alpha
            moved[name] = torch.empty_like(tensor).copy_(drawn)
        errors.append(training_error(run, moved))
    square = {name: tensor.double().square().sum().item() for name, tensor in run.parameters.items()}
    divergence = sum(s * (alpha if name in run.weights else 1) for name, s in square.items()) / (2 * scale**2)
    n = len(run.data.train_labels)
    complexity = divergence + math.log(len(SIGMAS) * RESOLUTION / CONFIDENCE)
    factor = 1 / (1 - 1 / (2 * LAMBDA))
    return {
        "dropout_bound": Estimated(
            factor * (sum(errors) / DRAWS + LAMBDA / n * complexity),
            factor * standard_error(errors),
        )
    }
