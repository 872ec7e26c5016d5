"""Figures of sparse networks: plotters that take finished tables and axes and compute nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, PercentFormatter

from numpy.typing import NDArray

from prunability.analysis.probed import ATTACK, LEVELS, LINES, NOISE
from prunability.report.figures import parts
from prunability.report.figures.double_descent import TEST_LOSS_PEAK, band, lines
from prunability.report.figures.style import COLOURS, MARKERS

DENSITY, EPOCH = "weights left (of all prunable)", "epoch at which the two part"
ENDS = {"test_loss": "test loss (nats)", "test_error": "test error (fraction)"}
NARROWEST: dict[str, Any] = {"color": parts.GREY, "lw": 0.8, "ls": "--", "label": "as the narrowest dense one"}
STRENGTHS = {NOISE: "σ of w(1 + σz)", ATTACK: "ε (1/255 of a pixel's range)"}
# What is drawn of a descent: a row of panels each.
DESCENT = {
    "loss (nats)": {"test_loss": "test", "train_loss": "training"},
    "error (fraction)": {"test_error": "test", "train_error": "training"},
    "learning distance": {"learning_distance": ""},
    "prunability (fraction)": {"prunability_of_left": "of the weights left", "prunability": "of all weights"},
}


def percent(axis: Axis) -> None:
    """Shares on a logarithmic axis, as 2%, 5%, 10%."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axis.set_minor_formatter(NullFormatter())


def curves(axes: Sequence[Axes], table: pd.DataFrame, x: str, panels: Mapping[str, str], xlabel: str) -> None:
    """A panel a ``name`` of the table, called as in ``panels``, in it the mean of each ``line`` with its band."""
    known = dict.fromkeys(table["line"])
    for ax, (name, label) in zip(axes, panels.items(), strict=True):
        own = table[table["name"] == name]
        lines(ax, own.assign(name=own["line"]), x, {line: line for line in known})
        ax.set(xlabel=xlabel, ylabel=label)


def logarithmic(axes: Sequence[Axes]) -> None:
    """Errors from a hundredth to all, as percentages, on one scale."""
    for ax in axes:
        ax.set_yscale("log")
        ax.set_ylabel(ax.get_ylabel().replace(" (fraction)", ""))
        percent(ax.yaxis)


def density(axes: Sequence[Axes]) -> None:
    """From all weights on the left to few on the right."""
    for ax in axes:
        percent(ax.xaxis)
        ax.set_xlim(*sorted(ax.get_xlim(), reverse=True))


