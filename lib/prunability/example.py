"""One network's loss against the kept fraction, for the figure that shows what prunability is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import pandas as pd
import torch

from prunability.measures import TrainedRun
from prunability.measures.pruning import name_of
from prunability.pruning import HEADLINE, PRUNERS, RANDOM_DRAWS, RESOLUTION, TOLERANCES, loss_curve
from prunability.seeding import generator

# Points of a drawn curve; the answers marked on it come from the finer grid of the records.
POINTS = 25


@dataclass(frozen=True)
class Example:
    """A network's curves (pruner, kept_fraction, loss in nats), its L(w), t(L(w)) and prunabilities."""

    title: str
    curves: pd.DataFrame
    loss: float
    limit: float
    answers: dict[str, float]


def curves(run: TrainedRun, row: pd.Series, hyperparameters: Sequence[str]) -> Example:
    """The curves of a trained network; ``row`` is its row in the table of runs."""
    rows = []
    for pruner in PRUNERS:
        draws: Sequence[torch.Generator | None] = (None,)
        if pruner == "random":
            key = run.config.seed_key("random pruning")
            draws = [generator(*key, draw) for draw in range(RANDOM_DRAWS)]
        losses = loss_curve(run.variants, pruner, draws, POINTS, run.weights)
        rows += [(pruner, (step + 1) / POINTS, loss) for step, loss in enumerate(losses)]
    return Example(
        title=fill(", ".join(f"{n.replace('_', ' ')} {run.config.setting(n):g}" for n in hyperparameters), 44),
        curves=pd.DataFrame(rows, columns=["pruner", "kept_fraction", "loss"]),
        loss=run.train_loss,
        limit=HEADLINE.limit(run.train_loss),
        answers={pruner: float(row[name_of(pruner, HEADLINE)]) for pruner in PRUNERS},
    )


def tolerance_curves(networks: Mapping[str, tuple[TrainedRun, pd.Series]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The magnitude pruner's curve of each network, and where the protocol's tolerances meet it.

    Args:
        networks: by title, a trained network with its row in the table of runs.

    Returns:
        Curves (network, kept_fraction, loss) and limits (network, run, tolerance, loss, limit, answer), in nats
        and fractions.
    """
    points, limits = [], []
    for title, (run, row) in networks.items():
        losses = loss_curve(run.variants, "magnitude", resolution=RESOLUTION, ranked=run.weights)
        points += [(title, (step + 1) / RESOLUTION, loss) for step, loss in enumerate(losses)]
        limits += [
            (title, row["run"], t.label, run.train_loss, t.limit(run.train_loss), row[name_of("magnitude", t)])
            for t in TOLERANCES
        ]
    return (
        pd.DataFrame(points, columns=["network", "kept_fraction", "loss"]),
        pd.DataFrame(limits, columns=["network", "run", "tolerance", "loss", "limit", "answer"]),
    )
