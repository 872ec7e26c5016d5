"""Figures of the comparison with other measures; like all plotters they compute nothing."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prunability.claims.shared import LITTLE
from prunability.analysis.sign_errors import SignErrors
from prunability.report.figures.correlation import by_family, measure_rows
from prunability.measures import HEADLINE_MEASURE
from prunability.report.figures.style import COLOURS, FAMILIES
from prunability.analysis.tables import TARGETS

# The families of what C4 names.
FAMILY_OF = {"margin": "output", "optimization speed": "speed"}


def matrix(ax: Axes, table: pd.DataFrame, headline: str, label: str, low: float = 0.0) -> None:
    """A square matrix named by its rows and columns, from ``low`` to 1; the headline measure in bold."""
    image = ax.imshow(table, cmap="viridis" if low == 0 else "PuOr_r", vmin=low, vmax=1, aspect="auto")
    names = list(table.index)
    size = 6.5 if len(names) <= 24 else 5
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    ax.set_yticks(range(len(names)), names, fontsize=size)
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
    rows = table.sort_values("information")
    points = list(zip(rows["information"].astype(float), rows["tau"].astype(float), strict=True))
    for number, ((_, row), (x, y), offset) in enumerate(
        zip(rows.iterrows(), points, _offsets(points), strict=True), 1
    ):
        colour = FAMILIES.get(row["family"], COLOURS[6])
        ax.hlines(y, row["information_low"], row["information_high"], color=colour, lw=0.6, alpha=0.35)
        ax.vlines(x, row["tau_low"], row["tau_high"], color=colour, lw=0.6, alpha=0.35)
        ax.plot(x, y, "o", ms=2.5, color=colour, label=f"{number}  {row['label']}", zorder=3)
        ax.annotate(
            str(number),
            (x, y),
            xytext=offset,
            textcoords="offset points",
            fontsize=5.5,
            ha="center",
            va="center",
            color=colour,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": colour, "shrinkA": 0, "shrinkB": 0},
        )
    ax.axvline(LITTLE.value, color="#555555", lw=0.8, ls="--")
    ax.axhline(0, color="#555555", lw=0.6)
    ax.set(xlabel="mutual information with prunability (share of the smaller entropy)")
    ax.set_ylabel("Kendall τ with test loss")
    ax.figure.legend(
        *ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=5.8, handletextpad=0.2,
        labelspacing=0.25, columnspacing=1.5,
    )  # fmt: skip


def _offsets(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where, in typographic points from its point, each number is least in the way of others and of points."""
    size = np.array([440.0, 190.0])  # of the axes, about
    spread = np.ptp(np.array(points), axis=0) * 1.3 + 1e-9
    places = np.array(points) / spread * size
    angles = np.arange(12) * np.pi / 6
    around = np.concatenate([r * np.stack([np.cos(angles), np.sin(angles)], axis=1) for r in (6.0, 11.0)])
    taken, offsets = [*places], []
    for place in places:
        # Numbers are wider than high; nearer places first among equals.
        gaps = np.abs((place + around)[:, None] - np.array(taken)[None]) / np.array([7.0, 5.5])
        clash = np.clip(1 - gaps.max(axis=2), 0, None).sum(axis=1)
        best = around[int(clash.argmin())]
        taken.append(place + best)
        offsets.append((float(best[0]), float(best[1])))
    return offsets


def forest(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """Partial associations of prunability with their intervals: a panel a target, a row for what is held fixed."""
    for ax, (target, title) in zip(axes, TARGETS.items(), strict=True):
        part = table[table["target"] == target]
        places = np.arange(len(part))[::-1]
        colours = [FAMILIES.get(FAMILY_OF.get(given, given), "#333333") for given in part["given"]]
        ax.hlines(places, part["low"], part["high"], color=colours, lw=1.6)
        ax.scatter(part["association"], places, color=colours, s=18, zorder=3)
        names = [
            label if given == label else f"{given}: {label}"
            for given, label in zip(part["given"], part["label"], strict=True)
        ]
        ax.set_yticks(places, names)
        ax.axvline(0, color="#555555", lw=0.6)
        ax.grid(axis="y", visible=False)
        ax.set(xlabel=f"partial association with\n{title}", ylim=(-0.6, len(part) - 0.4))
    axes[0].set_ylabel("given")


def paired_bars(axes: Sequence[Axes], table: pd.DataFrame, columns: Sequence[str], titles: Sequence[str]) -> None:
    """A row a measure, by family, one panel a column; the headline measure in bold."""
    rows = by_family(table, columns[0])
    places = np.arange(len(rows))
    colours = [FAMILIES.get(str(family), COLOURS[6]) for family in rows["family"]]
    for ax, column, title in zip(axes, columns, titles, strict=True):
        ax.barh(places, rows[column].fillna(0), color=colours, height=0.7)
        ax.axvline(0, color="#555555", lw=0.6)
        ax.set(xlabel=title)
    measure_rows(axes, rows, HEADLINE_MEASURE)


def sign_error_curves(ax: Axes, errors: SignErrors, summary: pd.DataFrame, title: str, most: int = 6) -> None:
    """Share of environments with at most a given sign error: prunability and the best others."""
    number = errors.errors.shape[1]
    ax.set(
        xlabel="sign error of an environment", ylabel="share of environments", ylim=(0, 1.02), xlim=(-0.05, 1.05)
    )
    ax.set_title(
        f"{title}\n{number} environment{'s' * (number != 1)}, effective sample size {errors.effective:.1f}"
    )
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
