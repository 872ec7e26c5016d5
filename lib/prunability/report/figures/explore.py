"""Figures to look around in: one network among the others, and any two measures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prunability.analysis.resampling import Estimate
from prunability.report.figures import parts
from prunability.report.figures.style import COLOURS, MARKERS

# A column of positive values that span more than this is drawn on a logarithmic axis.
WIDE = 100


def curve(ax: Axes, points: pd.DataFrame, loss: float, limit: float, answer: float, whole: bool = True) -> None:
    """The training loss in nats against the kept fraction, with the limit, and where the curve first meets it.

    ``points`` (kept_fraction, loss) are a ``whole`` curve, or the few places that are known of one.
    """
    ax.plot(points["kept_fraction"], points["loss"], "-" if whole else "o", color=COLOURS[0], ms=4)
    ax.vlines(answer, 0, limit, color=COLOURS[5], lw=0.8, ls="--")
    ax.plot([answer], [limit], "D", color=COLOURS[5], ms=5)
    for height, words, dashes in ((limit, "limit", "--"), (loss, "trained network", ":")):
        ax.axhline(height, color=parts.GREY, lw=0.8, ls=dashes)
        ax.text(0.01, height, words, va="bottom", fontsize=6.5, color=parts.DARK)
    ax.set(yscale="log", xlim=(0, 1), xlabel="kept fraction α", ylabel="training loss L(φ(w, α)) (nats)")
    ax.set_title(f"prunability {answer:g}")
    parts.describe(ax, f"Training loss against the kept fraction; the limit is first met at {answer:g}.")


def kept(ax: Axes, layers: Sequence[str], sizes: Sequence[int], numbers: Sequence[int]) -> None:
    """How many of the weights of each layer are kept, a bar a layer, the first on top."""
    shares = np.divide(numbers, sizes)
    ax.barh(np.arange(len(layers)), shares, color=COLOURS[0], height=0.7)
    for place, (share, number, size) in enumerate(zip(shares, numbers, sizes, strict=True)):
        inside = share > 0.5
        look: dict[str, Any] = {"va": "center", "ha": "right" if inside else "left", "fontsize": 6.5}
        at = share - 0.02 if inside else share + 0.02
        ax.text(at, place, f"{number:,} of {size:,}", color="white" if inside else parts.DARK, **look)
    parts.name_rows(ax, layers)
    ax.set(xlim=(0, 1), xlabel="kept fraction of the layer", title="kept weights of each layer")
    said = ", ".join(f"{layer} {share:.2f}" for layer, share in zip(layers, shares, strict=True))
    parts.describe(ax, f"Kept fraction of each layer: {said}.")


def unknown(ax: Axes, words: str) -> None:
    """An empty panel that says why it is."""
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=parts.DARK)
    ax.set_axis_off()
    parts.describe(ax, " ".join(words.split()))


def among(ax: Axes, table: pd.DataFrame, x: str, y: str, run: str) -> None:
    """All networks in grey, and one of them marked, by two columns of their table."""
    own = table[table["run"] == run]
    ax.plot(table[x], table[y], "o", color="#9a9a9a", ms=3, alpha=0.7)
    ax.plot(own[x], own[y], "D", color=COLOURS[5], ms=6)
    less, more = (int(found.sum()) for found in (table[x] < own[x].iloc[0], table[x] > own[x].iloc[0]))
    ax.set_title(f"{less} networks keep less, {more} more")
    parts.describe(ax, f"{less} networks keep less, {more} more.")


def pair(
    ax: Axes, table: pd.DataFrame, names: tuple[str, str], colour: str, tau: Estimate, labels: Mapping[str, str]
) -> None:
    """Two columns of the table of runs, coloured and shaped by the levels of a third, with their tau above."""
    for place, (level, own) in enumerate(table.groupby(colour)):
        look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        look |= {"s": 15, "alpha": 0.85, "linewidth": 0.3, "edgecolor": "white"}
        ax.scatter(own[names[0]], own[names[1]], label=f"{level:g}", **look)
    for axis, name in zip("xy", names, strict=True):
        if table[name].min() > 0 and table[name].max() > WIDE * table[name].min():
            ax.set(**{f"{axis}scale": "log"})
    ax.set(xlabel=labels[names[0]], ylabel=labels[names[1]], title=parts.typeset(f"τ = {tau}"))
    parts.describe(ax, f"{labels[names[1]]} against {labels[names[0]]}: {ax.get_title()}.")
