"""One look for every figure, and one saver."""

from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.style import context
from PIL import Image

from prunability.foundation.files import replacing, write

# The key of what an executed notebook says of a figure.
KEY = "prunability"
# Formats that are written when asked for, and the metadata in which each would hold a date.
FURTHER = {"pdf": "CreationDate", "svg": "Date"}

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
    "savefig.dpi": "figure",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    # 0.001, 20 and 1000 on logarithmic axes, powers of ten beyond.
    "axes.formatter.min_exponent": 4,
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
    """A figure in the house style with its axes.

    It is the same whatever a user has set: style and canvas are its own, and pyplot's backend does not know it.
    """
    with context(STYLE, after_reset=True):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, **options)


@dataclass(frozen=True)
class Picture:
    """A PNG with its text alternative, as Jupyter shows it."""

    png: bytes
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """For IPython: as HTML too, for JupyterLab takes no notice of the text that stands in the metadata."""
        coded = b64encode(self.png).decode()
        html = f'<img alt="{escape(self.alt)}" src="data:image/png;base64,{coded}">'
        shown = {"image/png": coded, "text/html": html, "text/plain": self.alt}
        return shown, {"image/png": {"alt": self.alt}}


@dataclass(frozen=True)
class Drawn:
    """A figure that is saved: Jupyter shows the PNG of the file, with its alt text, and keeps what it is made from."""

    picture: Picture
    name: str
    note: str
    numbers: bytes
    provenance: Mapping[str, Any]

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """For IPython: the picture, and beside it what the manifest says of the figure."""
        shown, metadata = self.picture._repr_mimebundle_()
        sums = {"csv": sha256(self.numbers).hexdigest(), "png": sha256(self.picture.png).hexdigest()}
        entry = {"alt": self.picture.alt, "caption": self.note, **sums}
        return shown, metadata | {KEY: {"figure": {self.name: entry}, **self.provenance}}


def save(
    figure: Figure,
    name: str,
    folder: Path,
    numbers: pd.DataFrame,
    provenance: Mapping[str, Any],
    note: str,
    further: Collection[str] = (),
) -> Drawn:
    """Write a figure as PNG, the numbers drawn as CSV, and what is in ``further`` of PDF and SVG.

    Below the figure stands a note, of data, n, and what was left out; a panel without data says so. The same records
    give the same bytes: no date is written. A PDF or SVG that was not asked for is of an earlier drawing, and goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = note.replace("n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    with context(STYLE, after_reset=True):
        for ax in figure.axes:
            if ax.axison and not ax.texts and not np.isfinite(ax.dataLim.get_points()).any():
                ax.text(0.5, 0.5, "no network to show", transform=ax.transAxes, ha="center", va="center")
        words = fill(note, int(NOTE * figure.get_figwidth()))
        figure.supxlabel(words, fontsize=6, color="#333333", parse_math=False)
        # The layout is found once and kept for all files.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        picture = _png(figure)
        for ending, dated in FURTHER.items():
            path = folder / f"{name}.{ending}"
            if ending in further:
                with replacing(path) as partial:
                    figure.savefig(partial, format=ending, metadata={dated: None})
            else:
                path.unlink(missing_ok=True)
    text = numbers.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode()
    write(folder / f"{name}.png", picture)
    write(folder / f"{name}.csv", text)
    return Drawn(Picture(picture, _alt(figure, name)), name, note, text, provenance)


def pictured(figure: Figure, name: str) -> Picture:
    """A figure to be looked at and not kept."""
    with context(STYLE, after_reset=True):
        return Picture(_png(figure), _alt(figure, name))


def _alt(figure: Figure, name: str) -> str:
    """Its name, and what its plotters said that it shows (:func:`parts.describe`), else what its axes say."""
    axes = ("; ".join(filter(None, (ax.get_title(), ax.get_ylabel(), ax.get_xlabel()))) for ax in figure.axes)
    return f"{name.replace('_', ' ')}: {figure.get_label() or '. '.join(filter(None, axes))}"


def _png(figure: Figure) -> bytes:
    """The picture in 256 colours: a third of the bytes, and to the eye the same."""
    drawn, reduced = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette, corner = image.getpalette(), image.tobytes()[0]
    assert palette is not None
    palette[3 * corner : 3 * corner + 3] = [255] * 3  # the background, which the reduction leaves a shade too dark
    image.putpalette(palette)
    image.save(reduced, "PNG", optimize=True, dpi=(figure.dpi, figure.dpi))
    return reduced.getvalue()
