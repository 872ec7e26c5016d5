"""Made-up runs of both studies, as tables: what is said of them is computed anew in each test."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from prunability.measures import HEADLINE_MEASURE, all_measures

HYPERPARAMETERS = ("width", "depth")
SWEEP = [name for name, measure in all_measures().items() if measure.of_prunability == "variant"]


def correlation_runs(noise: float = 0.2, settings: int = 40, seeds: int = 2, **columns: Any) -> pd.DataFrame:
    """Runs of a grid; prunability is the test loss with so much noise, other measures have little to do with it."""
    rng = np.random.default_rng(3)
    n = settings * seeds
    loss = np.repeat(rng.normal(size=settings), seeds) + 0.05 * rng.normal(size=n)
    table = pd.DataFrame({name: rng.normal(size=n) + 0.2 * loss for name in all_measures()})
    for name in HYPERPARAMETERS:
        table[name] = rng.choice([1, 2], settings).repeat(seeds)
    table["parameter_count"] = table["prunable_weight_count"] = np.round(10 ** rng.uniform(3, 5, n))
    own = loss + noise * rng.normal(size=n)
    for name in (HEADLINE_MEASURE, *SWEEP):
        table[name] = 0.2 + 0.5 * own.argsort().argsort() / n
    table["kept_parameter_count"] = table[HEADLINE_MEASURE] * table["prunable_weight_count"]
    ends = {"test_loss": loss, "loss_gap": loss, "test_error": (loss - loss.min()) / 20}
    rows: dict[str, Any] = {
        "run": [f"{k:016x}" for k in range(n)],
        "setting": np.arange(n) // seeds,
        "seed": np.arange(n) % seeds,
    }
    rows |= {"status": "converged", "reason": "", "stop_at_target": True}
    return table.assign(**rows, **ends).assign(**columns)


# Test losses that fall, rise and fall again over seven widths.
DESCENT = (1.5, 1.0, 1.2, 2.0, 1.0, 0.7, 0.6)


def width_runs(
    losses: Sequence[float] = DESCENT, own: Sequence[float] | None = None, seeds: int = 5, noise: float = 0.01
) -> pd.DataFrame:
    """Runs of widths 1, 2, 4 …, whose mean test losses, and prunabilities where they differ, are given."""
    rng = np.random.default_rng(4)
    places = np.repeat(np.arange(len(losses)), seeds)
    n = len(places)
    table = pd.DataFrame({name: rng.normal(size=n) for name in all_measures()})
    table["width"] = 2**places
    table["parameter_count"] = table["prunable_weight_count"] = 10.0 * table["width"]
    loss = np.array(losses)[places] + noise * rng.normal(size=n)
    prunability = (np.array(losses if own is None else own)[places] + noise * rng.normal(size=n)) / 3
    for name in (HEADLINE_MEASURE, *SWEEP):
        table[name] = prunability
    rows: dict[str, Any] = {"run": [f"{k:016x}" for k in range(n)], "setting": places, "seed": np.arange(n) % seeds}
    rows |= {"status": "converged", "reason": "", "stop_at_target": False, "steps": 100, "max_epochs": 10}
    ends = {"test_loss": loss, "loss_gap": loss, "test_error": loss / 4}
    return table.assign(**rows, **ends, train_loss=0.001, train_error=np.where(places > 3, 0.0, 0.3))
