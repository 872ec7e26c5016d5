"""Networks followed along their training, and settings over the size of their training set, as tables.

A training is a batch size with a seed, its checkpoints are runs of their own; a choice is a setting at any size.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from prunability.analysis.columns import finite
from prunability.analysis.ranks import kendall_tau, tau_estimate
from prunability.analysis.resampling import Array, Draws, Estimate, Sample, estimate, mean
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.measures.prequential import GROWTH

# From this training error on the 10th percentile of the margins is positive.
FITS = 0.1
# What a choice is of.
SETTING = ["width", "depth", "learning_rate"]
# At most this share of all images is few.
FEW = 0.1
# Those that are at hand; the first decides.
FLATNESS = ["hessian_trace", "hessian_top_eigenvalue", "pacbayes_flatness", "pacbayes_magnitude_flatness"]
# Flatness, margin and prunability, each written so that it should rise with the test loss.
FOLLOWED = {"log_trace": "Hessian trace", "inverse_margin": "inverse margin", HEADLINE_MEASURE: "prunability"}


def checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of fixed length in order, with their training and what is linear in time or not bound to decades.

    The trace, which spans decades, and the training loss as log10; a margin, in logits, is a logarithm already.
    """
    part = table[~table["stop_at_target"]].sort_values(["batch_size", "seed", "epochs"], ignore_index=True)
    training = part.groupby(["batch_size", "seed"], sort=True).ngroup()
    logs = {"log_trace": np.log10(part["hessian_trace"]), "progress": -np.log10(part["train_loss"])}
    return part.assign(training=training, margin=part["inverse_margin"] ** -0.5, **logs)


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """The checkpoints whose training error is below ``FITS``, and which have a margin."""
    found = checkpoints(table)
    return found[(found["train_error"] < FITS) & found["margin"].notna()].reset_index(drop=True)


def pearson(x: ArrayLike, y: ArrayLike, sample: Sample) -> Estimate:
    """Pearson's r of two columns [n], with its interval."""
    (a,), (b,), _ = (part - part.mean(axis=1, keepdims=True) for part in finite(x, y, sample.settings))
    products = np.stack([np.ones(len(a)), a, b, a * a, b * b, a * b], axis=1)

    def drawn(draws: Draws | None) -> Array:
        weights = np.ones((1, len(a))) if draws is None else draws.counts[:, draws.groups].astype(float)
        n, sa, sb, aa, bb, ab = (weights @ products).T
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Array = (ab - sa * sb / n) / np.sqrt((aa - sa**2 / n) * (bb - sb**2 / n))
        return found

    return estimate(drawn, sample)


