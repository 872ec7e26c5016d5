"""Figures of the comparison with other measures; like all plotters they compute nothing."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from prunability.claims import LITTLE_INFORMATION
from prunability.environments import SignErrors
from prunability.measures import HEADLINE_MEASURE
from prunability.style import COLOURS, FAMILIES
from prunability.tables import TARGETS


def matrix(ax: Axes, table: pd.DataFrame, headline: str, label: str, low: float = 0.0) -> None:
    """A square matrix named by its rows and columns, from ``low`` to 1; the headline measure in bold."""
    image = ax.imshow(table, cmap="viridis" if low == 0 else "PuOr_r", vmin=low, vmax=1)
    names = list(table.index)
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    for text in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        text.set_fontweight("bold" if text.get_text() == headline else "normal")
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for row, column in np.ndindex(table.shape):
        value = float(table.to_numpy()[row, column])
        dark = value < 0.55 if low == 0 else abs(value) > 0.65
        if len(names) <= 24:
            ax.text(
                column, row, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=5,
                color="white" if dark else "black",
            )  # fmt: skip
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.6)


def shared_and_predictive(ax: Axes, table: pd.DataFrame) -> None:
    """Each measure's tau with test loss against its mutual information with prunability."""
    for number, (_, row) in enumerate(table.sort_values("information").iterrows(), 1):
        colour, x, y = FAMILIES.get(row["family"], COLOURS[6]), float(row["information"]), float(row["tau"])
        ax.hlines(y, row["information_low"], row["information_high"], color=colour, lw=0.7, alpha=0.6)
        ax.vlines(x, row["tau_low"], row["tau_high"], color=colour, lw=0.7, alpha=0.6)
        ax.plot(x, y, "o", color=colour, label=f"{number}  {row['label']}", zorder=3)
        ax.annotate(
            str(number), (x, y), xytext=(3, 3 if number % 2 else -9), textcoords="offset points", fontsize=6.5
        )
    ax.axvline(LITTLE_INFORMATION, color="#555555", lw=0.8, ls="--")
    ax.axhline(0, color="#555555", lw=0.6)
    ax.set(xlabel="mutual information with prunability (share of the smaller entropy)")
    ax.set_ylabel("Kendall τ with test loss")
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", handletextpad=0.3)


def forest(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Partial taus of prunability with their intervals: a panel a target, a row for what is held fixed."""
    for ax, (target, title) in zip(axes, TARGETS.items(), strict=True):
        part = table[table["target"] == target]
        places = np.arange(len(part))[::-1]
        colours = [FAMILIES.get(str(given), "#333333") for given in part["given"]]
        ax.hlines(places, part["low"], part["high"], color=colours, lw=1.6)
        ax.scatter(part["tau"], places, color=colours, s=18, zorder=3)
        names = [
            str(given) + (f" ({count} measure{'s' * (count > 1)})" if count else "")
            for given, count in zip(part["given"], part["measures"], strict=True)
        ]
        ax.set_yticks(places, names)
        ax.axvline(0, color="#555555", lw=0.6)
        ax.grid(axis="y", visible=False)
        ax.set(xlabel=f"partial τ of prunability with\n{title}", ylim=(-0.6, len(part) - 0.4))
    axes[0].set_ylabel("given")


def paired_bars(axes: Sequence[Axes], table: pd.DataFrame, columns: Sequence[str], titles: Sequence[str]) -> None:
    """One row a measure, one panel a column; the headline measure in bold."""
    places = np.arange(len(table))
    colours = [FAMILIES.get(str(family), COLOURS[6]) for family in table["family"]]
    for ax, column, title in zip(axes, columns, titles, strict=True):
        ax.barh(places, table[column].fillna(0), color=colours, height=0.7)
        ax.axvline(0, color="#555555", lw=0.6)
        ax.set(xlabel=title, ylim=(-0.6, len(table) - 0.4))
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(places, list(table["label"]))
    for text, name in zip(axes[0].get_yticklabels(), table["measure"], strict=True):
        text.set_fontweight("bold" if name == HEADLINE_MEASURE else "normal")
    families = dict.fromkeys(table["family"])
    handles = [Line2D([], [], color=FAMILIES.get(f, COLOURS[6]), lw=4, label=f) for f in families]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=len(families))


def sign_error_curves(ax: Axes, errors: SignErrors, summary: pd.DataFrame, title: str, most: int = 6) -> None:
    """Share of environments with at most a given sign error: prunability and the best others."""
    number = errors.errors.shape[1]
    ax.set(
        xlabel="sign error of an environment", ylabel="share of environments", ylim=(0, 1.02), xlim=(-0.05, 1.05)
    )
    ax.set_title(f"{title}\n{number} environments, effective sample size {errors.effective:.1f}")
    if not number:
        ax.text(
            0.5, 0.5, "no environment's test errors differ\nby more than chance allows", ha="center", va="center"
        )
        return
    best = summary.sort_values(["mean", "measure"])["measure"]
    shown = [HEADLINE_MEASURE, *(name for name in best if name != HEADLINE_MEASURE)][:most]
    for place, name in enumerate(name for name in shown if name in set(summary["measure"])):
        row = int(np.flatnonzero(summary["measure"] == name)[0])
        values = np.sort(errors.errors[row])
        ax.step(
            [0, *values, 1], [0, *(np.arange(number) + 1) / number, 1], where="post",
            color=COLOURS[place % len(COLOURS)], lw=1.8 if name == HEADLINE_MEASURE else 1,
            label=f"{summary['label'].iloc[row]} (mean {summary['mean'].iloc[row]:.2f})",
        )  # fmt: skip
    ax.legend(loc="lower right", fontsize=6)
