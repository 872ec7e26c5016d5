"""Figures of double descent: plotters that take finished tables and axes and compute nothing."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from prunability.report.figures.correlation import count_ticks
from prunability.report.figures.style import COLOURS, MARKERS

PARAMETERS = "parameters (count)"


def lines(ax: Axes, table: pd.DataFrame, x: str, labels: Mapping[str, str], first: int = 0) -> None:
    """The mean of each column in ``labels`` against ``x``, with a band of one standard error."""
    for number, (name, label) in enumerate(labels.items(), first):
        part = table[table["name"] == name]
        colour, error = COLOURS[number % len(COLOURS)], part["error"].fillna(0)
        ax.fill_between(part[x], part["mean"] - error, part["mean"] + error, color=colour, alpha=0.25, linewidth=0)
        ax.plot(part[x], part["mean"], marker=MARKERS[number % len(MARKERS)], ms=2.5, color=colour, label=label)
    ax.set_xscale("log")
    count_ticks(ax.xaxis, (1.0, 3.0))


def threshold(ax: Axes, at: float | None, words: str = "") -> None:
    """A line where networks begin to interpolate, if they do."""
    if at is not None:
        ax.axvline(at, color="#555555", lw=0.8, ls="--")
        if words:
            ax.text(
                at, 0.99, f" {words}", transform=ax.get_xaxis_transform(), fontsize=6, va="top", color="#333333"
            )


def losses_and_errors(axes: Sequence[Axes], table: pd.DataFrame, x: str, at: float | None = None) -> None:
    """Training and test loss in one panel, training and test error in the next."""
    for ax, quantity, unit in zip(
        axes, ("loss", "error"), ("cross-entropy (nats)", "error (fraction)"), strict=True
    ):
        lines(ax, table, x, {f"test_{quantity}": "test", f"train_{quantity}": "training"})
        threshold(ax, at, "interpolates" if quantity == "loss" else "")
        ax.set(xlabel=PARAMETERS if x == "parameters" else x.replace("max_", ""), ylabel=unit)
        ax.set_ylim(0, 1.15 * float(table.loc[table["name"].str.endswith(quantity), "mean"].max()))
    # Above the panel, where it covers no curve.
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2)


def small_multiples(
    axes: Sequence[Axes], table: pd.DataFrame, labels: Mapping[str, str], at: float | None, marked: float | None
) -> None:
    """A panel a column, against the parameter count; ``marked`` is where the test loss peaks."""
    for number, (ax, (name, label)) in enumerate(zip(axes, labels.items(), strict=False)):
        lines(ax, table, "parameters", {name: label}, number)
        threshold(ax, at)
        if marked is not None:
            ax.axvline(marked, color=COLOURS[0], lw=0.8, ls=":")
        ax.set_title(label)
        if number >= len(labels) - 3:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(PARAMETERS)
        positive = table.loc[table["name"] == name, "mean"]
        if positive.min() > 0 and positive.max() / positive.min() > 30:
            ax.set_yscale("log")
        elif positive.max() > 1e4:
            ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    for ax in axes[len(labels) :]:
        ax.remove()


def by_half(axes: Sequence[Axes], table: pd.DataFrame, first: str) -> None:
    """Tau of each measure (rows) with each target (colours), a panel a half; ``first`` in bold."""
    rows = list(dict.fromkeys(table["measure"]))[::-1]
    labels = table.drop_duplicates("measure").set_index("measure")["label"]
    for ax, (half, part) in zip(axes, table.groupby("half", sort=False), strict=False):
        ax.axvline(0, color="#555555", lw=0.6)
        for number, (target, own) in enumerate(part.groupby("target", sort=False)):
            places = [rows.index(name) + 0.22 - 0.22 * number for name in own["measure"]]
            colour = COLOURS[number]
            ax.hlines(places, own["low"], own["high"], color=colour, lw=1.1)
            ax.scatter(own["tau"], places, color=colour, marker=MARKERS[number], s=9, zorder=3, label=str(target))
        ax.set(title=f"{half}\nn = {part['n'].iloc[0]}", xlabel="Kendall τ", xlim=(-1.05, 1.05))
        ax.set(ylim=(-0.7, len(rows) - 0.3), yticks=range(len(rows)))
        ax.grid(axis="y", visible=False)
    for label, name in zip(axes[0].set_yticklabels([labels[name] for name in rows]), rows, strict=True):
        label.set_fontweight("bold" if name == first else "normal")
    for ax in axes[table["half"].nunique() :]:
        ax.remove()
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def tolerances(axes: Sequence[Axes], curves: pd.DataFrame, limits: pd.DataFrame) -> None:
    """Loss against the kept fraction, a panel a network, with each tolerance's limit and answer."""
    for ax, (network, curve) in zip(axes, curves.groupby("network", sort=False), strict=False):
        ax.plot(curve["kept_fraction"], curve["loss"], color="black", lw=0.9)
        own = limits[limits["network"] == network]
        points = zip(own["tolerance"], own["limit"].astype(float), own["answer"].astype(float), strict=True)
        for colour, marker, (tolerance, limit, answer) in zip(COLOURS, MARKERS, points, strict=False):
            ax.axhline(limit, color=colour, lw=0.8, ls="--")
            ax.vlines(answer, 0, limit, color=colour, lw=0.8, ls=":")
            ax.plot([answer], [limit], marker, color=colour, ms=4, label=f"{tolerance}: {answer:g}")
        ax.axhline(own["loss"].iloc[0], color="#999999", lw=0.8)
        ax.set(yscale="log", xlim=(0, 1), xlabel="kept fraction α", title=str(network))
        # Room for the legend above.
        ax.set_ylim(0.5 * float(limits["loss"].min()), 100 * float(curves["loss"].max()))
        ax.legend(title="tolerance: prunability", title_fontsize=6, loc="upper center", ncols=2)
    axes[0].set_ylabel("training loss L(φ(w, α)) (nats)")


def by_noise(axes: Sequence[Axes], tables: Mapping[float, pd.DataFrame], labels: Mapping[str, str]) -> None:
    """A panel a column, a line for each share of wrong labels."""
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        for number, (noise, table) in enumerate(tables.items()):
            renamed = table[table["name"] == name].assign(name=noise)
            words = f"{noise:.0%} wrong, {table['n'].max()} seed{'s' if table['n'].max() > 1 else ''}"
            lines(ax, renamed, "parameters", {noise: words}, number)  # type: ignore[dict-item]
        ax.set(xlabel=PARAMETERS, title=label)
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(tables))
