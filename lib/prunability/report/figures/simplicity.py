"""Figures of simplicity bias: plotters that take finished tables and axes and compute nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prunability.report.figures import parts
from prunability.report.figures.style import COLOURS, MARKERS

SHUFFLED = {"clean": "clean", "simple": "simple part shuffled", "complex": "complex part shuffled"}


def errors(axes: Sequence[Axes], tables: Mapping[str, pd.DataFrame]) -> None:
    """Test errors of each kind of networks, a panel a data set: the mean, and a line from the least to the most."""
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        kinds = list(table["kind"].unique())
        ax.axvline(0.5, color=parts.GREY, lw=0.8, ls="--", label="chance")
        for number, (name, label) in enumerate(SHUFFLED.items()):
            own = table[table["shuffled"] == name]
            places = own["kind"].map(kinds.index).to_numpy(float) + 0.2 * (number - 1)
            ax.hlines(places, own["low"], own["high"], color=COLOURS[number], lw=1.2)
            ax.plot(own["mean"], places, MARKERS[number], color=COLOURS[number], label=label)
        parts.name_rows(ax, kinds)
        ax.set(title=title, xlabel="test error (fraction)", xlim=(-0.03, 0.63))
    parts.describe(axes[0], f"Test error of each kind of networks, clean and with a part shuffled: {'; '.join(tables)}.")
    parts.legend_over(axes[0], parts.labelled(axes[0]))


def used(axes: Sequence[Axes], tables: Mapping[str, pd.DataFrame]) -> None:
    """The share of the margin that goes with the complex part against that with the simple one, a point a network."""
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        for number, (kind, own) in enumerate(table.groupby("kind", sort=False)):
            look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "s": 10, "alpha": 0.7, "lw": 0}
            ax.scatter(own["simple_share"], own["complex_share"], label=kind, **look)
        ax.set(title=title, xlabel="share of the margin, simple part", ylabel="share of the margin, complex part")
    parts.describe(axes[0], f"Shares of the mean margin that go with either part, a point a network: {'; '.join(tables)}.")
    parts.legend_over(axes[0], parts.labelled(axes[0]))


def forced(axes: Sequence[Axes], tables: Mapping[str, pd.DataFrame]) -> None:
    """Prunability of networks forced to use the complex part beside plain ones: a line a pair, a panel a data set."""
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        widths = sorted(table["width"].unique())
        for number, width in enumerate(widths):
            own = table[table["width"] == width]
            both = own[["prunability", "prunability_forced"]].to_numpy().T
            ax.plot([3 * number, 3 * number + 1], both, color=COLOURS[number], lw=0.6, marker=MARKERS[number], ms=2.5)
        places = np.arange(len(widths)) * 3
        ax.set_xticks(
            np.sort([*places, *(places + 1)]),
            [f"{kind}\nwidth {width}" for width in widths for kind in ("plain", "forced")],
        )
        ax.set(title=title)
    axes[0].set_ylabel("prunability (kept fraction)")
    parts.describe(axes[0], f"Prunability of plain and forced networks, a line a pair: {'; '.join(tables)}.")


def ranks(axes: Sequence[Axes], table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Columns, with their labels, against the number of linear layers: a panel each, a point a network, and means."""
    for ax, (name, label) in zip(axes, columns.items(), strict=True):
        means = table.groupby("layers")[name].mean()
        ax.plot(table["layers"], table[name], ".", color=COLOURS[4])
        ax.plot(means.index, means, "o-", color=COLOURS[0])
        ax.set(xlabel="linear layers added", ylabel=label, xticks=means.index)
    parts.describe(axes[0], f"Against the number of linear layers: {'; '.join(columns.values())}.")
