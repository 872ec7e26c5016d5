"""All measures, and the scans of pruned copies they share; a new one is a function in a module of this package.

They use training, data and foundation.
"""

from importlib import import_module
from pkgutil import iter_modules

from prunability.measures.base import REGISTRY, Estimated, Group, Measure, all_measures, measure, take
from prunability.measures.subject import Measurable, TrainedRun, UndefinedMeasureError

__all__ = [
    "HEADLINE_MEASURE",
    "REGISTRY",
    "Estimated",
    "Group",
    "Measurable",
    "Measure",
    "TrainedRun",
    "UndefinedMeasureError",
    "all_measures",
    "measure",
    "take",
]

# In this order they stand in tables and pages.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from prunability.measures.pruning import HEADLINE_MEASURE  # noqa: E402  (it would come first)
