"""Figures of noise and instability: plotters that take finished tables and axes and compute nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from prunability.report.figures import parts
from prunability.report.figures.double_descent import band, lines
from prunability.report.figures.style import COLOURS, MARKERS


def by_noise(axes: Sequence[Axes], table: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """A panel a column against the share of wrong labels: the mean over seeds with its band."""
    for number, (ax, (name, label)) in enumerate(zip(axes, labels.items(), strict=True)):
        lines(ax, table, "label_noise", {name: label}, number)
        ax.set(xscale="linear", xlabel="wrong labels", title=label)
        ax.xaxis.set_major_formatter(PercentFormatter(1.0))
        ax.set_xticks([0, 0.5, 1])
    parts.legend_over(axes[0], band(table))
    parts.describe(axes[0], f"Against the share of wrong labels: {'; '.join(labels.values())}.")


def agreement(ax: Axes, points: pd.DataFrame) -> None:
    """Label entropy over other seeds against that over late epochs, means over test points."""
    for number, (option, own) in enumerate(points.groupby("option", sort=False)):
        means = own.groupby("one_run")["over_seeds"].agg(["mean", "sem"]).reset_index()
        look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 3, "lw": 0.8}
        ax.errorbar(means["one_run"], means["mean"], means["sem"], label=str(option), **look)
    ax.set(xlabel="over late epochs of one run (nats)", ylabel="over other seeds (nats)", title="label entropy of test points")
    parts.legend_over(ax, parts.labelled(ax))
    parts.describe(ax, "Mean label entropy over other seeds of test points with the same label entropy over late epochs.")


def settings(ax: Axes, table: pd.DataFrame, label: str) -> None:
    """Prunability against mean label entropy, a point a setting."""
    ax.plot(table["instability"], table[label], "o", ms=4, color=COLOURS[4])
    ax.set(xlabel="mean label entropy (nats)", ylabel="prunability (kept fraction)", title="settings")
    parts.describe(ax, "Prunability against mean label entropy over seeds, a point a setting.")


def training_points(ax: Axes, table: pd.DataFrame) -> None:
    """Label entropy over late epochs of each training example against its margin, wrong labels apart."""
    for number, (wrong, own) in enumerate(table.groupby("wrong")):
        look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 3, "ls": "", "alpha": 0.7}
        ax.plot(own["margin"], own["entropy"], label=f"{'wrong' if wrong else 'right'} label, n = {len(own)}", **look)
    ax.set(xlabel="margin at the end (logits)", ylabel="label entropy over late epochs (nats)")
    parts.legend_above(ax, parts.labelled(ax))
    parts.describe(ax, "Label entropy of training examples against their margin, means over seeds.")


def changes(axes: Sequence[Axes], table: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """By how much each option (rows) changes each column (panels), with intervals by seeds."""
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        own = table[table["name"] == name]
        parts.zero(ax)
        parts.intervals(ax, own, range(len(own)), COLOURS[: len(own)], "change")
        parts.name_rows(ax, own["label"])
        ax.set(xlabel=label)
    parts.describe(axes[0], f"Change by each option of {'; '.join(labels.values())}, paired by seed.")


def curvature(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """λ_max along training, a panel a learning rate, a line a training; dashed the limit of stability."""
    for ax, (_, of_rate) in zip(axes, table.groupby("learning_rate"), strict=False):
        for number, (_, of_warm) in enumerate(of_rate.groupby("warmup_epochs")):
            warm = of_warm["warmup_epochs"].iloc[0]
            for place, (_, own) in enumerate(of_warm.groupby("seed")):
                words = (f"warm-up of {warm} steps" if warm else "no warm-up") if not place else None
                look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 2.5, "lw": 0.8}
                ax.plot(own["steps"], own["hessian_top_eigenvalue"], label=words, **look)
        ax.axhline(of_rate["limit"].iloc[0], color=parts.GREY, lw=0.8, ls="--", label="(2 + 2μ)/η")
        ax.set(xscale="log", yscale="log", xlabel="steps", title=parts.typeset(f"η = {of_rate['learning_rate'].iloc[0]:g}"))
        parts.count_ticks(ax.xaxis)
    for ax in axes[table["learning_rate"].nunique() :]:
        ax.remove()
    axes[0].set_ylabel("largest eigenvalue λ (nats)")
    parts.legend_over(axes[0], parts.labelled(axes[0]))
    parts.describe(axes[0], "Largest eigenvalue of the Hessian against steps, with and without warm-up, and its limit.")
