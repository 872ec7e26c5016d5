"""Wrong labels, instability of predictions, training options and curvature as tables.

Label entropy of an example: entropy in nats of the labels that r networks predict for it (Datta et al. 2023).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from prunability.analysis.ranks import kendall_tau
from prunability.analysis.resampling import Array, mean
from prunability.analysis.tables import runs_table
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.probes import key
from prunability.records.record import Record

# What probes gave, by run and by key.
Curves = Mapping[str, Mapping[str, Sequence[float]]]
OPTIONS = {
    "label_smoothing": "label smoothing",
    "confidence_penalty": "confidence penalty",
    "temporal_smoothing": "temporal smoothing",
}
COMPARED = ["instability", "test_error", "test_loss", HEADLINE_MEASURE]


def instability_table(records: Sequence[Record], parts: Mapping[str, frozenset[str]]) -> pd.DataFrame:
    """The runs that did not diverge, with their ``part`` of the study, ``option``, and margin where it is positive.

    ``of_limit`` is the largest curvature over the ``limit`` of stability of gradient descent with momentum,
    (2 + 2μ)/η (Cohen et al. 2021).
    """
    table = runs_table(records)
    table = table[table["status"] != "diverged"].reset_index(drop=True)
    part = {run: name for name, runs in parts.items() for run in runs}
    names = [next((w for n, w in OPTIONS.items() if row[n] > 0), "none") for _, row in table.iterrows()]
    limit = (2 + 2 * table["momentum"]) / table["learning_rate"]
    return table.assign(
        part=table["run"].map(part),
        option=names,
        margin=table["inverse_margin"] ** -0.5,
        limit=limit,
        of_limit=table["hessian_top_eigenvalue"] / limit,
    )


def own_entropies(labels: ArrayLike) -> Array:
    """Of labels [r, n] of r networks each one's −ln of the share that agrees with it; their mean is the entropy."""
    own = np.asarray(labels)
    found: Array = -np.log((own[:, None] == own[None]).mean(axis=1))
    return found


def label_entropy(labels: ArrayLike) -> Array:
    """Label entropy in nats of n examples [n], of labels [r, n]."""
    found: Array = own_entropies(labels).mean(axis=0)
    return found


def predictions(table: pd.DataFrame, curves: Curves, probe: str = "test_predictions") -> NDArray[np.float64]:
    """What a probe gave of each run [r, n], in the order of the table."""
    return np.array([curves[run][key(probe)] for run in table["run"]], dtype=np.float64)


def settings(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Mean label entropy of test points over seeds, and means of prunability and test error, a row a setting."""
    rows = [
        (
            setting,
            label_entropy(predictions(own, curves)).mean(),
            own[HEADLINE_MEASURE].mean(),
            own["test_error"].mean(),
        )
        for setting, own in table[table["part"] == "settings"].groupby("setting", sort=False)
        if len(own) > 1
    ]
    return pd.DataFrame(rows, columns=["setting", "instability", HEADLINE_MEASURE, "test_error"])


def last(table: pd.DataFrame) -> pd.DataFrame:
    """The longest of the trainings of fixed length with each option, by seed."""
    own = table[table["part"] == "options"]
    ends = own["max_epochs"] == own["max_epochs"].max()
    found: pd.DataFrame = own[ends].sort_values(["option", "seed"], ignore_index=True)
    return found


def one_run(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """A row a training and test point: label entropy over its late epochs, and over other seeds of its option."""
    ends, late, rows = last(table), table[table["part"] == "options"], []
    for option, own in ends.groupby("option"):
        labels = predictions(own, curves)
        for place, seed in enumerate(own["seed"]):
            epochs = late[(late["option"] == option) & (late["seed"] == seed)]
            pair = {
                "one_run": label_entropy(predictions(epochs, curves)),
                "over_seeds": label_entropy(np.delete(labels, place, axis=0)),
            }
            rows.append(pd.DataFrame(pair).assign(option=option, seed=seed))
    return pd.concat(rows, ignore_index=True).rename_axis("point").reset_index()


def agreement(points: pd.DataFrame) -> pd.Series:
    """Kendall's tau-b of the two entropies over test points, by training; NaN where one is the same everywhere."""
    found = {
        name: kendall_tau(own["one_run"], own["over_seeds"]) for name, own in points.groupby(["option", "seed"])
    }
    return pd.Series(found, dtype=float)


def training_points(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Of trainings without an option a row a training example: whether its label is ``wrong``, its label entropy
    over the late epochs and its margin at the end, means over seeds. Right labels are those of clean runs.
    """
    clean = table[(table["part"] == "settings")].iloc[:1]
    right = np.split(predictions(clean, curves, "training_examples")[0], 3)[1]
    late = table[(table["part"] == "options") & (table["option"] == "none")]
    entropies, margins = [], []
    for _, own in late.sort_values("max_epochs").groupby("seed"):
        labels, given, margin = np.split(predictions(own, curves, "training_examples"), 3, axis=1)
        entropies.append(label_entropy(labels))
        margins.append(margin[-1])
    wrong = given[0] != right
    found = {"wrong": wrong, "entropy": np.mean(entropies, axis=0), "margin": np.mean(margins, axis=0)}
    return pd.DataFrame(found)


def paired(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """By how much each option changes each of ``COMPARED``, a row an option and seed.

    The instability of a network is its mean of :func:`own_entropies`, over the networks of its option.
    """
    ends = last(table)
    own = {
        option: part.assign(instability=own_entropies(predictions(part, curves)).mean(axis=1)).set_index("seed")
        for option, part in ends.groupby("option")
    }
    changes = [
        (own[option][COMPARED] - own["none"][COMPARED]).dropna().assign(option=option)
        for option in OPTIONS.values()
        if option in own and "none" in own
    ]
    return pd.concat(changes).reset_index()


def changes(table: pd.DataFrame, curves: Curves, seed: int) -> pd.DataFrame:
    """The mean of these over seeds, with its interval by seeds."""
    rows = []
    for option, own in paired(table, curves).groupby("option", sort=False):
        for name in COMPARED:
            e = mean(own[name], seed)
            rows.append((name, option, e.value, e.low, e.high, len(own)))
    return pd.DataFrame(rows, columns=["name", "label", "change", "low", "high", "n"])


def curvature(table: pd.DataFrame) -> pd.DataFrame:
    """The runs in steps on the whole training set, with their ``training``, in order."""
    keys = ["learning_rate", "seed", "warmup_epochs"]
    own = table[table["part"] == "curvature"].sort_values([*keys, "steps"], ignore_index=True)
    return own.assign(training=own.groupby(["learning_rate", "seed"]).ngroup())


def peaks(table: pd.DataFrame) -> pd.DataFrame:
    """The largest curvature along each training, a row a training, a column with each ``warmup_epochs``."""
    return curvature(table).pivot_table("hessian_top_eigenvalue", "training", "warmup_epochs", "max").dropna()
