"""Noise and instability: wrong labels, predictions that hang on the seed, what calms them, and curvature.

The main grid trains to the target loss on more and more wrong labels, ``settings`` on right ones. ``options`` are
trained for a fixed number of epochs on some wrong labels, each option against none; a shorter training is the
beginning of the longer one. ``curvature`` takes steps on the whole training set at once.
"""

from typing import Any

from prunability.studies.grid import Profile, Wanted, combined
from prunability.training.config import RunConfig

# One at a time; the first is none.
OPTIONS: list[dict[str, float]] = [
    {},
    {"label_smoothing": 0.1},
    {"confidence_penalty": 0.1},
    {"temporal_smoothing": 0.3},
]
# Epochs of a fixed-length training, of which these are the late ones, and its share of wrong labels.
LATE, NOISE = [10, 12, 14], 0.2
STEPS = [1, 2, 4, 8, 32, 128]


def _probes(run: RunConfig) -> list[tuple[str, RunConfig | None]]:
    """Of networks that instability is asked of, not of those that are here for their curvature."""
    return [] if run.network.kind == "mlp" else [("test_predictions", None), ("training_examples", None)]


WANTED = Wanted(
    ("prunability_magnitude", "hessian_trace", "hessian_top_eigenvalue", "inverse_margin", "parameter_count"),
    _probes,
)


def _also(
    settings: dict[str, Any], n: int, late: dict[str, Any], plain: dict[str, Any], whole: dict[str, Any]
) -> dict[str, Any]:
    fixed = plain | {"label_noise": NOISE, "stop_at_target": False}
    steps: dict[str, Any] = {
        "kind": ["mlp"],
        "batch_size": [n],
        "max_epochs": STEPS,
        "warmup_epochs": [0, 16],
        "seed": [0, 1, 2],
    }
    shallow = {name: value for name, value in plain.items() if name != "depth"}
    return {
        "settings": settings,
        "options": lambda _: [fixed | option | own for option in OPTIONS for own in combined(late)],
        "curvature": lambda _: [shallow | own | {"stop_at_target": False} for own in combined(steps | whole)],
    }


def _profile(
    data: str, n: int, noises: list[float], seeds: int, plain: dict[str, Any], more: dict[str, Any], **rest: Any
) -> Profile:
    """A profile whose networks have, where nothing else is said, the settings ``plain``; its grids fix nothing."""
    deeper = {name: [value] for name, value in (plain | {"depth": 2}).items()}
    settings = {name: [value] for name, value in plain.items()} | more["settings"]
    return Profile(
        data=data,
        n_train=n,
        grid=deeper | {"label_noise": noises, "seed": [*range(seeds)]},
        fixed={},
        also=_also(settings, n, more["late"], plain, more["curvature"]),
        wanted=WANTED,
        **rest,
    )


PROFILES = {
    "smoke": _profile(
        "digits",
        60,
        [0.0, 1.0],
        2,
        {"width": 12, "depth": 1, "learning_rate": 0.1, "batch_size": 10, "target_loss": 0.1},
        {
            "settings": {"width": [8, 12], "seed": [0, 1]},
            "late": {"max_epochs": [4, 6], "seed": [0, 1]},
            "curvature": {"width": [6], "learning_rate": [0.2], "max_epochs": STEPS[:3], "seed": [0]},
        },
        claims=False,
        made_here=True,
    ),
    "quick": _profile(
        "digits",
        200,
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        5,
        {"width": 24, "depth": 1, "learning_rate": 0.1, "batch_size": 20},
        {
            "settings": {
                "width": [12, 24, 48],
                "learning_rate": [0.05, 0.1],
                "batch_size": [16, 40],
                "seed": [0, 1, 2],
            },
            "late": {"max_epochs": LATE, "seed": [0, 1, 2, 3]},
            "curvature": {"width": [32], "learning_rate": [0.2, 0.8]},
        },
        made_here=True,
    ),
    "small": _profile(
        "cifar10",
        1000,
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        5,
        # Of depth 1, widths 32 and 64 do not reach the target loss here in 300 epochs.
        {"width": 64, "depth": 2, "learning_rate": 0.05, "batch_size": 50},
        {
            "settings": {
                "width": [32, 64, 96],
                "learning_rate": [0.02, 0.05],
                "batch_size": [25, 100],
                "seed": [0, 1, 2],
            },
            "late": {"max_epochs": LATE, "seed": [0, 1, 2, 3]},
            "curvature": {"width": [64], "learning_rate": [0.02, 0.1]},
        },
    ),
}
