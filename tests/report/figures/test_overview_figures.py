import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

import drawing
from prunability.claims.sensitivity import AS_IT_IS
from prunability.report.figures import overview as figures
from prunability.report.figures.overview import LOOKS, SIGNS
from prunability.training.config import VERSION

COLUMNS = ["claim", "profile", "data", "version", "n", "verdict", "statistic", "estimate", "wanted", "undecided"]
TOLD = "partial association with test loss given size -0.38 [-0.62, -0.11]"
TABLE = pd.DataFrame(
    [
        (
            "C1",
            "quick",
            "digits",
            VERSION,
            144,
            "supported",
            "τ with test loss",
            "0.71 [-0.64, 0.77]",
            "above 0.3",
            "",
        ),
        ("C2", "quick", "digits", VERSION, 9, "insufficient n", "", "", "", ""),
        ("C3", "small", "images", VERSION - 1, 48, "cannot decide", "τ", "0.1", "above 0.3", "nothing to explain"),
        ("C1", "small", "images", VERSION - 1, 48, "inconclusive", "τ", "0.1", "above 0.3", ""),
    ],
    columns=COLUMNS,
).assign(told=["", "", "", TOLD])


def cells(ax: Axes) -> dict[tuple[int, int], str]:
    """The colour of each cell that has one, by row and column."""
    mesh = ax.collections[0]
    mesh.update_scalarmappable()
    codes: np.ma.MaskedArray = np.ma.masked_invalid(np.ma.asarray(mesh.get_array()))
    shown = drawing.colours(ax, 0)
    at = list(np.ndindex(codes.shape))
    return {
        place: tint
        for place, tint, gone in zip(at, shown, np.ma.getmaskarray(codes).ravel(), strict=True)
        if not gone
    }


def at(ax: Axes, row: int, column: int) -> list[str]:
    """What is written in a cell."""
    places = {text: text.get_position() for text in ax.texts if text.get_transform() == ax.transData}
    return [text.get_text() for text, (x, y) in places.items() if (int(y), int(x)) == (row, column)]


def test_verdicts() -> None:
    with drawing.panels() as (ax,):
        figures.verdict_table(ax, TABLE)
        assert [row.split()[0] for row in drawing.rows(ax)] == ["C1", "C2", "C3"]
        assert [text.get_text() for text in ax.get_xticklabels()] == [
            "quick: digits", f"small: images\n(made by version {VERSION - 1} of the protocol)",
        ]
        assert cells(ax) == {
            (0, 0): LOOKS["supported"][0], (0, 1): LOOKS["inconclusive"][0], (1, 0): LOOKS["insufficient n"][0],
            (2, 1): LOOKS["cannot decide"][0],
        }
        assert at(ax, 0, 0) == [
            "✓ supported",
            "τ with test loss\n0.71 [−0.64, 0.77]\nwanted: above 0.3; n\u00a0=\u00a0144",
        ]
        assert at(ax, 1, 0) == ["– insufficient n", "n\u00a0=\u00a09"]
        assert at(ax, 2, 1) == ["○ cannot decide", "nothing to explain\nn\u00a0=\u00a048"]
        # What stands wherever the verdict does is its last lines.
        assert at(ax, 0, 1)[1].replace("\n", " ").endswith("48 " + TOLD.replace("-", "−"))
        assert at(ax, 1, 1) == at(ax, 2, 0) == ["no results"]
        assert "C3, small: cannot decide." in drawing.alternative(ax)


def test_one_verdict() -> None:
    with drawing.panels() as (ax,):
        figures.verdict_table(ax, TABLE.iloc[:1])
        assert cells(ax) == {(0, 0): LOOKS["supported"][0]}
        assert "no results" not in drawing.texts(ax)


def test_words_stay_within_their_cells() -> None:
    long = TABLE.assign(
        statistic="a statistic of prunability with a long name, such as these have", undecided="nothing can be said of it " * 5,
        told=TOLD,
    )
    more = [long.assign(profile=name) for name in ("quick", "narrow", "small")]
    table = pd.concat(more).drop_duplicates(["claim", "profile"])
    with drawing.panels() as (ax,):
        figures.verdict_table(ax, table)
        drawing.lay_out(ax)
        for text in ax.texts:
            box = ax.transData.inverted().transform(text.get_window_extent())
            assert np.floor(box[0][0]) == np.floor(box[1][0]), text.get_text()


def moved() -> pd.DataFrame:
    rows = [
        ("C1", AS_IT_IS, "", np.nan, "supported"), ("C2", AS_IT_IS, "", np.nan, "not supported"),
        ("C2", "target", "test error", np.nan, "inconclusive"),
        ("C1", "τ", "0.5", 0.5, "not supported"), ("C2", "τ", "0.1", 0.1, "supported"),
        ("C1", "τ", "0.1", 0.1, "supported"), ("C1", "rank share", "0.5", 0.5, "supported"),
    ]
    frame = pd.DataFrame(rows, columns=["claim", "varied", "setting", "value", "verdict"])
    return pd.concat(
        [frame.assign(profile="quick"), frame.iloc[:1].assign(profile="small", verdict="cannot decide")]
    )


@pytest.mark.parametrize("labels", [True, False])
def test_sensitivity(labels: bool) -> None:
    with drawing.panels() as (ax,):
        figures.sensitivity_table(ax, moved(), "quick", labels)
        # As it is, thresholds in the order of their values, and definitions last.
        names = ["as it is", "0.1", "0.5", "0.5", "test error"]
        assert [text.get_text() for text in ax.get_xticklabels()] == names * labels
        signs = {
            (0, 0): "supported", (0, 1): "supported", (0, 2): "not supported", (0, 3): "supported",
            (1, 0): "not supported", (1, 1): "supported", (1, 4): "inconclusive",
        }
        assert cells(ax) == {place: LOOKS[verdict][0] for place, verdict in signs.items()}
        for place in np.ndindex(2, 5):
            assert at(ax, *place) == ([SIGNS[signs[place]]] if place in signs else [])
        # A line between groups; the name of a group of several above its middle.
        assert drawing.uprights(ax) == {"-": [1, 3, 4]}
        above = {text.get_text(): text.get_position()[0] for text in ax.texts if text.get_position()[1] == 1.02}
        assert above == {"τ": 2.0}
        assert ax.get_title(loc="left") == "profile quick"
        assert "supported 4, not supported 2, inconclusive 1" in drawing.alternative(ax)


def test_sensitivity_of_a_profile_with_few_runs_or_none() -> None:
    with drawing.panels(2) as axes:
        figures.sensitivity_table(axes[0], moved(), "small", labels=False)
        figures.sensitivity_table(axes[1], moved(), "of no table", labels=True)
        assert cells(axes[0]) == {(0, 0): LOOKS["cannot decide"][0]}
        assert cells(axes[1]) == {}


def test_key_names_every_verdict() -> None:
    with drawing.panels() as (ax,):
        figures.key(ax)
        assert drawing.legend(ax) == [
            *(f"{sign} {verdict}" for verdict, sign in SIGNS.items()),
            "blank: does not apply",
        ]
        (key,) = drawing.figure_of(ax).legends
        tints = [to_hex(patch.get_facecolor()) for patch in key.get_patches()][:-1]
        assert tints == [tint for tint, _ in LOOKS.values()]
