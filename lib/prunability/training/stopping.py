"""Whether trainings have reached their target: mostly proved from a few examples that they have not.

Cross-entropy is never negative, so a partial sum over examples that already exceeds N times the limit proves
that the mean over all N does. The examples that were hardest when last seen make the proof short.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prunability.training.course import Course

# The hardest examples are tried in so many chunks, none smaller than this, for a pass costs something however
# few its examples; whole multiples of it keep products aligned.
CHUNKS, SMALLEST = 32, 64
# A sum proves something only if it exceeds the limit by more than rounding, in TF32 too, could add to it.
SLACK = 1.01


def judge(courses: Sequence[Course], losses: Callable[[Sequence[int], Tensor | None], Tensor]) -> None:
    """Judge L(w) of trainings on as many examples; each answer follows from its own training alone.

    Where the hardest examples do not prove that nothing follows from it, all are evaluated, in the data's
    order. No more of the hardest are tried than, as they were last known, could prove it.

    Args:
        courses: of the trainings, which learn what was evaluated.
        losses: what examples cost in nats, float64 [rows, examples], for some of the trainings, by their rows
            in ``courses``: each on its own row of an index, int64 [rows, examples], or all on every example.
    """
    total = len(courses[0].known)
    size = max(SMALLEST, math.ceil(total / CHUNKS / SMALLEST) * SMALLEST)
    orders = [course.known.argsort(descending=True, stable=True) for course in courses]
    needed = [course.limit * total * SLACK for course in courses]
    sums = [0.0] * len(courses)

    def proved(row: int) -> bool:
        return needed[row] < sums[row] < math.inf

    def promising(row: int, start: int) -> bool:
        return sums[row] + courses[row].known[orders[row][start:]].sum().item() > needed[row]

    for start in range(0, total, size):
        rows = [row for row in range(len(courses)) if not proved(row) and promising(row, start)]
        if not rows:
            break
        index = torch.stack([orders[row][start : start + size] for row in rows])
        for row, examples, found in zip(rows, index, losses(rows, index).cpu(), strict=True):
            courses[row].known[examples] = found.float()
            sums[row] += found.sum().item()
    rows = [row for row in range(len(courses)) if not proved(row)]
    if rows:
        for row, found in zip(rows, losses(rows, None).cpu(), strict=True):
            courses[row].evaluated(found)
