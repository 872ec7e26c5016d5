"""What several figures are made of: rows of measures, intervals, legends outside panels, ticks, text alternatives."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.legend import Legend
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from prunability.foundation.typography import minus
from prunability.report.figures.style import COLOURS, FAMILIES, MARKERS

# Lines and words beside the data, dark enough to be read in print.
DARK, GREY = "#333333", "#555555"
# Rows after which a reader has lost the heads of the columns.
MANY = 24


def describe(ax: Axes, text: str) -> None:
    """Add a sentence to the text alternative of the panel's figure, which is the figure's label."""
    ax.figure.set_label(f"{ax.figure.get_label()} {text}".strip())


def legend_over(ax: Axes, handles: Sequence[Any], **look: Any) -> Legend:
    """A legend of the whole figure, above all its panels."""
    usual = {
        "loc": "outside upper center",
        "handletextpad": 0.3,
        "columnspacing": 1.0,
        "ncols": max(1, len(handles)),
    }
    figure: Any = ax.figure
    legend: Legend = figure.legend(handles=handles, **usual | look)
    return legend


def legend_above(ax: Axes, handles: Sequence[Any], side: Literal["left", "center"] = "left") -> None:
    """A legend between a panel and its title, where it covers nothing that is drawn."""
    place: dict[str, Any] = {"loc": f"lower {side}", "bbox_to_anchor": ({"left": 0.0, "center": 0.5}[side], 1.0)}
    place |= {"borderaxespad": 0.2, "handletextpad": 0.3, "columnspacing": 1.0, "ncols": max(1, len(handles))}
    ax.legend(handles=handles, **place)


def labelled(ax: Axes) -> list[Any]:
    """What is drawn in a panel and has a label."""
    return list(ax.get_legend_handles_labels()[0])


def typeset(text: str) -> str:
    """With true minus signs, and no line break around '='."""
    return minus(text).replace(" = ", "\u00a0=\u00a0")


def counted(number: float, thing: str) -> str:
    """'1 network', '2 networks'."""
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"


def family_colours(families: Iterable[str]) -> list[str]:
    """The colour of each family; one for all that have none of their own."""
    return [FAMILIES.get(family, COLOURS[6]) for family in families]


def family_markers(families: Iterable[str]) -> list[str]:
    """The marker of each family, so that colours need not be told apart; one for all that have none of their own."""
    known = dict(zip(FAMILIES, MARKERS, strict=True))
    return [known.get(family, "*") for family in families]


def points(ax: Axes, x: Any, y: Any, families: Sequence[str], **look: Any) -> None:
    """Points in the colours and with the markers of their families."""
    places = pd.DataFrame({"x": np.asarray(x, dtype=float), "y": np.asarray(y, dtype=float), "family": families})
    for family, own in places.groupby("family", sort=False):
        (colour,), (marker,) = family_colours([str(family)]), family_markers([str(family)])
        ax.scatter(own["x"], own["y"], color=colour, marker=marker, zorder=3, **look)


def by_family(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows grouped by family, highest first: families by their best row, and rows within each, by ``column``."""
    best = table.groupby("family")[column].transform("max")
    ordered = table.assign(best=best).sort_values(["best", "family", column], ascending=[False, True, False])
    return ordered.drop(columns="best")


def name_rows(ax: Axes, labels: Iterable[str], bold: Iterable[bool] = (), first: float = 0.0) -> None:
    """A row for each label, the first, at ``first``, on top, those of ``bold`` in bold; no lines along them."""
    names = list(labels)
    ax.set_yticks(first + np.arange(len(names)), names)
    for text, strong in zip(ax.get_yticklabels(), bold, strict=False):
        text.set_fontweight("bold" if strong else "normal")
    ax.set_ylim(first + len(names) - 0.4, first - 0.6)
    ax.grid(axis="y", visible=False)


def measure_rows(axes: Sequence[Axes], table: pd.DataFrame, headline: str, first: float = 0.0) -> None:
    """Names of measures, a row each, ``headline`` in bold; lines and names of families between and beside them.

    Where the rows are many, the heads of columns stand above them too.
    """
    for ax in axes:
        name_rows(ax, table["label"], table["measure"] == headline, first)
        ax.tick_params(axis="y", length=0, labelsize=6.5)
        if len(table) > MANY:
            ax.tick_params(axis="x", top=True, labeltop=True)
            ax.set_title(ax.get_xlabel(), fontsize=ax.xaxis.label.get_fontsize())
    beside = axes[-1].get_yaxis_transform()
    start = 0
    for family, rows in table.groupby("family", sort=False):
        middle, end = start + (len(rows) - 1) / 2, start + len(rows)
        words: dict[str, Any] = {"va": "center", "fontsize": 7, "fontweight": "bold", "color": DARK}
        axes[-1].text(1.02, first + middle, str(family), transform=beside, **words)
        for ax in axes:
            if end < len(table):
                ax.axhline(first + end - 0.5, color="#bbbbbb", lw=0.6)
        start = end


def intervals(
    ax: Axes, table: pd.DataFrame, places: Any, colours: Any, estimate: str = "tau", **points: Any
) -> None:
    """Estimates as points with a line from ``low`` to ``high``, at ``places`` from top to bottom."""
    ax.hlines(places, table["low"], table["high"], color=colours, lw=1.2)
    ax.scatter(table[estimate], places, color=colours, zorder=3, **{"s": 11, **points})


def family_intervals(ax: Axes, table: pd.DataFrame, families: Sequence[str], estimate: str = "tau") -> None:
    """The same, a row each, with the colours and the markers of families."""
    places = np.arange(len(table))
    ax.hlines(places, table["low"], table["high"], color=family_colours(families), lw=1.2)
    points(ax, table[estimate], places, families, s=12)


def zero(ax: Axes) -> None:
    """A line where two columns have nothing to do with one another."""
    ax.axvline(0, color=GREY, lw=0.6)


def count_ticks(axis: Axis, digits: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Counts, such as 300 and 2k, at ``digits`` times powers of ten, even where an axis spans less than ten."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())


def two_decimals(value: float) -> str:
    """'0.25', '−1.00', and never '−0.00'."""
    return minus(f"{value:z.2f}")
