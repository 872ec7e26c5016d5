"""All measures, and the scans of pruned copies they share; a new one is a function in one of these modules.

They use training, data and foundation.
"""

from prunability.measures import bounds, curvature, flatness, norms, output, pruning, sharpness, spectra, speed
from prunability.measures.base import (
    REGISTRY,
    Estimated,
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
    "Estimated",
    "Group",
    "Measure",
    "TrainedRun",
    "UndefinedMeasureError",
    "all_measures",
    "bounds",
    "curvature",
    "flatness",
    "measure",
    "norms",
    "output",
    "pruning",
    "sharpness",
    "spectra",
    "speed",
]
