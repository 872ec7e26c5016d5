"""Figures of the correlation study: plotters that take finished tables and an ``ax`` and compute nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from prunability.measures import HEADLINE_MEASURE
from prunability.measures.search import HEADLINE
from prunability.analysis.resampling import Estimate
from prunability.report.figures.style import COLOURS, FAMILIES, MARKERS
from prunability.analysis.tables import TARGETS

HYPERPARAMETERS = {
    "width": "width (channels)",
    "depth": "depth (blocks)",
    "dropout": "dropout (probability)",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "batch_size": "batch size (images)",
}


def scatter(
    ax: Axes, table: pd.DataFrame, x: str, y: str, colour: str, marker: str | None = None, legend: bool = True
) -> None:
    """Runs as points; ``colour`` and ``marker`` are hyperparameters, each value named in the legend."""
    levels = sorted(table[colour].unique())
    shapes = sorted(table[marker].unique()) if marker else [None]
    for number, level in enumerate(levels):
        for shape_number, shape in enumerate(shapes):
            part = table[(table[colour] == level) & ((table[marker] == shape) if marker else True)]
            label = f"{colour.replace('_', ' ')} {level:g}" + (f", {marker} {shape:g}" if marker else "")
            ax.scatter(
                part[x], part[y], s=13, alpha=0.85, linewidths=0.3, edgecolors="white",
                color=COLOURS[number % len(COLOURS)], marker=MARKERS[shape_number if marker else number % 7],
                label=label,
            )  # fmt: skip
    if legend:
        ax.legend(handletextpad=0.1, borderpad=0.2, labelspacing=0.25)


def title(ax: Axes, row: pd.Series) -> None:
    """Tau with its interval above a panel."""
    ax.set_title(f"τ = {Estimate(row['tau'], row['low'], row['high'])}")


def prunability_scatter(
    ax: Axes, table: pd.DataFrame, correlations: pd.DataFrame, colour: str, marker: str
) -> None:
    """The main figure: prunability against test loss, tau and its interval in the corner."""
    scatter(ax, table, HEADLINE_MEASURE, "test_loss", colour, marker, legend=False)
    ax.figure.legend(loc="outside upper center", ncols=3, handletextpad=0.1, columnspacing=0.8)
    row = correlations[correlations["target"] == "test_loss"].iloc[0]
    title(ax, row)
    ax.set(xlabel="prunability (kept fraction, ε = 0.1 nats)", ylabel=TARGETS["test_loss"])


def scatter_by_hyperparameter(
    axes: Sequence[Axes], table: pd.DataFrame, names: Sequence[str], columns: int = 3
) -> None:
    """Prunability against test loss once for each hyperparameter; panels left over are removed."""
    for ax, name in zip(axes, names, strict=False):
        scatter(ax, table, HEADLINE_MEASURE, "test_loss", name, legend=False)
        # Between the title and the panel, where it covers no network.
        values = [f"{level:g}" for level in sorted(table[name].unique())]
        ax.legend(
            ax.collections, values, loc="lower center", bbox_to_anchor=(0.5, 0.97), ncols=len(values),
            handletextpad=0.1, columnspacing=1.0,
        )  # fmt: skip
        ax.set_title(HYPERPARAMETERS.get(name, name), pad=14)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[len(names) :]:
        ax.remove()
    for number, ax in enumerate(axes[: len(names)]):
        if number + columns >= len(names):  # nothing below it
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("prunability (kept fraction)")
        if number % columns == 0:
            ax.set_ylabel(TARGETS["test_loss"])


def tau_by_level(ax: Axes, table: pd.DataFrame, overall: float) -> None:
    """Tau of prunability with its intervals, a row for each level of each hyperparameter; ``overall`` is dotted."""
    places = np.arange(len(table))[::-1]
    names = list(dict.fromkeys(table["hyperparameter"]))
    colours = [COLOURS[names.index(name) % len(COLOURS)] for name in table["hyperparameter"]]
    ax.axvline(0, color="#555555", lw=0.6)
    ax.axvline(overall, color="#555555", lw=0.8, ls=":")
    ax.hlines(places, table["low"], table["high"], color=colours, lw=2.4, alpha=0.5)
    ax.hlines(places - 0.22, table["seeds_low"], table["seeds_high"], color=colours, lw=0.8)
    ax.scatter(table["tau"], places, color=colours, s=12, zorder=3)
    labels = [
        f"{name.replace('_', ' ')} {level:g} (n = {n:.0f})"
        for name, level, n in zip(table["hyperparameter"], table["level"], table["n"], strict=True)
    ]
    ax.set_yticks(places, labels)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="Kendall τ with test loss", ylim=(-0.7, len(table) - 0.3))


def pruning_curve(ax: Axes, curves: pd.DataFrame, loss: float, limit: float, answers: Mapping[str, float]) -> None:
    """Loss against the kept fraction for each pruner, with the tolerance and each answer marked."""
    for (pruner, curve), colour in zip(curves.groupby("pruner", sort=False), COLOURS, strict=False):
        answer = answers[str(pruner)]
        ax.plot(curve["kept_fraction"], curve["loss"], color=colour, label=f"{pruner}: {answer:g}")
        ax.vlines(answer, 0, limit, color=colour, lw=0.8, ls="--")
        ax.plot([answer], [limit], "v", color=colour, ms=5)
    ax.axhline(limit, color="#555555", lw=0.8, ls="--")
    ax.text(0.01, limit, "tolerance L(w) + ε", va="bottom", fontsize=6.5, color="#333333")
    ax.axhline(loss, color="#999999", lw=0.8, ls=":")
    ax.text(0.01, loss, "trained network L(w)", va="bottom", fontsize=6.5, color="#555555")
    ax.set(yscale="log", xlim=(0, 1), xlabel="kept fraction α", ylabel="training loss L(φ(w, α)) (nats)")
    ax.figure.legend(
        *ax.get_legend_handles_labels(), title="pruner: prunability", title_fontsize=6.5,
        loc="outside upper center", ncols=3,
    )  # fmt: skip


def by_family(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows grouped by family, lowest first: families by their best row, and rows within each, by ``column``."""
    best = table.groupby("family")[column].transform("max")
    return table.assign(best=best).sort_values(["best", "family", column]).drop(columns="best")


