"""All measures. A new one is a function in one of these modules (or in a new one, imported here)."""

from prunability.measures import flatness, norms, output, pruning, speed
from prunability.measures.base import (
    REGISTRY,
    Group,
    Measure,
    TrainedRun,
    UndefinedMeasureError,
    all_measures,
    measure,
)
from prunability.measures.pruning import HEADLINE_MEASURE

__all__ = [
    "HEADLINE_MEASURE",
    "REGISTRY",
    "Group",
    "Measure",
    "TrainedRun",
    "UndefinedMeasureError",
    "all_measures",
    "flatness",
    "measure",
    "norms",
    "output",
    "pruning",
    "speed",
]
