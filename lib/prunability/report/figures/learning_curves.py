"""Figures of learning curves: plotters that take finished tables and axes and compute nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from prunability.report.figures import parts
from prunability.report.figures.double_descent import band, lines
from prunability.report.figures.style import COLOURS, MARKERS


def by_level(axes: Sequence[Axes], tables: Mapping[str, pd.DataFrame], x: str, labels: Mapping[str, str]) -> None:
    """A panel a column of ``labels`` against ``x``, with a line for each table, of means over seeds."""
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        for number, (level, table) in enumerate(tables.items()):
            lines(ax, table, x, {name: level}, number)
        ax.set(xlabel=x.replace("n_train", "training examples"), title=label)
        means = pd.concat([table.loc[table["name"] == name, "mean"] for table in tables.values()] or [pd.Series(dtype=float)])
        if means.min() > 0 and means.max() > max(1, 20 * means.min()):
            ax.set_yscale("log")
    parts.describe(axes[0], f"Against {axes[0].get_xlabel()}: {'; '.join(labels.values())}.")


def key(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    """What the lines of such panels are, above the whole figure."""
    parts.legend_over(ax, [*parts.labelled(ax), *band(*tables.values())], ncols=5)


def trainings(axes: Sequence[Axes], table: pd.DataFrame, columns: Sequence[tuple[str, str]]) -> None:
    """Columns, with their labels, against the margin: a panel each, a line a training, in the colour of its batch."""
    batches = sorted(table["batch_size"].unique())
    for ax, (name, label) in zip(axes, columns, strict=True):
        for _, own in table.groupby("training"):
            number = batches.index(own["batch_size"].iloc[0])
            look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 2.5, "lw": 0.6}
            words = f"batch {batches[number]}" if own["seed"].iloc[0] == table["seed"].min() else None
            ax.plot(own["margin"], own[name], label=words, **look)
        ax.set(xlabel="margin, 10th percentile (logits)", ylabel=label)
        parts.describe(ax, f"{label} against the margin, a line a training.")
    parts.legend_over(axes[0], parts.labelled(axes[0]))


def taus(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Tau of each ``label`` with the test loss with its interval, a panel for each ``way`` of comparing."""
    for ax, (way, own) in zip(axes, table.groupby("way", sort=False), strict=False):
        parts.zero(ax)
        parts.intervals(ax, own, range(len(own)), COLOURS[: len(own)])
        parts.name_rows(ax, own["label"])
        ax.set(title=f"{way}, {parts.counted(own['n'].max(), 'training')}", xlabel="Kendall τ with the test loss", xlim=(-1.05, 1.05), xticks=[-1, -0.5, 0, 0.5, 1])
    for ax in axes[table["way"].nunique() :]:
        ax.remove()


def orders(ax: Axes, table: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """Tau of each column of ``labels`` on n examples with the test loss on all, with its interval."""
    for number, (name, label) in enumerate(labels.items()):
        if (own := table[table["name"] == name]).empty:
            continue
        ax.fill_between(own["n_train"], own["low"], own["high"], color=COLOURS[number], alpha=0.2, lw=0)
        ax.plot(own["n_train"], own["tau"], marker=MARKERS[number], color=COLOURS[number], label=label)
    ax.set(xscale="log", xlabel="training examples", ylabel="Kendall τ with the test loss on all", ylim=(-1.05, 1.05))
    parts.count_ticks(ax.xaxis)
    parts.legend_above(ax, parts.labelled(ax))


def lengths(ax: Axes, table: pd.DataFrame) -> None:
    """The description length of each network's labels against its test loss on all examples."""
    ax.plot(table["nats"], table["test_loss"], "o", color=COLOURS[2])
    ax.set(xlabel="prequential description length (nats)", ylabel="test loss on all examples (nats)")
