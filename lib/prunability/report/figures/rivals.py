"""Figures of the comparison with other measures; like all plotters they compute nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from prunability.analysis.resampling import Array
from prunability.analysis.sign_errors import SignErrors
from prunability.analysis.tables import TARGETS
from prunability.claims.shared import LITTLE
from prunability.measures import HEADLINE_MEASURE
from prunability.report.figures import parts
from prunability.report.figures.style import COLOURS

# The families of what C4 names.
FAMILY_OF = {"margin": "output", "optimization speed": "speed"}
# In so many rows and columns numbers can be read.
WRITTEN = 24
OUTCOMES = {"mostly right": COLOURS[0], "half and half": "#dddddd", "mostly wrong": COLOURS[1]}


def matrix(ax: Axes, table: pd.DataFrame, headline: str, label: str, low: float = 0.0) -> None:
    """A square matrix named by its rows and columns, from ``low`` to 1; the headline measure in bold."""
    small = len(table) <= WRITTEN
    if not small:
        # Names of 7 points stand beside rows that are as high, numbers over every fifth column.
        numbered = [f"{name}  {number}" for number, name in enumerate(table.index, 1)]
        table = table.set_axis(numbered, axis=0).set_axis([f"{k}" * (k == 1 or k % 5 == 0) for k in range(1, len(table) + 1)], axis=1)
        headline = next((name for name in numbered if name.rpartition("  ")[0] == headline), "")
    numbers = table.map(parts.two_decimals).replace("0[.]", ".", regex=True)
    look = {"cmap": "viridis" if low == 0 else "PuOr_r", "vmin": low, "vmax": 1, "rasterized": True}
    written = {"annot": numbers, "fmt": "", "annot_kws": {"fontsize": 5}} if small else {}
    bar = {"label": label, "shrink": 0.6}
    sns.heatmap(table, ax=ax, xticklabels=1, yticklabels=1, cbar_kws=bar, **look, **written)
    ax.tick_params(length=0, labelsize=7, labeltop=not small)
    ax.tick_params(axis="x", rotation=90 if small else 0)
    ax.tick_params(axis="y", rotation=0)
    for text in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        text.set_fontweight("bold" if text.get_text() == headline else "normal")
    ax.set(xlabel="", ylabel="")
    ax.grid(visible=False)
    parts.describe(ax, f"Matrix of the {label} of {parts.counted(len(table), 'measure')}, like beside like.")


def shared_and_predictive(ax: Axes, table: pd.DataFrame) -> None:
    """Each measure's tau with test loss against its mutual information with prunability, numbered by family."""
    rows = table.dropna(subset=["information", "tau"]).sort_values(["family", "information"])
    colours = parts.family_colours(rows["family"])
    ax.hlines(rows["tau"], rows["information_low"], rows["information_high"], color=colours, lw=0.6, alpha=0.35)
    ax.vlines(rows["information"], rows["tau_low"], rows["tau_high"], color=colours, lw=0.6, alpha=0.35)
    parts.points(ax, rows["information"], rows["tau"], list(rows["family"]), s=9, linewidths=0)
    ax.axvline(LITTLE.value, color=parts.GREY, lw=0.8, ls="--")
    ax.axhline(0, color=parts.GREY, lw=0.6)
    ax.set(xlabel="mutual information with prunability (share of the smaller entropy)")
    ax.set_ylabel("Kendall τ with test loss")
    numbers = range(1, len(rows) + 1)
    _names_by_family(ax, rows.assign(number=numbers))
    points = zip(rows["information"].astype(float), rows["tau"].astype(float), numbers, strict=True)
    texts = [ax.text(x, y, str(number), fontsize=5.5, color=parts.DARK) for x, y, number in points]
    # Steps, not seconds, end the search: the same points give the same places on every machine.
    push = {"expand": (1.5, 1.7), "force_text": (0.2, 0.4), "force_static": (0.3, 0.5)}
    line = {"arrowstyle": "-", "lw": 0.4, "color": parts.GREY}
    adjust_text(texts, ax=ax, iter_lim=300, arrowprops=line, **push)
    said = parts.counted(len(rows), "measure")
    parts.describe(ax, f"Kendall τ with the test loss of {said} against mutual information with prunability.")