def pairs(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Pearson's r of each flatness with each margin, over the checkpoints that fit and have both."""
    margins, rows = {"10th percentile": "margin", "mean": "mean_margin"}, []
    found = fitted(table).assign(mean_margin=lambda fits: -fits["negative_mean_margin"])
    for name, (words, margin) in itertools.product(FLATNESS, margins.items()):
        own = found.dropna(subset=[name, margin])
        if len(own):
            sample = Sample(tuple(own["training"]), seed, seed_resamples=0)
            r = pearson(np.log10(own[name]), own[margin], sample)
            rows.append((f"log {all_measures()[name].label}", words, str(r)))
    return pd.DataFrame(rows, columns=["flatness", "margin", "r"])


def reached(training: pd.DataFrame, along: str, level: float, name: str) -> float:
    """A column's value where another, ``along``, first reaches a level, linear between checkpoints.

    NaN where it never does, or was beyond it, or undefined, at the checkpoint before.
    """
    x, y = training[along].to_numpy(float), training[name].to_numpy(float)
    place = int((x >= level).argmax())
    if not x[place] >= level or (place == 0 and x[0] > level):
        return math.nan
    return float(np.interp(level, x[[place - 1, place]], y[[place - 1, place]])) if place else float(y[0])


def batch_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """By how much the largest batch's test loss exceeds the smallest's: at equal epochs, and at an equal margin.

    A row a seed. The epochs are the last that both have; the margin is the smallest's then, or the largest that the
    largest batch reaches at all.
    """
    found = checkpoints(table)
    small, large = (
        found[found["batch_size"] == size] for size in (found["batch_size"].min(), found["batch_size"].max())
    )
    rows = []
    for seed in sorted({*small["seed"]} & {*large["seed"]}):
        pair = [part[part["seed"] == seed] for part in (small, large)]
        ends = [part.set_index("epochs") for part in pair]
        last = max({*ends[0].index} & {*ends[1].index})
        margin = min(ends[0]["margin"][last], ends[1]["margin"].max())
        first, second = (reached(part, "margin", margin, "test_loss") for part in pair)
        rows.append((seed, last, margin, ends[1]["test_loss"][last] - ends[0]["test_loss"][last], second - first))
    return pd.DataFrame(rows, columns=["seed", "epochs", "margin", "equal_epochs", "equal_margin"])


def equal_loss(table: pd.DataFrame) -> pd.DataFrame:
    """Test loss and what may follow it, a row a training, where each reaches the smallest loss that all have."""
    found = checkpoints(table)
    level = found.groupby("training")["progress"].max().min()
    names = ["test_loss", *FOLLOWED]
    rows = [[reached(own, "progress", level, name) for name in names] for _, own in found.groupby("training")]
    return pd.DataFrame(rows, columns=names)


def along(table: pd.DataFrame) -> pd.DataFrame:
    """Tau with the test loss over the checkpoints that fit, a row a training that has three or more."""
    groups = [own for _, own in fitted(table).groupby("training") if len(own) > 2]
    rows = [[kendall_tau(own[name], own["test_loss"]) for name in FOLLOWED] for own in groups]
    return pd.DataFrame(rows, columns=list(FOLLOWED), dtype=float)


def followed(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Tau with the test loss at equal training loss over trainings, and along each training, the mean of these."""
    equal, within = equal_loss(table).dropna(), along(table).dropna()
    rows = []
    for name, label in FOLLOWED.items():
        if len(equal) > 1:
            e = tau_estimate(equal[name], equal["test_loss"], Sample(tuple(range(len(equal))), seed))
            rows.append(("at equal training loss", label, e.value, e.low, e.high, len(equal)))
        if len(within):
            e = mean(within[name], seed)
            rows.append(("along training", label, e.value, e.low, e.high, len(within)))
    return pd.DataFrame(rows, columns=["way", "label", "tau", "low", "high", "n"])


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained to the target loss, with their choice of hyperparameters."""
    part = table[table["stop_at_target"]].reset_index(drop=True)
    return part.assign(choice=part.groupby(SETTING).ngroup())


def orders(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Tau over choices of test loss and prunability at each n with the test loss at the largest; seeds averaged.

    Choices are those that reach the target loss at every n; with fewer than two there is nothing to order.
    """
    runs, names, rows = choices(table), ["test_loss", HEADLINE_MEASURE], []
    means = runs.pivot_table(names, "choice", "n_train").dropna()
    if len(means) > 1:
        *few, last = sorted(runs["n_train"].unique())
        goal, sample = means["test_loss", last], Sample(tuple(range(len(means))), seed)
        found = [(name, n, tau_estimate(means[name, n], goal, sample)) for name in names for n in few]
        rows = [(name, n, e.value, e.low, e.high, len(means)) for name, n, e in found]
    return pd.DataFrame(rows, columns=["name", "n_train", "tau", "low", "high", "n"])


def description_lengths(table: pd.DataFrame, rows: Mapping[str, Sequence[float]], classes: int) -> pd.DataFrame:
    """The prequential code of all labels in nats, a row a choice, means over seeds (Bornschein et al. 2020).

    The first subset costs ln(classes) an example; what follows a subset of n costs what the network trained on that
    finds, ``rows`` by run, each as ``following_losses`` gives it. NaN where one is missing.
    """
    runs, found = choices(table), []
    sizes = sorted(runs["n_train"].unique())
    for key, own in runs.groupby([*SETTING, "seed"]):
        nats, names = sizes[0] * math.log(classes), own.set_index("n_train")["run"]
        for n, more in itertools.pairwise(sizes):
            row = rows.get(names.get(n, ""), ())
            nats += row[GROWTH.index(more / n)] if row else math.nan
        found.append((*key, nats, own.loc[own["n_train"] == sizes[-1], "test_loss"].mean()))
    lengths = pd.DataFrame(found, columns=[*SETTING, "seed", "nats", "test_loss"]).drop(columns="seed")
    return lengths.groupby(SETTING, as_index=False).mean()
