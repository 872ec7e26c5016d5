"""Networks whose loss against the kept fraction is drawn: one to show what prunability is, two for tolerances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill

import pandas as pd

from prunability.analysis.tables import compared
from prunability.measures import HEADLINE_MEASURE, TrainedRun, search
from prunability.measures.pruning import name_of, orders
from prunability.measures.search import HEADLINE, PRUNERS, RESOLUTION, TOLERANCES, Pruner

# Points of a drawn curve; the answers marked on it come from the finer grid of the records.
POINTS = 25

# The losses of a run, by its hash, at so many fractions, kept by a pruner.
CurveOf = Callable[[str, Pruner, int], list[float]]


@dataclass(frozen=True)
class Example:
    """A network's curves (pruner, kept_fraction, loss in nats), its L(w), t(L(w)) and prunabilities."""

    title: str
    curves: pd.DataFrame
    loss: float
    limit: float
    answers: dict[str, float]


def loss_curve(run: TrainedRun, pruner: Pruner, resolution: int) -> list[float]:
    """L(φ(w, g/G)) of a trained network in nats, for g = 1 … G; its random orders are those of its prunability."""
    return search.loss_curve(run.variants, pruner, orders(run, pruner), resolution, run.weights)


def median_first(table: pd.DataFrame) -> list[pd.Series]:
    """The rows of those that are compared, that with the median prunability first, its neighbours in rank next."""
    ordered = compared(table).sort_values([HEADLINE_MEASURE, "run"])
    middle = len(ordered) // 2
    return [ordered.iloc[place] for place in sorted(range(len(ordered)), key=lambda place: abs(place - middle))]


def example_of(row: pd.Series, curve_of: CurveOf, hyperparameters: Sequence[str]) -> Example:
    """The curves of a network, given by its row in the table of runs."""
    rows = [
        (pruner, (step + 1) / POINTS, loss)
        for pruner in PRUNERS
        for step, loss in enumerate(curve_of(str(row["run"]), pruner, POINTS))
    ]
    return Example(
        # Broken between hyperparameters alone.
        title=fill(
            ", ".join(f"{n} {row[n]:g}".replace("_", " ").replace(" ", "\u00a0") for n in hyperparameters), 44
        ),
        curves=pd.DataFrame(rows, columns=["pruner", "kept_fraction", "loss"]),
        loss=float(row["train_loss"]),
        limit=HEADLINE.limit(float(row["train_loss"])),
        answers={pruner: float(row[name_of(pruner, HEADLINE)]) for pruner in PRUNERS},
    )


def tolerance_curves(networks: pd.DataFrame, curve_of: CurveOf) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The magnitude pruner's curve of each network, and where the protocol's tolerances meet it.

    Args:
        networks: rows of the table of runs.
        curve_of: the losses of a run.

    Returns:
        Curves (network, kept_fraction, loss) and limits (network, run, tolerance, loss, limit, answer), in nats
        and fractions.
    """
    points, limits = [], []
    for _, row in networks.iterrows():
        title = f"width {row['width']}, {row['parameter_count']:,.0f} parameters"
        losses = curve_of(str(row["run"]), "magnitude", RESOLUTION)
        points += [(title, (step + 1) / RESOLUTION, loss) for step, loss in enumerate(losses)]
        loss = float(row["train_loss"])
        limits += [
            (title, row["run"], t.label, loss, t.limit(loss), row[name_of("magnitude", t)]) for t in TOLERANCES
        ]
    return (
        pd.DataFrame(points, columns=["network", "kept_fraction", "loss"]),
        pd.DataFrame(limits, columns=["network", "run", "tolerance", "loss", "limit", "answer"]),
    )