def measure_rows(axes: Sequence[Axes], table: pd.DataFrame, first: str) -> None:
    """Names of measures, a row each, ``first`` in bold, and lines and names of families between and beside them."""
    for ax in axes:
        ax.set(ylim=(-0.7, len(table) - 0.3), yticks=range(len(table)))
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    labels = axes[0].set_yticklabels(list(table["label"]))
    for name, label in zip(table["measure"], labels, strict=True):
        label.set_fontsize(6.5)
        label.set_fontweight("bold" if name == first else "normal")
    families = table["family"].to_numpy()
    for start in (place for place in range(len(families)) if place == 0 or families[place] != families[place - 1]):
        end = start + int((families == families[start]).sum())
        for ax in axes:
            if start:
                ax.axhline(start - 0.5, color="#bbbbbb", lw=0.6)
        axes[-1].text(
            1.02, (start + end - 1) / 2, families[start], transform=axes[-1].get_yaxis_transform(), va="center",
            fontsize=7, color=FAMILIES.get(str(families[start]), COLOURS[6]), fontweight="bold",
        )  # fmt: skip


def ranking(axes: Sequence[Axes], table: pd.DataFrame, first: str) -> None:
    """Measures by family and by tau with the first target, one panel a target; ``first`` is set in bold."""
    rows = by_family(table[table["target"] == next(iter(TARGETS))], "tau")
    for ax, (target, title) in zip(axes, TARGETS.items(), strict=True):
        part = table[table["target"] == target].set_index("measure").loc[rows["measure"]]
        places = np.arange(len(part))
        colours = [FAMILIES.get(family, COLOURS[6]) for family in part["family"]]
        ax.axvline(0, color="#555555", lw=0.6)
        if first in part.index:
            ax.axvline(float(part["tau"][first]), color=COLOURS[0], lw=0.6, ls=":")
        ax.hlines(places, part["low"], part["high"], color=colours, lw=1.2)
        ax.scatter(part["tau"], places, color=colours, s=10, zorder=3)
        ax.set(xlabel=f"Kendall τ with\n{title}")
    measure_rows(axes, rows, first)


