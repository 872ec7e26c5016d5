"""One look for every figure, and one saver."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.rcsetup import cycler
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Inches: one and two columns of a page.
COLUMN, PAGE = 3.4, 7.0
# Characters of the note that fit into an inch.
NOTE = 22
# Okabe and Ito's colours, told apart with every common colour vision.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
FAMILIES = {
    "pruning": COLOURS[0],
    "size": COLOURS[6],
    "output": COLOURS[1],
    "norms": COLOURS[2],
    "flatness": COLOURS[5],
    "speed": COLOURS[3],
    "bounds": COLOURS[4],
}
STYLE: Any = {
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.4,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "svg.hashsalt": "prunability",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def height_of(rows: int, least: float = 1.6) -> float:
    """Inches for a figure with a row a measure."""
    return max(least, 0.9 + 0.155 * rows)


@contextmanager
def panels(
    rows: int = 1, columns: int = 1, width: float = COLUMN, height: float = 2.6, **options: Any
) -> Iterator[tuple[Figure, Any]]:
    """A figure in the house style with its axes; shown by Jupyter once and then closed."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), **options)
        yield figure, axes


def save(
    figure: Figure, name: str, folder: Path, numbers: pd.DataFrame, provenance: Mapping[str, Any], note: str
) -> Figure:
    """Write a figure as PNG, SVG and PDF, the numbers drawn as CSV, and where they come from as JSON.

    Below the figure stands a note, of data, n, and what was left out. The same records give the
    same bytes: no date is written. Returns the figure, for the notebook to show.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        figure.supxlabel(fill(note, int(NOTE * figure.get_figwidth())), fontsize=6, color="#333333")
        # The layout is found once, at the resolution of the file, and kept for all three files.
        shown = figure.dpi
        figure.set_dpi(plt.rcParams["savefig.dpi"])
        figure.draw_without_rendering()
        figure.set_dpi(shown)
        figure.set_layout_engine("none")
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    numbers.to_csv(folder / f"{name}.csv", index=False, float_format="%.10g", lineterminator="\n")
    text = json.dumps(provenance, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    plt.close(figure)
    return figure
