"""Figures of double descent: plotters that take finished tables and axes and compute nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from prunability.measures import all_measures
from prunability.report.figures import parts
from prunability.report.figures.style import COLOURS, MARKERS

PARAMETERS = "parameters (count)"
# The two vertical lines, where networks begin to interpolate and where the test loss peaks.
INTERPOLATION: dict[str, Any] = {"color": parts.GREY, "lw": 0.8, "ls": "--"}
TEST_LOSS_PEAK: dict[str, Any] = {"color": COLOURS[0], "lw": 0.8, "ls": ":"}
BAND = Patch(color=parts.GREY, alpha=0.25, lw=0, label="± one standard error")


def band(*tables: pd.DataFrame) -> list[Patch]:
    """What the key says of bands; nothing where single networks are drawn, which have none."""
    return [BAND] if any(table["error"].notna().any() for table in tables) else []


def lines(ax: Axes, table: pd.DataFrame, x: str, labels: Mapping[str, str], first: int = 0) -> None:
    """The mean of each column in ``labels`` against ``x``, with a band of one standard error where there is one."""
    for number, (name, label) in enumerate(labels.items(), first):
        if (part := table[table["name"] == name]).empty:
            continue
        colour, error = COLOURS[number % len(COLOURS)], part["error"].fillna(0)
        ax.fill_between(part[x], part["mean"] - error, part["mean"] + error, color=colour, alpha=0.25, linewidth=0)
        ax.plot(part[x], part["mean"], marker=MARKERS[number % len(MARKERS)], ms=2.5, color=colour, label=label)
    ax.set_xscale("log")
    parts.count_ticks(ax.xaxis, (1.0, 3.0))


def titled(name: str, label: str) -> str:
    """A label with the unit of the measure that it names; other columns' labels have theirs."""
    unit = known[name].unit if name in (known := all_measures()) else "1"
    return label if unit == "1" else f"{label} ({unit})"


def losses_and_errors(axes: Sequence[Axes], table: pd.DataFrame, x: str, at: float | None = None) -> None:
    """Training and test loss in one panel, training and test error in the next; a line where networks interpolate."""
    units = {"loss": "cross-entropy (nats)", "error": "error (fraction)"}
    for ax, (quantity, unit) in zip(axes, units.items(), strict=True):
        lines(ax, table, x, {f"test_{quantity}": "test", f"train_{quantity}": "training"})
        if at is not None:
            ax.axvline(at, **INTERPOLATION)
        ax.set(xlabel=PARAMETERS if x == "parameters" else x.replace("max_", ""), ylabel=unit)
        ax.set_ylim(0, 1.15 * float(table.loc[table["name"].str.endswith(quantity), "mean"].max()))
    begins = [] if at is None else [Line2D([], [], **INTERPOLATION, label="interpolates from here on")]
    parts.legend_above(axes[0], [*parts.labelled(axes[0]), *begins])
    if band(table):
        parts.legend_above(axes[1], band(table))
    parts.describe(axes[0], f"Training and test loss, and training and test error, against {axes[0].get_xlabel()}.")


