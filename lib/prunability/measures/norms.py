"""Norms of weights, BatchNorm folded into the convolutions before it (Dziugaite et al. 2020)."""

from prunability.measures.base import Measure, TrainedRun, measure
from prunability.pruning import prunable


@measure(Measure("distance_from_initialisation", "distance from init", "norms", "Jiang et al. 2020, eq. 40"))
def distance_from_initialisation(run: TrainedRun) -> dict[str, float]:
    """Σ over layers of ‖W − W₀‖²_F, final and initial weights both folded."""
    initial = prunable(run.folded_initial)
    distance = sum(
        (weight - initial[name]).double().square().sum().item() for name, weight in prunable(run.folded).items()
    )
    return {"distance_from_initialisation": float(distance)}
