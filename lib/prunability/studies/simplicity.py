"""Simplicity bias: what networks use of images that have a simple and a complex part, either of which would do.

Plain networks are the main grid. ``forced`` ones never see a simple part that says anything, for in training it is
another image's; ``adversarial`` ones are trained under attack, for a fixed time; ``linear`` ones have linear layers
more. Settings were chosen for their time alone, and so that plain networks reach the target.
"""

from collections.abc import Sequence
from typing import Any

from prunability.studies.grid import Profile, Wanted
from prunability.training.config import RunConfig

LAYERS = [1, 2, 4]


def _probes(run: RunConfig) -> list[tuple[str, RunConfig | None]]:
    del run
    return [("reliance", None), ("effective_rank", None)]


def profile(
    data: str, n_train: int, width: Sequence[int], seeds: int, adversarial: float, epochs: int, **more: Any
) -> Profile:
    """A profile on some data: widths, how many seeds, the strength of attacks and for how many epochs."""
    plain: dict[str, Sequence[Any]] = {"width": width, "seed": range(seeds)}
    attacked = plain | {"adversarial": [adversarial], "stop_at_target": [False], "max_epochs": [epochs]}
    rules = {"kind": "mlp", "learning_rate": 0.02, "batch_size": 50, "target_loss": 0.01, "max_epochs": 500}
    return Profile(
        data=data,
        n_train=n_train,
        grid=plain,
        fixed=rules,
        also={
            "forced": plain | {"shuffled": ["simple"]},
            "adversarial": attacked,
            "linear": {"width": width[-1:], "linear_layers": LAYERS, "seed": range(min(5, seeds))},
        },
        wanted=Wanted(("prunability_magnitude", "parameter_count"), _probes),
        **more,
    )


PROFILES = {
    "smoke": profile("digit-pairs", 100, [8, 16], 3, 0.1, 5, claims=False, made_here=True),
    "quick": profile("digit-pairs", 1000, [16, 64], 15, 0.1, 40, made_here=True),
    "small": profile("digit-beside:cifar10", 8000, [64, 256], 15, 0.03, 40),
}