def tickets(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Test loss and error of tickets and their controls against the share of weights left."""
    curves(axes, table, "density", ENDS, DENSITY)
    density(axes)
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    logarithmic(axes[1:])
    parts.legend_over(axes[0], [*parts.labelled(axes[0]), *band(table)])
    parts.describe(axes[0], f"Test loss and error against density: {', '.join(dict.fromkeys(table['line']))}.")


def descent(axes: NDArray[Any], tables: Mapping[str, pd.DataFrame], marked: Mapping[str, float]) -> None:
    """A column of panels a table, a row each of ``DESCENT``; ``marked`` is where the test loss peaks, if it does."""
    for column, (title, table) in zip(axes.T, tables.items(), strict=True):
        first = 0
        for ax, names in zip(column, DESCENT.values(), strict=True):
            # Test and training have the same colours in both rows.
            lines(ax, table, "density", names, first)
            first += len(names) * ("train_loss" not in names)
            density([ax])
            if title in marked:
                ax.axvline(marked[title], **TEST_LOSS_PEAK)
        column[0].set_title(title)
        column[-1].set_xlabel(DENSITY)
    for ax, label in zip(axes[:, 0], DESCENT, strict=True):
        ax.set_ylabel(label)
        if len(DESCENT[label]) > 1:
            ax.legend(loc="best")
    key = [Line2D([], [], **TEST_LOSS_PEAK, label="test loss peaks")] if marked else []
    parts.legend_over(axes[0, 0], [*key, *band(*tables.values())])
    parts.describe(axes[0, 0], f"Against density, {' and '.join(tables)}: {'; '.join(DESCENT)}.")


def barrier(axes: Sequence[Axes], heights: pd.DataFrame, along: pd.DataFrame) -> None:
    """The barrier between children in loss and in error against the epoch at which they part, and lines."""
    panels = {"loss": "barrier in the loss (nats)", "error": "barrier in the error (fraction)"}
    curves(axes[:2], heights, "epoch", panels, EPOCH)
    for ax in axes[:2]:
        epochs = sorted(set(heights["epoch"]))
        ax.set_xscale("symlog", linthresh=1, linscale=0.5)
        ax.xaxis.set_major_locator(FixedLocator(epochs))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
    parts.legend_above(axes[0], parts.labelled(axes[0]))
    parts.legend_above(axes[1], band(heights))
    between(axes[2:], along, {"above": "test loss above the ends' (nats)"})
    look: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 4, "columnspacing": 1.0}
    axes[2].legend(title="they part at epoch", title_fontsize=6.5, **look)
    parts.describe(axes[0], "Barrier between two children of a network against the epoch at which they part.")


def between(axes: Sequence[Axes], table: pd.DataFrame, panels: Mapping[str, str]) -> None:
    """What is looked at along the line between two networks, t = 1 being the first."""
    curves(axes, table, "t", panels, "t of t w + (1 − t) w′")
    for ax in axes:
        ax.set_xscale("linear")
        ax.xaxis.set_major_formatter("{x:g}")


def matching(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Between networks of two seeds, as they are and with their units matched; a panel a kind of network."""
    names = dict.fromkeys(table["network"])
    for ax, name in zip(axes, names, strict=True):
        between([ax], table[table["network"] == name], {"test_loss": ""})
        ax.set_title(name)
    axes[0].set_ylabel(ENDS["test_loss"])
    parts.legend_over(axes[0], [*parts.labelled(axes[0]), *band(table)])
    parts.describe(axes[0], f"Test loss between {', '.join(names)} of two seeds, as they are and matched.")


def scatter(ax: Axes, table: pd.DataFrame, words: str) -> None:
    """The barrier between a network's children against its prunability, in the words of their tau."""
    for number, (width, own) in enumerate(table.groupby("width")):
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        ax.scatter(own["parent"], own["test_loss"], s=14, label=f"width {width}", zorder=3, **look)
    ax.set(xlabel="prunability of the parent (kept fraction)", ylabel="barrier in the test loss (nats)")
    parts.legend_above(ax, parts.labelled(ax))
    ax.set_title(parts.typeset(words), pad=14)
    parts.describe(ax, f"Barrier between children against their parent's prunability, {words}.")


def by_width(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """A panel a disturbance: test error, mean over its strengths, of dense and sparse networks by width."""
    names = {name: "test error (fraction)" if not place else "" for place, name in enumerate(dict.fromkeys(table["name"]))}
    curves(axes, table, "width", names, "width (channels)")
    logarithmic(axes)
    narrowest = table[(table["width"] == table["width"].min()) & (table["line"] == LINES["dense"])]
    for ax, name in zip(axes, names, strict=True):
        ax.axhline(float(narrowest.loc[narrowest["name"] == name, "mean"].iloc[0]), **NARROWEST)
        ax.set_title(name)
        ax.xaxis.set_major_locator(FixedLocator(sorted(set(table["width"]))))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    parts.legend_over(axes[0], [*parts.labelled(axes[0]), *band(table)], ncols=4)
    parts.describe(axes[0], f"Test error by width under {', '.join(names)}: {', '.join(dict.fromkeys(table['line']))}.")


def by_strength(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """A panel a disturbance: test error against its strength, from the clean one at 0."""
    names = dict.fromkeys(table["disturbance"])
    for ax, name in zip(axes, names, strict=False):
        own = table[table["disturbance"] == name]
        curves([ax], own.assign(name=""), "strength", {"": ""}, STRENGTHS.get(name, "severity"))
        ax.set_xscale("linear")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_title(name)
    for ax in axes[len(names) :]:
        ax.remove()
    for ax in axes[:: (len(axes) + 1) // 2]:
        ax.set_ylabel(ENDS["test_error"])
    parts.legend_over(axes[0], [*parts.labelled(axes[0]), *band(table)], ncols=3)
    parts.describe(axes[0], f"Test error against the strength of {', '.join(names)}.")


def classes(axes: Sequence[Axes], errors: pd.DataFrame, biases: pd.DataFrame) -> None:
    """How far the error on each class moves as networks are pruned, and how unevenly the classes' errors do."""
    names = sorted(set(errors["class"]))
    for number, level in enumerate(LEVELS[1:]):
        own = errors[errors["level"] == level]
        places = own["class"] + 0.22 * (number - 1)
        look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 3, "ls": "none"}
        axes[0].errorbar(places, own["mean"], own["error"].fillna(0), label=level, **look)
    axes[0].axhline(0, color=parts.GREY, lw=0.6)
    axes[0].set_yscale("symlog", linthresh=0.1)
    axes[0].yaxis.set_major_locator(FixedLocator([-0.1, -0.05, 0, 0.05, 0.1, 0.2, 0.5, 1]))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_locator(NullLocator())
    axes[0].set_xticks(names, [f"{name}" for name in names])
    axes[0].set(xlabel="class", ylabel="change of its error (fraction)")
    bars = [Line2D([], [], color=parts.GREY, lw=1.1, label="± one standard error")]
    parts.legend_above(axes[0], [*parts.labelled(axes[0]), *bars])
    for number, (name, label) in enumerate({"cev": "CEV", "sde": "SDE"}.items(), len(LEVELS) - 1):
        own = biases[biases["name"] == name]
        at = [LEVELS.index(level) for level in own["level"]]
        look = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 3.5}
        axes[1].errorbar(at, own["mean"], own["error"].fillna(0), label=label, **look)
    axes[1].set_xticks(range(1, len(LEVELS)), LEVELS[1:])
    axes[1].set(xlabel="pruned to", ylabel="CEV, SDE (no unit)")
    if (biases.loc[biases["name"].isin(["cev", "sde"]), "mean"] > 0).any():  # where there are errors that move
        axes[1].set_yscale("log")
    parts.legend_above(axes[1], parts.labelled(axes[1]))
    parts.describe(axes[0], f"Change of the error on each of {len(names)} classes, pruned to {', '.join(LEVELS[1:])}.")