def _names_by_family(ax: Axes, rows: pd.DataFrame) -> None:
    """A legend of numbers, under the names of the families."""
    handles = []
    for family, own in rows.groupby("family", sort=False):
        handles.append(Line2D([], [], ls="", label=str(family)))
        (colour,), (marker,) = parts.family_colours([str(family)]), parts.family_markers([str(family)])
        look: dict[str, Any] = {"ls": "", "marker": marker, "ms": 2.8, "mew": 0, "color": colour}
        names = zip(own["number"], own["label"], strict=True)
        handles += [Line2D([], [], **look, label=f"{number}  {label}") for number, label in names]
    legend = parts.legend_over(ax, handles, ncols=3, fontsize=5.8, labelspacing=0.25, columnspacing=1.5)
    for text in legend.get_texts():
        text.set_fontweight("bold" if text.get_text() in set(rows["family"]) else "normal")


def forest(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Partial associations of prunability with their intervals: a panel a target, a row for what is held fixed."""
    for ax, (target, title) in zip(axes, TARGETS.items(), strict=True):
        part = table[table["target"] == target]
        families = [FAMILY_OF.get(given, given) for given in part["given"]]
        parts.zero(ax)
        parts.family_intervals(ax, part, families, "association")
        names = [
            label if given == label else f"{given}: {label}"
            for given, label in zip(part["given"], part["label"], strict=True)
        ]
        parts.name_rows(ax, names)
        ax.set(xlabel=f"partial association with\n{title}")
    axes[0].set_ylabel("given")
    parts.describe(axes[0], "Partial association of prunability with the targets, with 95 % intervals, given ")
    parts.describe(axes[0], f"{', '.join(dict.fromkeys(table['given']))}.")


def paired_bars(axes: Sequence[Axes], table: pd.DataFrame, columns: Sequence[str], titles: Sequence[str]) -> None:
    """A row a measure, by family, one panel a column; the headline measure in bold."""
    rows = parts.by_family(table, columns[0])
    colours = dict(zip(rows["family"], parts.family_colours(rows["family"]), strict=True))
    for ax, column, title in zip(axes, columns, titles, strict=True):
        sns.barplot(
            rows, x=column, y="measure", hue="family", palette=colours, saturation=1, width=0.7, legend=False, ax=ax
        )
        parts.zero(ax)
        ax.set(xlabel=title, ylabel="")
    parts.measure_rows(axes, rows, HEADLINE_MEASURE)
    parts.describe(axes[0], f"Bars for {parts.counted(len(rows), 'measure')}, by family: {', '.join(titles)}.")


def sign_error_shares(axes: Sequence[Axes], panels: Mapping[str, SignErrors], summary: pd.DataFrame) -> None:
    """In what share of environments a measure is mostly right: prunability and the best of each family.

    A panel for each weighting of ``panels``, whose errors have the rows of ``summary``; it decides which measures
    are best, by their mean error. A weighting that leaves fewer than two environments is told in words.
    """
    best = summary.sort_values(["mean", "measure"])
    own = best["measure"] == HEADLINE_MEASURE
    rows = pd.concat([best[own], best[~own].drop_duplicates("family")])
    names = [f"{family}: {label}" for family, label in zip(rows["family"], rows["label"], strict=True)]
    for ax, (title, errors) in zip(axes, panels.items(), strict=True):
        number = errors.errors.shape[1]
        counts = f"{number} of {parts.counted(number + errors.left_out, 'environment')}"
        ax.set_title(f"{title}\n{counts}\neffective sample size {errors.effective:,.1f}", pad=10)
        parts.name_rows(ax, names, rows["measure"] == HEADLINE_MEASURE)
        if number < 2:
            _too_few(ax, errors.left_out)
        else:
            _outcomes(ax, errors.errors[rows.index])
    handles = next(filter(None, map(parts.labelled, axes)), [])
    parts.legend_over(axes[0], handles, title="order of an environment's two settings")
    parts.describe(axes[0], f"Shares of environments that measures order rightly: {'; '.join(panels)}.")


def _too_few(ax: Axes, left_out: int) -> None:
    """In place of bars, why there are none."""
    words = f"In {left_out} the test errors may differ\nby chance alone: too few are left\nto compare measures."
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=parts.DARK)
    ax.set_xticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)


def _outcomes(ax: Axes, errors: Array) -> None:
    """Shares of environments by their sign errors [rows, environments] as bars, the mean error beside each."""
    left = np.zeros(len(errors))
    for (outcome, colour), hit in zip(OUTCOMES.items(), (errors < 0.5, errors == 0.5, errors > 0.5), strict=True):
        ax.barh(np.arange(len(errors)), hit.mean(axis=1), left=left, height=0.7, color=colour, label=outcome)
        left += hit.mean(axis=1)
    for place, mean in enumerate(errors.mean(axis=1)):
        ax.text(1.02, place, f"{mean:z.2f}", va="center", fontsize=6.5)
    ax.text(1.02, -0.85, "mean error", va="center", ha="center", fontsize=6.5)
    ax.set(xlim=(0, 1), xlabel="share of environments")
