"""Refusing a level by a few random examples: a true refusal but for odds that no number of levels makes up for.

If the mean loss were at most t, so would be that of losses cut off at c; a mean x·c of n examples drawn without
replacement is then at least so large with a probability of at most exp(−n·KL(x‖t/c)), KL being that of two coins
[Hoeffding 1963, theorem 1 and section 6]. No more is supposed of the losses than that they are not negative.
"""

import math

import torch
from torch import Tensor

from prunability.foundation.seeding import generator

# c in nats: what guessing among ten classes costs is above it.
CUT = 2.0
# −ln of the probability with which one level may be refused wrongly, at each number of examples; 4e-18.
LOG_ODDS = 40.0
# As many examples more than the losses of the level before say the proof takes.
RESERVE = 1.35


def _surprise(mean: float, limit: float) -> float:
    """KL(mean‖limit) of two coins in nats; 0 where ``mean`` is no larger."""
    if not limit < mean <= 1:
        return 0.0
    rest = (1 - mean) * math.log((1 - mean) / (1 - limit)) if mean < 1 else 0.0
    return mean * math.log(mean / limit) + rest


def _share(losses: Tensor) -> float:
    return float(losses.clamp(max=CUT).mean()) / CUT


def examples_needed(expected: Tensor, limit: float) -> float:
    """How many examples refuse a mean loss of ``limit`` where all cost what is ``expected`` [N]; maybe infinite."""
    surprise = _surprise(_share(expected), limit / CUT)
    return RESERVE * LOG_ODDS / surprise if surprise else math.inf


def refuted(losses: Tensor, limit: float) -> bool:
    """Whether the losses [n] of randomly drawn examples refuse that the mean of all is at most ``limit`` nats."""
    return len(losses) * _surprise(_share(losses), limit / CUT) >= LOG_ODDS


def random_examples(total: int) -> Tensor:
    """The places of all examples in one random order, the same at every call."""
    return torch.randperm(total, generator=generator("examples of a refusal"))
