"""Figures of the overview: verdicts as cells, each with a colour and a sign."""

from textwrap import fill
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from prunability.claims import STATED
from prunability.claims.sensitivity import AS_IT_IS, VARIED
from prunability.report.figures import parts
from prunability.training.config import VERSION

# A light tint and a sign for each verdict: either tells them apart.
LOOKS = {
    "supported": ("#8fd6bd", "✓"),
    "not supported": ("#f2b08a", "✗"),
    "inconclusive": ("#e6e6e6", "?"),
    "cannot decide": ("#d9d3ee", "○"),
    "insufficient n": ("#f7f7f7", "–"),
}
SIGNS = {verdict: sign for verdict, (_, sign) in LOOKS.items()}
TINTS = ListedColormap([tint for tint, _ in LOOKS.values()])


def _cells(ax: Axes, verdicts: pd.DataFrame, signs: bool) -> None:
    """Verdicts [claims, columns] as tinted cells, with their signs or without; none where there is none."""
    codes = verdicts.map(list(LOOKS).index, na_action="ignore").astype(float)
    written = {"annot": verdicts.replace(SIGNS), "fmt": "", "annot_kws": {"fontsize": 7, "color": "black"}}
    look = {"vmin": -0.5, "vmax": len(LOOKS) - 0.5, "cmap": TINTS, "linewidths": 1.2, "cbar": False}
    sns.heatmap(codes, ax=ax, xticklabels=False, **look, **(written if signs else {}))
    ax.set_yticklabels([f"{claim} {STATED[claim].short}" for claim in verdicts.index], rotation=0)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    ax.grid(visible=False)


def verdict_table(ax: Axes, table: pd.DataFrame) -> None:
    """Claims in rows, profiles in columns; each cell holds the verdict, the statistic that decides it, and n."""
    profiles, claims = list(dict.fromkeys(table["profile"])), sorted(set(table["claim"]))
    verdicts = table.pivot(index="claim", columns="profile", values="verdict").loc[claims, profiles]
    _cells(ax, verdicts, signs=False)
    wide = max(30, 126 // len(profiles))
    centred: dict[str, Any] = {"ha": "center", "va": "center"}
    for _, row in table.iterrows():
        x, y = profiles.index(row["profile"]) + 0.5, claims.index(row["claim"]) + 0.5
        words = f"{SIGNS[row['verdict']]} {row['verdict']}"
        ax.text(x, y - 0.27, words, **centred, fontsize=7.5, fontweight="bold")
        ax.text(x, y + 0.14, _reason(row, wide), **centred, fontsize=5.8, linespacing=1.1)
        parts.describe(ax, f"{row['claim']}, {row['profile']}: {row['verdict']}.")
    for y, x in zip(*verdicts.isna().to_numpy().nonzero(), strict=True):
        ax.text(x + 0.5, y + 0.5, "no results", **centred, fontsize=6, color=parts.GREY)
    ax.xaxis.tick_top()
    headings = [_heading(table[table["profile"] == name].iloc[0]) for name in profiles]
    ax.set_xticks([place + 0.5 for place in range(len(profiles))], headings, parse_math=False)


def _reason(row: pd.Series, wide: int) -> str:
    """What decides a verdict, or why nothing does, and n, in lines of ``wide`` characters."""
    n = f"n = {row['n']}"
    if row["verdict"] == "cannot decide":
        lines = [row["undecided"], n]
    elif row["statistic"]:
        lines = [row["statistic"], row["estimate"], f"wanted: {row['wanted']}; {n}", *filter(None, [row["told"]])]
    else:
        lines = [n]
    return "\n".join(fill(parts.typeset(line), wide) for line in lines)


def _heading(row: pd.Series) -> str:
    """A profile with its data and, where it is an earlier one, the version of the protocol that made its runs."""
    made = "" if row["version"] == VERSION else f"\n(made by version {row['version']} of the protocol)"
    return f"{row['profile']}: {row['data']}{made}"


def _varied(table: pd.DataFrame) -> list[tuple[str, str]]:
    """What was varied, and how: as it is, thresholds in the order of their values (claims share them), the rest."""
    names = dict.fromkeys(table["varied"])
    order = [AS_IT_IS, *(name for name in names if name not in (AS_IT_IS, *VARIED)), *VARIED]
    place = table["varied"].map(order.index)
    ordered = table.assign(place=place, value=table["value"].fillna(0.0)).sort_values(
        ["place", "value"], kind="stable"
    )
    return list(dict.fromkeys(zip(ordered["varied"], ordered["setting"], strict=True)))


def sensitivity_table(ax: Axes, table: pd.DataFrame, profile: str, labels: bool) -> None:
    """Claims in rows, what is varied in columns, a sign a cell, of one profile; ``labels`` names the columns."""
    settings, claims = _varied(table), sorted(set(table["claim"]))
    own = table[table["profile"] == profile].pivot(index="claim", columns=["varied", "setting"], values="verdict")
    _cells(ax, own.reindex(index=claims, columns=pd.MultiIndex.from_tuples(settings)), signs=True)
    ax.set_title(f"profile {profile}", loc="left", fontsize=7.5, pad=18)
    names = [fill(setting or varied, 18) for varied, setting in settings] if labels else []
    ax.set_xticks([place + 0.5 for place in range(len(names))], names, rotation=90)
    groups = pd.Series([varied for varied, _ in settings])
    above: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "ha": "center", "linespacing": 0.95}
    for group, places in groups.groupby(groups, sort=False).groups.items():
        if places[0]:
            ax.axvline(places[0], color=parts.GREY, lw=0.8)
        if len(places) > 1:
            words = fill(str(group), 3 * len(places))
            ax.text(float(places.to_numpy().mean()) + 0.5, 1.02, words, **above, fontsize=6.5, color=parts.DARK)
    counts = table.loc[table["profile"] == profile, "verdict"].value_counts()
    said = ", ".join(f"{verdict} {n}" for verdict, n in counts.items())
    parts.describe(ax, f"Verdicts of profile {profile} as thresholds and definitions vary: {said}.")


def key(ax: Axes) -> None:
    """What the signs mean, above a figure."""
    handles = [
        Patch(facecolor=tint, edgecolor="#999999", lw=0.4, label=f"{sign} {verdict}")
        for verdict, (tint, sign) in LOOKS.items()
    ]
    handles.append(Patch(alpha=0, label="blank: does not apply"))
    parts.legend_over(ax, handles, handlelength=1.4)
