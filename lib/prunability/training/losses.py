"""What a training step minimises where it is not the plain cross-entropy: softer targets, and a penalty.

With shares ε and s, p = softmax(z) and a confidence penalty β, an example costs −Σ_c t_c ln p_c − β H(p), where the
target is t = (1 − ε − s) · label + ε/classes + s · m (Szegedy et al. 2016; Pereyra et al. 2017).

m is the mean of the label and of all predictions softmax(z/T) that the network made of the example so far, in the
steps that trained it. It follows the idea of temporally guided, temperature scaled smoothing (Datta et al. 2023),
with two differences: there a teacher, trained before, gives the mean, here the network itself; and T is ours.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from prunability.training.config import LOSS, TrainingConfig

TEMPERATURE = 2.0
# The name of what temporal smoothing remembers.
MEMORY = "memory"


def first_memory(rules: TrainingConfig, labels: Tensor, classes: int) -> dict[str, Tensor]:
    """Sums behind each training example's m, [N, classes], at first its label; none without temporal smoothing."""
    if not rules.temporal_smoothing:
        return {}
    kind = torch.float64 if rules.precision == "float64" else torch.float32
    return {MEMORY: F.one_hot(labels, classes).to(kind)}


def objective(
    rules: TrainingConfig, outputs: Tensor, plain: Tensor, memory: Tensor | None, index: Tensor
) -> Tensor:
    """What each example costs a step in nats, [B] or [M, B]; ``plain`` itself where no option is on.

    Args:
        rules: say which options are on.
        outputs: logits [B, classes], or [M, classes, B] of a fleet.
        plain: cross-entropies [B] or [M, B].
        memory: that of :func:`first_memory`, [N, classes] or [M, N, classes]; these predictions are added in place.
        index: of the examples, [B] or [M, B], each at most once.
    """
    if not any(getattr(rules, name) for name in LOSS):
        return plain
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    logs, costs = outputs.log_softmax(1), plain
    if rules.label_smoothing:
        costs = costs + rules.label_smoothing * (-logs.mean(1) - plain)
    if memory is not None:
        fleet = index.dim() == 2
        place = (torch.arange(len(index), device=index.device)[:, None], index) if fleet else (index,)
        known = memory[place]
        mean = (known / known.sum(-1, keepdim=True)).movedim(-1, 1)
        costs = costs + rules.temporal_smoothing * (-(mean * logs).sum(1) - plain)
        memory[place] = known + (outputs.detach() / TEMPERATURE).softmax(1).movedim(1, -1)
    if rules.confidence_penalty:
        costs = costs + rules.confidence_penalty * (logs.exp() * logs).sum(1)
    return costs
