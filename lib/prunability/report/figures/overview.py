"""Figures of the overview: verdicts as cells, each with a colour and a sign."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from prunability.claims import CLAIMS
from prunability.training.config import VERSION
from prunability.claims.sensitivity import AS_IT_IS, VARIED

# A light tint and a sign for each verdict: either tells them apart.
LOOKS = {
    "supported": ("#8fd6bd", "✓"),
    "not supported": ("#f2b08a", "✗"),
    "inconclusive": ("#e6e6e6", "?"),
    "cannot decide": ("#d9d3ee", "○"),
    "insufficient n": ("#f7f7f7", "–"),
}
SIGNS = {verdict: sign for verdict, (_, sign) in LOOKS.items()}


def _cell(ax: Axes, column: float, row: float, verdict: str) -> None:
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=LOOKS[verdict][0], edgecolor="white", lw=1.2))


def _grid(ax: Axes, columns: int, claims: Sequence[str]) -> None:
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(len(claims) - 0.5, -0.5), yticks=range(len(claims)))
    ax.set_yticklabels([f"{claim} {CLAIMS[claim].short}" for claim in claims])
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def verdict_table(ax: Axes, table: pd.DataFrame) -> None:
    """Claims in rows, profiles in columns; each cell holds the verdict, the statistic that decides it, and n."""
    columns, claims = list(dict.fromkeys(table["profile"])), sorted(set(table["claim"]))
    _grid(ax, len(columns), claims)
    for _, row in table.iterrows():
        x, y = columns.index(row["profile"]), claims.index(row["claim"])
        _cell(ax, x, y, row["verdict"])
        words = f"{LOOKS[row['verdict']][1]} {row['verdict']}"
        ax.text(x, y - 0.27, words, ha="center", va="center", fontsize=7.5, fontweight="bold")
        wide = max(30, 130 // len(columns))
        lines = [fill(row["statistic"], wide), row["estimate"]] if row["statistic"] else []
        wanted = f"wanted: {row['wanted']}; " if row["statistic"] else ""
        if row["verdict"] == "cannot decide":
            lines, wanted = [fill(row["undecided"], wide)], ""
        ax.text(
            x, y + 0.14, "\n".join([*lines, fill(f"{wanted}n = {row['n']}", wide)]), ha="center", va="center",
            fontsize=5.6, linespacing=1.1,
        )  # fmt: skip
    known = set(zip(table["profile"], table["claim"], strict=True))
    for x, y in np.ndindex(len(columns), len(claims)):
        if (columns[x], claims[y]) not in known:
            ax.text(x, y, "no results", ha="center", va="center", fontsize=5.6, color="#555555")
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(columns)), [_heading(table[table["profile"] == name]) for name in columns])


def _heading(part: pd.DataFrame) -> str:
    """A profile with its data and, where it is an earlier one, the version of the protocol that made its runs."""
    first = part.iloc[0]
    made = "" if first["version"] == VERSION else f"\n(made by version {first['version']} of the protocol)"
    return f"{first['profile']}: {first['data']}{made}"


def sensitivity_table(ax: Axes, table: pd.DataFrame, profile: str, labels: bool) -> None:
    """Claims in rows, what is varied in columns, a sign a cell, of one profile; ``labels`` names the columns."""
    names = dict.fromkeys(table["varied"])
    order = [AS_IT_IS, *(name for name in names if name not in (AS_IT_IS, *VARIED)), *VARIED]
    # Claims share thresholds: in the order of their values.
    values = table.fillna({"value": 0.0})[["varied", "setting", "value"]].drop_duplicates()
    rows = sorted(values.itertuples(index=False), key=lambda row: (order.index(row[0]), row[2]))
    keys = [(str(row[0]), str(row[1])) for row in rows]
    claims = sorted(set(table["claim"]))
    _grid(ax, len(keys), claims)
    for _, row in table[table["profile"] == profile].iterrows():
        x, y = keys.index((row["varied"], row["setting"])), claims.index(row["claim"])
        _cell(ax, x, y, row["verdict"])
        ax.text(x, y, LOOKS[row["verdict"]][1], ha="center", va="center", fontsize=7)
    ax.set_title(f"profile {profile}", loc="left", fontsize=7.5, pad=18)
    ax.set_xticks(
        range(len(keys)), [fill(setting or varied, 18) for varied, setting in keys] if labels else [], rotation=90
    )
    groups = [varied for varied, _ in keys]
    for place in range(1, len(groups)):
        if groups[place] != groups[place - 1]:
            ax.axvline(place - 0.5, color="#555555", lw=0.8)
    for group in dict.fromkeys(groups):
        places = [place for place, name in enumerate(groups) if name == group]
        heading = fill(group, 3 * len(places)) if len(places) > 1 else ""
        ax.text(
            (places[0] + places[-1]) / 2, 1.02, heading, fontsize=6.5, color="#333333",
            transform=ax.get_xaxis_transform(), ha="center", linespacing=0.95,
        )  # fmt: skip


def key(ax: Axes) -> None:
    """What the signs mean, below a figure."""
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="#999999", lw=0.4, label=f"{sign} {verdict}")
        for verdict, (colour, sign) in LOOKS.items()
    ]
    handles.append(Rectangle((0, 0), 0, 0, alpha=0, label="blank: does not apply, or as it is"))
    ax.figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), handlelength=1.4)