def along_training(axes: Sequence[Axes], table: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """Losses, errors and prunability (a line for each of ``labels``) after more and more epochs."""
    losses_and_errors(axes[:2], table, "max_epochs")
    lines(axes[2], table, "max_epochs", labels, 2)
    axes[2].set(xlabel="epochs", ylabel="prunability (kept fraction)")
    parts.legend_above(axes[2], parts.labelled(axes[2]))
    parts.describe(axes[0], f"Beside them prunability at {' and '.join(labels.values())}.")


def small_multiples(
    axes: Sequence[Axes], table: pd.DataFrame, labels: Mapping[str, str], at: float | None, marked: float | None
) -> None:
    """A panel a column, against the parameter count; ``marked`` is where the test loss peaks."""
    for number, (ax, (name, label)) in enumerate(zip(axes, labels.items(), strict=False)):
        lines(ax, table, "parameters", {name: label}, number)
        if at is not None:
            ax.axvline(at, **INTERPOLATION)
        if marked is not None:
            ax.axvline(marked, **TEST_LOSS_PEAK)
        ax.set_title(titled(name, label))
        if number >= len(labels) - 3:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(PARAMETERS)
        means = table.loc[table["name"] == name, "mean"]
        if means.min() > 0 and means.max() / means.min() > 30:
            ax.set_yscale("log")
            if means.min() >= 1:  # a multiple of 1 is told by k and M, a part of it is not
                parts.count_ticks(ax.yaxis, (1.0, 3.0))
        elif means.max() > 1e4:
            ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    for ax in axes[len(labels) :]:
        ax.remove()
    key = [] if at is None else [Line2D([], [], **INTERPOLATION, label="networks interpolate from here on")]
    key += [] if marked is None else [Line2D([], [], **TEST_LOSS_PEAK, label="test loss peaks")]
    parts.legend_over(axes[0], [*key, *band(table)])
    parts.describe(axes[0], f"Against the number of parameters: {'; '.join(labels.values())}.")


def by_half(axes: Sequence[Axes], table: pd.DataFrame, headline: str) -> None:
    """Tau of each measure (rows) with each target (colours), a panel a half; ``headline`` in bold."""
    labels = table.drop_duplicates("measure").set_index("measure")["label"]
    rows = list(labels.index)
    for ax, (half, part) in zip(axes, table.groupby("half", sort=False), strict=False):
        parts.zero(ax)
        for number, (target, own) in enumerate(part.groupby("target", sort=False)):
            places = [rows.index(name) + 0.22 * (number - 1) for name in own["measure"]]
            parts.intervals(ax, own, places, COLOURS[number], marker=MARKERS[number], label=str(target))
        ax.set(title=f"{half}\nn = {part['n'].iloc[0]}", xlabel="Kendall τ", xlim=(-1.05, 1.05))
        parts.name_rows(ax, labels, labels.index == headline)
    halves = table["half"].nunique()
    for ax in axes[halves:]:
        ax.remove()
    parts.legend_over(axes[0], parts.labelled(axes[0]))
    said = f"{parts.counted(len(rows), 'measure')} with {parts.counted(table['target'].nunique(), 'target')}"
    parts.describe(axes[0], f"Kendall τ of {said}, with 95 % intervals: {', '.join(table['half'].unique())}.")


def tolerances(axes: Sequence[Axes], curves: pd.DataFrame, limits: pd.DataFrame) -> None:
    """Loss against the kept fraction, a panel a network, with each tolerance's limit and answer."""
    for ax, (network, curve) in zip(axes, curves.groupby("network", sort=False), strict=False):
        ax.plot(curve["kept_fraction"], curve["loss"], color="black", lw=0.9)
        own = limits[limits["network"] == network]
        points = zip(own["tolerance"], own["limit"].astype(float), own["answer"].astype(float), strict=True)
        for colour, marker, (tolerance, limit, answer) in zip(COLOURS, MARKERS, points, strict=False):
            ax.axhline(limit, color=colour, lw=0.8, ls="--")
            ax.vlines(answer, 0, limit, color=colour, lw=0.8, ls=":")
            words = parts.typeset(f"{tolerance}: {answer:g}")
            ax.plot([answer], [limit], marker, color=colour, ms=4, label=words)
            parts.describe(ax, f"{network}, prunability at {words}.")
        loss = float(own["loss"].iloc[0])
        ax.axhline(loss, color="#999999", lw=0.8)
        ax.text(0.01, 0.9 * loss, "trained network L(w)", va="top", fontsize=6.5, color=parts.DARK)
        ax.set(yscale="log", xlim=(0, 1), xlabel="kept fraction α", title=str(network))
        # Room for the words below and the legend above.
        ax.set_ylim(0.3 * float(limits["loss"].min()), 100 * float(curves["loss"].max()))
        ax.legend(title="tolerance: prunability", title_fontsize=6.5, loc="upper center", ncols=2)
    axes[0].set_ylabel("training loss L(φ(w, α)) (nats)")


def by_noise(axes: Sequence[Axes], tables: Mapping[float, pd.DataFrame], labels: Mapping[str, str]) -> None:
    """A panel a column, a line for each share of wrong labels."""
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        for number, (noise, table) in enumerate(tables.items()):
            words = f"{noise:.0%} wrong, {parts.counted(table['n'].max(), 'seed')}"
            lines(ax, table, "parameters", {name: words}, number)
        ax.set(xlabel=PARAMETERS, title=titled(name, label))
    parts.legend_over(axes[0], [*parts.labelled(axes[0]), *band(*tables.values())])
    noises = ", ".join(f"{noise:.0%}" for noise in tables)
    parts.describe(
        axes[0], f"{'; '.join(labels.values())} against the number of parameters, {noises} of labels wrong."
    )
