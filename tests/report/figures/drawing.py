"""How the tests of figures draw and read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from prunability.report.figures import style


@contextmanager
def panels(rows: int = 1, columns: int = 1, **options: Any) -> Iterator[list[Axes]]:
    """The panels of a figure, which is laid out at the end: what cannot be drawn fails there."""
    with style.panels(rows, columns, width=style.PAGE, height=4, squeeze=False, **options) as (figure, axes):
        yield list(axes.flat)
        figure.draw_without_rendering()


def figure_of(ax: Axes) -> Figure:
    assert isinstance(ax.figure, Figure)
    return ax.figure


def key(ax: Axes) -> Legend:
    """The panel's own legend."""
    found = ax.get_legend()
    assert found is not None
    return found


def words(found: Legend) -> list[str]:
    return [text.get_text() for text in found.get_texts()]


def lay_out(ax: Axes) -> None:
    """Find where everything of the panel's figure will be."""
    figure_of(ax).draw_without_rendering()


def png(ax: Axes) -> bytes:
    file = BytesIO()
    figure_of(ax).savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def points(ax: Axes, number: int = -1) -> list[tuple[float, float]]:
    """Where the points of one of the panel's scatters are, by default the last's."""
    found: NDArray[np.float64] = np.ma.filled(np.ma.asarray(ax.collections[number].get_offsets(), dtype=float), np.nan)
    return [(float(x), float(y)) for x, y in found]


def colours(ax: Axes, number: int = -1) -> list[str]:
    return [to_hex(colour) for colour in np.asarray(ax.collections[number].get_facecolor())]


def scattered(ax: Axes) -> list[tuple[tuple[float, float], str, bytes]]:
    """Every point that any scatter of the panel has, its colour, and its marker's outline."""
    return [
        (place, colour, np.asarray(scatter.get_paths()[0].vertices).tobytes())
        for number, scatter in enumerate(ax.collections)
        if isinstance(scatter, PathCollection)
        for place, colour in zip(points(ax, number), colours(ax, number) * len(points(ax, number)), strict=False)
    ]


def spans(ax: Axes, number: int) -> list[tuple[float, float, float]]:
    """Horizontal lines of one of the panel's collections: from, to, height; those of undefined ends left out."""
    collection = ax.collections[number]
    assert isinstance(collection, LineCollection)
    drawn = collection.get_segments()
    return [
        (float(line[0][0]), float(line[1][0]), float(line[0][1]))
        for line in drawn
        if np.isfinite(line).all() and len(line)
    ]


def curve(line: Line2D) -> list[tuple[float, float]]:
    """The points of a line."""
    data = zip(np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float), strict=True)
    return [(float(x), float(y)) for x, y in data]


def uprights(ax: Axes) -> dict[str, list[float]]:
    """Where vertical lines stand, by their dashes."""
    found: dict[str, list[float]] = {}
    for line in ax.lines:
        if len({x for x, _ in curve(line)}) == 1 and len(curve(line)) > 1:
            found.setdefault(str(line.get_linestyle()), []).append(curve(line)[0][0])
    return found


def bars(ax: Axes) -> list[tuple[float, float, float, str]]:
    """Horizontal bars: left end, length, height of the middle, colour."""
    found = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    return [
        (
            round(bar.get_x(), 9),
            round(bar.get_width(), 9),
            round(bar.get_y() + bar.get_height() / 2, 9),
            to_hex(bar.get_facecolor()),
        )
        for bar in found
    ]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def rows(ax: Axes) -> list[str]:
    """Names of the rows, from top to bottom."""
    low, high = ax.get_ylim()
    assert low > high, "rows run downwards"
    return [text.get_text() for text in ax.get_yticklabels()]


def bold(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels() if text.get_fontweight() == "bold"]


def legend(ax: Axes) -> list[str]:
    """The words of the figure's legend."""
    (found,) = figure_of(ax).legends
    return words(found)


def alternative(ax: Axes) -> str:
    """The figure's text alternative."""
    return str(ax.figure.get_label())