def tau_grid(ax: Axes, table: pd.DataFrame, first: str) -> None:
    """ψ of each measure (rows, by family) within each hyperparameter (columns), Ψ in the last column."""
    rows = by_family(table[table["hyperparameter"] == "mean"].fillna({"psi": -1.0}), "psi")
    grid = table.pivot_table(index="measure", columns="hyperparameter", values="psi", sort=False, dropna=False)
    grid = grid.loc[rows["measure"]]
    ax.imshow(grid, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto", origin="lower")
    for row, column in np.ndindex(grid.shape):
        value = grid.to_numpy(float)[row, column]
        dark = np.isfinite(value) and abs(value) > 0.65
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        ax.text(column, row, text, ha="center", va="center", fontsize=5.5, color="white" if dark else "black")
    names = ["Ψ (mean)" if name == "mean" else str(name).replace("_", "\n") for name in grid.columns]
    ax.set_xticks(range(len(names)), names)
    measure_rows([ax], rows, first)
    ax.set_ylim(-0.5, len(grid) - 0.5)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.axvline(len(names) - 1.5, color="white", lw=2)
    ax.set_title("ψ with test loss within each hyperparameter")


def tolerance_sweep(axes: Sequence[Axes], table: pd.DataFrame, series: str) -> None:
    """Tau against ε (left) and β (right), a line with its interval for each value of ``series``."""
    for ax, kind, label in zip(axes, ("absolute", "relative"), ("ε (nats)", "β"), strict=True):
        for number, (name, part) in enumerate(table[table["kind"] == kind].groupby(series, sort=False)):
            colour = COLOURS[number]
            # Side by side around each tolerance, so that intervals do not hide one another.
            x = part["amount"] * 1.05 ** (number - 1)
            ax.vlines(x, part["low"], part["high"], color=colour, lw=1, alpha=0.6)
            ax.plot(x, part["tau"], marker=MARKERS[number], color=colour, label=str(name))
        ax.axhline(0, color="#555555", lw=0.6)
        ax.set(xscale="log", xlabel=f"{kind} tolerance {label}")
        values = sorted(table.loc[table["kind"] == kind, "amount"].unique())
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.minorticks_off()
    axes[0].set_ylabel("Kendall τ")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)


def size_panels(axes: Sequence[Axes], table: pd.DataFrame, sizes: pd.DataFrame, colour: str, marker: str) -> None:
    """Parameter count against prunability and against the kept parameters, tau with its interval in each."""
    names = {HEADLINE_MEASURE: "prunability", "kept_parameter_count": "kept parameters"}
    headline = sizes[(sizes["kind"] == HEADLINE.kind) & (sizes["amount"] == HEADLINE.amount)]
    for ax, (column, measure) in zip(axes, names.items(), strict=True):
        scatter(ax, table, "parameter_count", column, colour, marker, legend=ax is axes[1])
        row = headline[headline["measure"] == measure].iloc[0]
        unit = "kept fraction" if measure == "prunability" else "count"
        ax.set(xscale="log", xlabel="parameters (count)", ylabel=f"{measure} ({unit})")
        count_ticks(ax.xaxis)
        title(ax, row)
    axes[1].set_yscale("log")
    count_ticks(axes[1].yaxis)


def count_ticks(axis: Axis, digits: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Counts, such as 300 and 2k, at ``digits`` times powers of ten, even where an axis spans less than ten."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())
