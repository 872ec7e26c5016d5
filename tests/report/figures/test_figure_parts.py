import itertools
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

import drawing
from prunability.report.figures import parts
from prunability.report.figures.style import COLOURS, FAMILIES

TABLE = pd.DataFrame(
    [
        ("a", "A", "norms", 0.1), ("b", "B", "size", 0.5), ("c", "C", "norms", 0.9), ("d", "D", "new", np.nan),
        ("e", "E", "size", np.nan), ("f", "F", "flatness", 0.5),
    ],
    columns=["measure", "label", "family", "tau"],
)


def test_families_by_their_best_and_rows_within_them() -> None:
    # Of families with equal bests the first by name is first; what is undefined is last, in its family and at all.
    assert list(parts.by_family(TABLE, "tau")["measure"]) == ["c", "a", "f", "b", "e", "d"]
    assert list(parts.by_family(TABLE, "tau").columns) == list(TABLE.columns)
    assert parts.by_family(TABLE.iloc[:0], "tau").empty


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_rows_are_named_ruled_and_told_by_family(first: float) -> None:
    table = parts.by_family(TABLE, "tau")
    with drawing.panels(1, 2, sharey=True) as axes:
        parts.measure_rows(axes, table, "f", first)
        assert drawing.rows(axes[0]) == ["C", "A", "F", "B", "E", "D"]
        assert drawing.bold(axes[0]) == ["F"]
        assert list(axes[0].get_yticks()) == [first + place for place in range(6)]
        # A line between families, none after the last; names beside the right panel, in the middle of each family.
        for ax in axes:
            assert [drawing.curve(line)[0][1] for line in ax.lines] == [first + 1.5, first + 2.5, first + 4.5]
        assert drawing.texts(axes[0]) == []
        assert [(text.get_text(), text.get_position()[1]) for text in axes[1].texts] == [
            ("norms", first + 0.5), ("flatness", first + 2), ("size", first + 3.5), ("new", first + 5),
        ]


def test_colours_of_families() -> None:
    assert parts.family_colours(["norms", "new"]) == [FAMILIES["norms"], COLOURS[6]]


def test_intervals_keep_what_is_undefined_out() -> None:
    table = pd.DataFrame({"tau": [0.5, np.nan, 0.2], "low": [0.1, np.nan, np.nan], "high": [0.6, np.nan, np.nan]})
    with drawing.panels() as (ax,):
        parts.intervals(ax, table, np.arange(3), ["#ff0000", "#00ff00", "#0000ff"])
        assert drawing.spans(ax, 0) == [(0.1, 0.6, 0)]
        np.testing.assert_equal(drawing.points(ax), [(0.5, 0), (np.nan, np.nan), (0.2, 2)])


@given(st.floats(-1, 1))
def test_two_decimals(value: float) -> None:
    words = parts.two_decimals(value)
    assert float(words.replace("−", "-")) == round(value, 2)
    assert "-" not in words
    assert words != "−0.00"


def test_typeset() -> None:
    assert (
        parts.typeset("τ = -0.10 [-0.30, 0.11], pac-2, from 1-2")
        == "τ\u00a0=\u00a0−0.10 [−0.30, 0.11], pac-2, from 1-2"
    )


def test_counted() -> None:
    assert [parts.counted(n, "run") for n in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]


def test_sentences_of_the_text_alternative_are_joined() -> None:
    with drawing.panels(1, 2) as axes:
        parts.describe(axes[0], "One.")
        parts.describe(axes[1], "Two.")
        assert drawing.alternative(axes[0]) == "One. Two."


def test_ticks_of_counts() -> None:
    with drawing.panels() as (ax,):
        ax.set(xscale="log", xlim=(900, 60_000))
        parts.count_ticks(ax.xaxis)
        drawing.lay_out(ax)
        shown = [tick.get_text() for tick in ax.get_xticklabels()]
        assert {"1k", "2k", "5k", "10k", "20k", "50k"} <= set(shown)
        assert all(not text.get_text() for text in ax.get_xticklabels(minor=True))


def as_seen(colour: str, matrix: list[list[float]]) -> np.ndarray:
    """A colour as the colour-blind see it: linear RGB by a matrix [Machado et al. 2009, severity 1]."""
    linear = np.array(to_rgb(colour)) ** 2.2
    return np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2)


DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


@pytest.mark.parametrize("matrix", [DEUTERANOPIA, PROTANOPIA, np.eye(3).tolist()])
def test_families_are_told_apart_without_red_or_green(matrix: list[list[float]]) -> None:
    """By colour, and by marker where two colours come near one another."""
    seen = {family: as_seen(colour, matrix) for family, colour in FAMILIES.items()}
    markers = dict(zip(FAMILIES, parts.family_markers(FAMILIES), strict=True))
    assert len(set(markers.values())) == len(FAMILIES)
    near = [
        (one, other)
        for one, other in itertools.combinations(FAMILIES, 2)
        if np.linalg.norm(seen[one] - seen[other]) < 0.1
    ]
    assert len(near) <= 1, near
