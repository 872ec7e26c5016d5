"""Measures of the network's outputs on its training set."""

import torch

from prunability.measures.base import Measure, TrainedRun, UndefinedMeasureError, measure


@measure(Measure("inverse_margin", "inverse squared margin", "output", "Jiang et al. 2020, eq. 22"))
def inverse_margin(run: TrainedRun) -> dict[str, float]:
    """1/γ², γ the 10th percentile over the training set of correct logit − largest other logit.

    The percentile is the smallest margin that at least a tenth of the examples do not exceed. Undefined
    where γ ≤ 0, for then more than a tenth of the training set is misclassified.
    """
    outputs, labels = run.train_logits.double(), run.data.train_labels[:, None]
    correct = outputs.gather(1, labels)[:, 0]
    other = outputs.scatter(1, labels, -torch.inf).amax(1)
    rank = -(-len(labels) // 10)
    margin = (correct - other).kthvalue(rank).values.item()
    if not margin > 0:
        raise UndefinedMeasureError(f"the 10th percentile of the margins is {margin:.3g}, not positive")
    return {"inverse_margin": margin**-2}
