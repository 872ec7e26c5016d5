"""Learning curves: one network along its training at several batch sizes, and settings over the size of their data.

The main grid is along training: a shorter training is the beginning of the longer one, draw by draw. ``long`` takes
the largest batches on, to the margins of small ones. ``subsets`` and ``all`` are settings of the correlation study,
trained to the target loss on nested subsets, whose epochs are short and may be more, and on all of its images.
"""

from typing import Any

from prunability.studies.grid import Profile, Wanted
from prunability.training.config import RunConfig

# 500, and no power of two, for it leaves no image of an epoch out.
BATCHES, EPOCHS, LONGER = [16, 50, 160, 500], [2, 4, 8, 16, 32], [64, 128]
QUICK = {"width": [24, 40, 64], "depth": [1, 2], "learning_rate": [0.03, 0.1], "batch_size": [32], "seed": [0, 1]}
# A third width, 128, would take longer than these two: a step costs as the square of the width.
SMALL = {"width": [64, 96], "depth": [2, 3], "learning_rate": [0.02, 0.05], "batch_size": [64], "seed": [0, 1]}


def _following(run: RunConfig) -> list[tuple[str, RunConfig | None]]:
    """Of networks trained to the target, what they say of the examples that a larger subset would add."""
    return [("following_losses", None)] if run.training.stop_at_target else []


FLATNESS = ("hessian_trace", "hessian_top_eigenvalue", "pacbayes", "pacbayes_magnitude")
OTHERS = ("prunability_magnitude", "inverse_margin", "negative_mean_margin", "parameter_count")
WANTED = Wanted(FLATNESS + OTHERS, _following)


def _also(seeds: list[int], settings: dict[str, Any], sizes: list[int], more: int) -> dict[str, dict[str, Any]]:
    to_target = settings | {"stop_at_target": [True]}
    return {
        "long": {"batch_size": BATCHES[-1:], "max_epochs": LONGER, "seed": seeds},
        "subsets": to_target | {"n_train": sizes[:-1], "max_epochs": [more]},
        "all": to_target | {"n_train": sizes[-1:], "max_epochs": [300]},
    }


PROFILES = {
    "smoke": Profile(
        data="digits",
        n_train=100,
        grid={"batch_size": [10, 50], "max_epochs": [8, 32], "seed": [0, 1]},
        fixed={"width": 8, "depth": 2, "learning_rate": 0.1, "target_loss": 0.09, "stop_at_target": False},
        also=_also([0, 1], {"width": [8, 12], "depth": [1], "batch_size": [10]}, [10, 20, 40, 100], 100)
        | {"long": {"batch_size": [50], "max_epochs": [64], "seed": [0, 1]}},
        claims=False,
        made_here=True,
        wanted=WANTED,
    ),
    "quick": Profile(
        data="digits",
        n_train=1000,
        grid={"batch_size": BATCHES, "max_epochs": EPOCHS, "seed": [*range(5)]},
        fixed={"width": 24, "depth": 1, "learning_rate": 0.1, "stop_at_target": False},
        also=_also([*range(5)], QUICK, [50, 100, 200, 400, 1000], 1000),
        made_here=True,
        wanted=WANTED,
    ),
    "small": Profile(
        data="cifar10",
        n_train=2000,
        grid={"batch_size": BATCHES, "max_epochs": EPOCHS, "seed": [*range(3)]},
        fixed={"width": 64, "depth": 2, "learning_rate": 0.05, "stop_at_target": False, "precision": "bfloat16"},
        also=_also([*range(3)], SMALL, [100, 200, 400, 800, 2000], 1000),
        wanted=WANTED,
    ),
}
