"""Figures of the correlation study: plotters that take finished tables and an ``ax`` and compute nothing."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import TARGETS
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.search import HEADLINE
from prunability.report.figures import parts
from prunability.report.figures.style import COLOURS, MARKERS

HYPERPARAMETERS = {
    "width": "width (channels)",
    "depth": "depth (blocks)",
    "dropout": "dropout (probability)",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "batch_size": "batch size (images)",
}
KEPT_FRACTION = "prunability (kept fraction)"


def _levels(table: pd.DataFrame, name: str, looks: Sequence[str]) -> list[str]:
    """A look for each level of a hyperparameter, from the first on again where there are too few."""
    return list(islice(cycle(looks), table[name].nunique()))


def scatter(ax: Axes, table: pd.DataFrame, x: str, y: str, colour: str, marker: str) -> list[Any]:
    """Runs as points, coloured and shaped by hyperparameters; returns handles for a legend."""
    sns.scatterplot(
        table.astype({x: float, y: float}),
        x=x,
        y=y,
        hue=colour,
        style=marker,
        palette=_levels(table, colour, COLOURS) or None,  # none where there is no run
        markers=_levels(table, marker, MARKERS),
        s=15,
        alpha=0.85,
        linewidth=0.3,
        ax=ax,
    )
    if legend := ax.get_legend():
        legend.remove()
    names, handles = {name: name.replace("_", " ") for name in (colour, marker)}, parts.labelled(ax)
    for handle in handles:
        word = handle.get_label()
        handle.set_label(names.get(word) or f"{float(word):g}")
    return handles


def tau_title(ax: Axes, row: pd.Series) -> None:
    """Tau with its interval above a panel."""
    ax.set_title(parts.typeset(f"τ = {Estimate(row['tau'], row['low'], row['high'])}"))


def prunability_scatter(
    ax: Axes, table: pd.DataFrame, correlations: pd.DataFrame, colour: str, marker: str
) -> None:
    """The main figure: prunability against test loss, tau and its interval above."""
    parts.legend_over(ax, scatter(ax, table, HEADLINE_MEASURE, "test_loss", colour, marker))
    tau_title(ax, correlations[correlations["target"] == "test_loss"].iloc[0])
    ax.set(xlabel="prunability (kept fraction, ε = 0.1 nats)", ylabel=TARGETS["test_loss"])
    parts.describe(
        ax,
        f"Scatter of the test loss against prunability of {parts.counted(len(table), 'network')}, "
        f"by {colour} and {marker}: {ax.get_title()}.",
    )


def scatter_by_hyperparameter(
    axes: Sequence[Axes], table: pd.DataFrame, names: Sequence[str], columns: int = 3
) -> None:
    """Prunability against test loss once for each hyperparameter; panels left over are removed."""
    for number, (ax, name) in enumerate(zip(axes, names, strict=False)):
        handles = scatter(ax, table, HEADLINE_MEASURE, "test_loss", name, name)
        ax.set_title(HYPERPARAMETERS.get(name, name), pad=16)
        # Between the title and the panel, where it covers no network.
        parts.legend_above(ax, handles, "center")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set(xlabel="", ylabel=TARGETS["test_loss"] if number % columns == 0 else "")
        if number + columns >= len(names):  # nothing below it
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(KEPT_FRACTION, visible=True)
    for ax in axes[len(names) :]:
        ax.remove()
    said = ", ".join(name.replace("_", " ") for name in names)
    number_of = parts.counted(len(table), "network")
    parts.describe(axes[0], f"Scatters of the test loss against prunability of {number_of}, by {said} in turn.")


def tau_by_level(ax: Axes, table: pd.DataFrame, overall: float) -> None:
    """Tau of prunability with its intervals, a row for each level of each hyperparameter; ``overall`` is dotted."""
    places = np.arange(len(table))
    names = list(dict.fromkeys(table["hyperparameter"]))
    colours = [COLOURS[names.index(name) % len(COLOURS)] for name in table["hyperparameter"]]
    parts.zero(ax)
    ax.axvline(overall, color=parts.GREY, lw=0.8, ls=":")
    ax.hlines(places, table["low"], table["high"], color=colours, lw=2.4, alpha=0.5)
    ax.hlines(places + 0.22, table["seeds_low"], table["seeds_high"], color=colours, lw=0.8)
    ax.scatter(table["tau"], places, color=colours, s=12, zorder=3)
    labels = [
        f"{name.replace('_', ' ')} {level:g} (n = {n:.0f})"
        for name, level, n in zip(table["hyperparameter"], table["level"], table["n"], strict=True)
    ]
    parts.name_rows(ax, labels)
    ax.set(xlabel="Kendall τ with test loss")
    looks = {"95 %, by settings": (2.4, "-", 0.5), "95 %, by seeds": (0.8, "-", 1), "τ of all": (0.8, ":", 1)}
    if table["seeds_low"].isna().all():
        del looks["95 %, by seeds"]
    key = [
        Line2D([], [], color=parts.GREY, lw=width, ls=dashes, alpha=alpha, label=words)
        for words, (width, dashes, alpha) in looks.items()
    ]
    parts.legend_over(ax, key, handlelength=1.4)
    parts.describe(ax, f"Kendall τ of prunability with the test loss at {parts.counted(len(table), 'level')} of ")
    parts.describe(ax, parts.typeset(f"{parts.counted(len(names), 'hyperparameter')}; {overall:z.2f} over all."))


def pruning_curve(ax: Axes, curves: pd.DataFrame, loss: float, limit: float, answers: Mapping[str, float]) -> None:
    """Loss against the kept fraction for each pruner, with the tolerance and each answer marked."""
    looks = zip(curves.groupby("pruner", sort=False), COLOURS, MARKERS, strict=False)
    for (pruner, curve), colour, marker in looks:
        answer = answers[str(pruner)]
        ax.plot(curve["kept_fraction"], curve["loss"], color=colour)
        ax.vlines(answer, 0, limit, color=colour, lw=0.8, ls="--")
        ax.plot([answer], [limit], marker, ls="-", color=colour, ms=5, label=f"{pruner}: {answer:g}")
    for height, words, dashes in ((limit, "tolerance L(w) + ε", "--"), (loss, "trained network L(w)", ":")):
        ax.axhline(height, color=parts.GREY, lw=0.8, ls=dashes)
        ax.text(0.01, height, words, va="bottom", fontsize=6.5, color=parts.DARK)
    ax.set(yscale="log", xlim=(0, 1), xlabel="kept fraction α", ylabel="training loss L(φ(w, α)) (nats)")
    parts.legend_over(ax, parts.labelled(ax), title="pruner: prunability", title_fontsize=6.5)
    said = "; ".join(f"{pruner} {answer:g}" for pruner, answer in answers.items())
    parts.describe(ax, f"The training loss of one network against the kept fraction. Prunability: {said}.")


def ranking(axes: Sequence[Axes], table: pd.DataFrame, headline: str) -> None:
    """Measures by family and by tau with the first target, one panel a target; ``headline`` in bold, its tau dotted."""
    rows = parts.by_family(table[table["target"] == next(iter(TARGETS))], "tau")
    for ax, (target, title) in zip(axes, TARGETS.items(), strict=True):
        part = table[table["target"] == target].set_index("measure").loc[rows["measure"]]
        parts.zero(ax)
        if headline in part.index:
            ax.axvline(float(part["tau"][headline]), color=COLOURS[0], lw=0.6, ls=":")
        parts.family_intervals(ax, part, list(part["family"]))
        ax.set(xlabel=f"Kendall τ with\n{title}")
    parts.measure_rows(axes, rows, headline)
    number_of = parts.counted(len(rows), "measure")
    parts.describe(axes[0], f"Kendall τ of {number_of} with {len(axes)} targets, with 95 % intervals, by family.")


def tau_grid(ax: Axes, table: pd.DataFrame, headline: str) -> None:
    """ψ of each measure (rows, by family) within each hyperparameter (columns), Ψ in the last column.

    Where nothing varies within any cell there is no ψ, and a dash.
    """
    rows = parts.by_family(table[table["hyperparameter"] == "mean"], "psi")
    grid = table.pivot_table(index="measure", columns="hyperparameter", values="psi", sort=False, dropna=False)
    grid = grid.loc[rows["measure"]]
    names = ["Ψ (mean)" if name == "mean" else str(name).replace("_", "\n") for name in grid.columns]
    # Beyond 1, so that black numbers can be read on the darkest cells.
    look = {"vmin": -1.6, "vmax": 1.6, "cmap": "PuOr_r", "cbar": False, "xticklabels": names}
    written = {"annot": grid.map(parts.two_decimals), "fmt": "", "annot_kws": {"fontsize": 5.5, "color": "black"}}
    sns.heatmap(grid, ax=ax, **look, **written)
    for row, column in np.argwhere(grid.isna().to_numpy()):
        ax.text(column + 0.5, row + 0.5, "–", ha="center", va="center", fontsize=5.5)
    parts.measure_rows([ax], rows, headline, first=0.5)
    ax.set_ylim(len(grid), 0)
    ax.tick_params(length=0)
    ax.set(xlabel="", ylabel="", title="ψ with test loss within each hyperparameter")
    ax.grid(visible=False)
    ax.axvline(len(names) - 1, color="white", lw=2)
    number_of = parts.counted(len(rows), "measure")
    parts.describe(ax, f"Granulated Kendall τ of {number_of} with the test loss within each hyperparameter.")


def tolerance_sweep(axes: Sequence[Axes], table: pd.DataFrame, series: str, what: str) -> None:
    """``what``, a tau, against ε (left) and β (right), a line with its interval for each value of ``series``."""
    for ax, kind, label in zip(axes, ("absolute", "relative"), ("ε (nats)", "β"), strict=True):
        own = table[table["kind"] == kind]
        for number, (name, part) in enumerate(own.groupby(series, sort=False)):
            # Side by side around each tolerance, so that intervals do not hide one another.
            x = part["amount"] * 1.05 ** (number - 1)
            ax.vlines(x, part["low"], part["high"], color=COLOURS[number], lw=1, alpha=0.6)
            ax.plot(x, part["tau"], marker=MARKERS[number], color=COLOURS[number], label=str(name))
        ax.axhline(0, color=parts.GREY, lw=0.6)
        ax.set(xscale="log", xlabel=f"{kind} tolerance {label}")
        values = sorted(own["amount"].unique())
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.minorticks_off()
    axes[0].set_ylabel(what)
    parts.legend_over(axes[0], parts.labelled(axes[0]))
    parts.describe(axes[0], f"{what} at absolute and relative tolerances, a line for each {series}.")


def size_panels(axes: Sequence[Axes], table: pd.DataFrame, sizes: pd.DataFrame, colour: str, marker: str) -> None:
    """Prunability and the kept parameters against the parameter count, tau with its interval above each."""
    headline = sizes[(sizes["kind"] == HEADLINE.kind) & (sizes["amount"] == HEADLINE.amount)]
    names = {
        HEADLINE_MEASURE: ("prunability", KEPT_FRACTION),
        "kept_parameter_count": ("kept parameters", "kept parameters (count)"),
    }
    for ax, (column, (measure, ylabel)) in zip(axes, names.items(), strict=True):
        handles = scatter(ax, table, "parameter_count", column, colour, marker)
        ax.set(xscale="log", xlabel="parameters (count)", ylabel=ylabel)
        parts.count_ticks(ax.xaxis)
        tau_title(ax, headline[headline["measure"] == measure].iloc[0])
    axes[1].set_yscale("log")
    parts.count_ticks(axes[1].yaxis)
    parts.legend_over(axes[0], handles)
    taus = " and ".join(ax.get_title() for ax in axes)
    parts.describe(axes[0], "Prunability and the number of kept parameters against the number of parameters of ")
    parts.describe(axes[0], f"{parts.counted(len(table), 'network')}: {taus}.")
