"""How the tests of figures draw and read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from prunability.report.figures import style


@contextmanager
def panels(rows: int = 1, columns: int = 1, **options: Any) -> Iterator[list[Axes]]:
    """The panels of a figure, which is laid out at the end: what cannot be drawn fails there."""
    with style.panels(rows, columns, width=style.PAGE, height=4, squeeze=False, **options) as (figure, axes):
        yield list(axes.flat)
        figure.draw_without_rendering()
        plt.close(figure)


def png(ax: Axes) -> bytes:
    file = BytesIO()
    ax.figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def points(ax: Axes, number: int = -1) -> list[tuple[float, float]]:
    """Where the points of one of the panel's scatters are, by default the last's."""
    found = np.ma.filled(np.ma.asarray(ax.collections[number].get_offsets(), dtype=float), np.nan)
    return [(float(x), float(y)) for x, y in found]


def colours(ax: Axes, number: int = -1) -> list[str]:
    return [to_hex(colour) for colour in np.asarray(ax.collections[number].get_facecolor())]


def spans(ax: Axes, number: int) -> list[tuple[float, float, float]]:
    """Horizontal lines of one of the panel's collections: from, to, height; those of undefined ends left out."""
    drawn = ax.collections[number].get_segments()  # type: ignore[attr-defined]
    return [
        (float(line[0][0]), float(line[1][0]), float(line[0][1]))
        for line in drawn
        if np.isfinite(line).all() and len(line)
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
    (found,) = ax.figure.legends  # type: ignore[union-attr]
    return [text.get_text() for text in found.get_texts()]


def alternative(ax: Axes) -> str:
    """The figure's text alternative."""
    return str(ax.figure.get_label())
