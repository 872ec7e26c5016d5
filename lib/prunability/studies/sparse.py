"""Sparse networks: lottery tickets and their controls, children of one network, wide ones with static masks.

The main grid holds the dense networks that tickets and children come from. ``tickets`` are rounds of pruning,
rewinding and training again until 2 % of the weights are left, ``controls`` their masks with weights drawn anew,
and masks in random places with each layer's density. ``children`` are trained on from the end of an epoch, with
two orders of examples. ``static`` are networks of growing width, dense and so sparse that they have as many weights
as the narrowest, and ``correlation`` networks of the correlation study with two children each.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prunability.data.images import DataFacts
from prunability.studies import correlation
from prunability.studies.grid import Listed, Profile, Wanted, combined, prunable_sizes
from prunability.training.config import NiNConfig, RunConfig
from prunability.training.origin import Child, Static, Ticket

LEAST, NOISE, SEEDS = 0.02, [0.0, 0.2], [0, 1, 2]
# Those that give prunability and the distance from the beginning, and what costs nothing beside them.
MEASURES = (
    "prunability_magnitude",
    "kept_parameter_count",
    "prunable_weight_count",
    "parameter_count",
    "distance_from_initialisation",
    "sum_of_training_losses",
)
UNDER_HARM = ("weight_noise", "corruptions", "pgd")


def probes(run: RunConfig) -> list[tuple[str, RunConfig | None]]:
    """How far each run moved; of dense networks and those with static masks what harms them, and what harms a dense
    one that is pruned to as few weights; of dense ones how the errors move as they are pruned, and the line to the
    next seed; of a first child the line to the second.
    """
    names, origin, partner = ["learning_distance"], run.origin, None
    if not run.training.stop_at_target and (origin is None or isinstance(origin, Static)):
        names += UNDER_HARM
    pairs = ["barrier"]
    if isinstance(origin, Child) and origin.order == 0:
        partner = run.model_copy(update={"origin": Child(epoch=origin.epoch, order=1)})
    elif isinstance(origin, Static):
        partner, pairs = run.model_copy(update={"origin": None}), [f"pruned_{name}" for name in UNDER_HARM]
    elif origin is None and not run.training.stop_at_target:
        names += ["pruned_errors"]
        pairs += ["matched_barrier"]
        if run.seed % 100 + 1 in SEEDS:
            partner = run.model_copy(update={"seed": run.seed + 1})
    return [*((name, None) for name in names), *((name, partner) for name in pairs if partner is not None)]


def rounds(pruned: float = 0.2) -> list[int]:
    """The rounds until the least share of the weights is left."""
    return [*range(1, math.ceil(math.log(LEAST) / math.log(1 - pruned)) + 1)]


def tickets(pruned: float = 0.2) -> dict[str, Mapping[str, Sequence[Any]]]:
    """Tickets that are rewound to the initialisation and to the end of epoch 1; every second round's controls."""
    settings = combined({"rewind": [0, 1], "round": rounds(pruned)})
    changes: list[dict[str, Any]] = [{"weights": "redrawn"}, {"places": "random"}]
    controls = [{"round": n} | change for n in rounds(pruned)[::2] for change in changes]
    return {
        part: {"label_noise": NOISE, "seed": SEEDS, "origin": [Ticket(pruned=pruned, **own) for own in origins]}
        for part, origins in (("tickets", settings), ("controls", controls))
    }


def children(max_epochs: int) -> Mapping[str, Sequence[Any]]:
    """Two children each of the networks without label noise, from epochs 0, 1, 2, 4 … on."""
    epochs = [0, *(2**power for power in range(max_epochs.bit_length()) if 2**power < max_epochs)]
    return {"seed": SEEDS, "origin": [Child(epoch=epoch, order=order) for epoch in epochs for order in (0, 1)]}


def static(width: int, multipliers: Sequence[int], **rules: Any) -> Listed:
    """Networks of a width and of its multiples, dense and with as many weights as the narrowest has."""

    def listed(data: DataFacts) -> list[dict[str, Any]]:
        networks = [NiNConfig(width=width * times, depth=2) for times in multipliers]
        counts = [sum(prunable_sizes(network, data).values()) for network in networks]
        return [
            {**network.model_dump(), **rules, "stop_at_target": False, "seed": seed, "origin": origin}
            for network, count in zip(networks, counts, strict=True)
            for origin in (None, Static(density=counts[0] / count))[: 1 + (count > counts[0])]
            for seed in SEEDS
        ]

    return listed


def of_correlation(profile: str, epoch: int, **chosen: Sequence[Any]) -> Listed:
    """Networks of the first seed of a profile of the correlation study, each with two children from an epoch on."""

    def listed(data: DataFacts) -> list[dict[str, Any]]:
        known = correlation.PROFILES[profile]
        origins = [None, *(Child(epoch=epoch, order=order) for order in (0, 1))]
        first = {"seed": [0]} if "seed" in known.grid else {}
        grid = {**known.grid, **first, **chosen, "origin": origins}
        return [{"n_train": known.n_train or data.train, **known.fixed, **own} for own in combined(grid)]

    return listed


MLP = {"kind": "mlp", "stop_at_target": False}
NIN = {"kind": "nin", "depth": 2, "stop_at_target": False, "precision": "bfloat16"}
WANTED = Wanted(MEASURES, probes)

PROFILES = {
    "smoke": Profile(
        data="digits",
        n_train=60,
        grid={"label_noise": NOISE, "seed": SEEDS},
        fixed=MLP | {"width": 8, "optimiser": "adam", "learning_rate": 0.01, "batch_size": 20, "max_epochs": 6},
        also={
            **tickets(0.8),
            "children": children(4),
            "static": static(8, [1, 2], n_train=60, learning_rate=0.05, batch_size=20, max_epochs=4),
            "correlation": of_correlation("smoke", 1, width=[8], learning_rate=[0.1]),
        },
        wanted=WANTED,
        claims=False,
        made_here=True,
    ),
    # Networks were chosen for their time alone, and so that the dense ones fit their labels, wrong ones too.
    "quick": Profile(
        data="digits",
        n_train=600,
        grid={"label_noise": NOISE, "seed": SEEDS},
        fixed=MLP | {"width": 96, "optimiser": "adam", "learning_rate": 0.01, "batch_size": 128, "max_epochs": 100},
        also={
            **tickets(),
            "children": children(100),
            "static": static(16, [1, 2, 4, 8], n_train=600, learning_rate=0.05, batch_size=32, max_epochs=15),
            "correlation": of_correlation("quick", 4, width=[24, 40], dropout=[0.0], batch_size=[128]),
        },
        wanted=WANTED,
        made_here=True,
    ),
    "small": Profile(
        data="cifar10",
        n_train=1000,
        grid={"label_noise": NOISE, "seed": SEEDS},
        fixed=NIN | {"width": 48, "learning_rate": 0.05, "batch_size": 32, "max_epochs": 50},
        also={
            **tickets(),
            "children": children(50),
            "static": static(
                32,
                [1, 2, 4, 8],
                n_train=1000,
                learning_rate=0.05,
                batch_size=64,
                max_epochs=30,
                precision="bfloat16",
            ),
            "correlation": of_correlation("small", 4, width=[64], depth=[2]),
        },
        wanted=WANTED,
    ),
}
