import numpy as np
import pandas as pd
import pytest

import drawing
from prunability.analysis.probed import ATTACK, LEVELS, LINES, NOISE
from prunability.report.figures import sparse as figures
from prunability.report.figures.style import COLOURS


def long(x: str, places: list[float], names: list[str], lines: tuple[str, ...] = ("one", "two")) -> pd.DataFrame:
    """Means of each line that differ from one another, the same for each name."""
    frames = [
        pd.DataFrame({x: places, "mean": 1.0 + number + np.arange(len(places)), "line": line, "name": name})
        for number, line in enumerate(lines)
        for name in names
    ]
    return pd.concat(frames, ignore_index=True).assign(error=0.1, n=3)


def test_a_line_keeps_its_colour_where_others_are_missing() -> None:
    table = long("x", [1.0, 2.0], ["a", "b"])
    table = table[~((table["name"] == "b") & (table["line"] == "one"))]
    with drawing.panels(1, 2) as axes:
        figures.curves(axes, table, "x", {"a": "A", "b": "B"}, "places")
        drawn = [{line.get_color(): drawing.curve(line) for line in ax.lines if drawing.curve(line)} for ax in axes]
        assert drawn[0] == {COLOURS[0]: [(1, 1), (2, 2)], COLOURS[1]: [(1, 2), (2, 3)]}
        assert drawn[1] == {COLOURS[1]: [(1, 2), (2, 3)]}
        assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == [("places", "A"), ("places", "B")]


def test_tickets_run_from_all_weights_to_few() -> None:
    with drawing.panels(1, 2) as axes:
        figures.tickets(axes, long("density", [0.02, 0.2, 1.0], list(figures.ENDS)))
        drawing.lay_out(axes[0])
        for ax in axes:
            left, right = ax.get_xlim()
            assert left > 1 > 0.02 > right
            assert {"100%", "20%", "2%"} <= {label.get_text() for label in ax.get_xticklabels()}
        assert drawing.legend(axes[0]) == ["one", "two", "± one standard error"]
        assert "one, two" in drawing.alternative(axes[0])


@pytest.mark.parametrize("marked", [{}, {"wrong": 0.2}])
def test_descent(marked: dict[str, float]) -> None:
    names = [name for row in figures.DESCENT.values() for name in row]
    table = long("density", [0.02, 0.2, 1.0], names, ("",))
    with drawing.panels(4, 2) as axes:
        grid = np.array(axes).reshape(4, 2)
        figures.descent(grid, {"right": table, "wrong": table}, marked)
        assert [drawing.uprights(ax) for ax in grid[:, 1]] == [{":": [0.2]} if marked else {}] * 4
        assert [drawing.uprights(ax) for ax in grid[:, 0]] == [{}] * 4
        assert [ax.get_ylabel() for ax in grid[:, 0]] == list(figures.DESCENT)
        colours = [[line.get_color() for line in ax.lines] for ax in grid[:, 0]]
        assert colours == [COLOURS[:2], COLOURS[:2], COLOURS[2:3], COLOURS[3:5]]
        assert drawing.legend(axes[0]) == ["test loss peaks"] * bool(marked) + ["± one standard error"]
        assert "right and wrong" in drawing.alternative(axes[0])


def test_barrier() -> None:
    heights = long("epoch", [0, 1, 2, 4], ["loss", "error"], ("test", "training"))
    along = long("t", [0.0, 0.5, 1.0], ["above"], ("0", "4"))
    with drawing.panels(1, 3) as axes:
        figures.barrier(axes, heights, along)
        drawing.lay_out(axes[0])
        # The first epoch, which a logarithm would lose, is there.
        assert [[label.get_text() for label in ax.get_xticklabels()] for ax in axes[:2]] == [["0", "1", "2", "4"]] * 2
        assert drawing.words(drawing.key(axes[2])) == ["0", "4"]
        assert axes[2].get_xscale() == "linear"


def test_matching() -> None:
    table = pd.concat([long("t", [0.0, 1.0], ["test_loss"]).assign(network=name) for name in ("MLP(8)", "NiN(4)")])
    with drawing.panels(1, 2) as axes:
        figures.matching(axes, table)
        assert [ax.get_title() for ax in axes] == ["MLP(8)", "NiN(4)"]
        assert [ax.get_ylabel() for ax in axes] == ["test loss (nats)", ""]
        assert "MLP(8), NiN(4)" in drawing.alternative(axes[0])


def test_scatter() -> None:
    table = pd.DataFrame({"parent": [0.1, 0.2, 0.3], "test_loss": [1.0, 2.0, 3.0], "width": [8, 8, 16]})
    with drawing.panels() as (ax,):
        figures.scatter(ax, table, "τ = 1")
        assert [place for place, _, _ in drawing.scattered(ax)] == [(0.1, 1), (0.2, 2), (0.3, 3)]
        assert len({outline for _, _, outline in drawing.scattered(ax)}) == 2, "widths are told by their markers too"
        assert drawing.words(drawing.key(ax)) == ["width 8", "width 16"]
        assert ax.get_title() == "τ\u00a0=\u00a01"


def test_robustness_by_width() -> None:
    with drawing.panels(1, 2) as axes:
        figures.by_width(axes, long("width", [8, 16], ["clean", NOISE], ("sparse", LINES["dense"])))
        # That of the narrowest dense one, which is what sparse ones are held against.
        assert [drawing.curve(ax.lines[-1])[0][1] for ax in axes] == [2, 2]
        drawing.lay_out(axes[0])
        assert [[label.get_text() for label in ax.get_xticklabels()] for ax in axes] == [["8", "16"]] * 2
        assert [ax.get_ylabel() for ax in axes] == ["test error", ""]  # its ticks are percentages


def test_robustness_by_strength() -> None:
    names = [NOISE, ATTACK, "blur"]
    table = pd.concat([long("strength", [0.0, 1.0], ["test_error"]).assign(disturbance=name) for name in names])
    with drawing.panels(2, 2) as axes:
        figures.by_strength(axes, table)
        assert drawing.figure_of(axes[0]).axes == axes[:3]
        assert [ax.get_title() for ax in axes[:3]] == names
        assert [ax.get_xlabel() for ax in axes[:3]] == [*figures.STRENGTHS.values(), "severity"]
        assert [bool(ax.get_ylabel()) for ax in axes[:3]] == [True, False, True]


def test_classes() -> None:
    errors = pd.DataFrame([(level, name) for level in LEVELS[1:] for name in range(3)], columns=["level", "class"])
    errors = errors.assign(mean=np.arange(9) / 20, error=np.nan)
    biases = pd.DataFrame([(level, name) for level in LEVELS[1:] for name in ("kept", "cev", "sde")])
    biases = biases.set_axis(["level", "name"], axis=1).assign(mean=np.arange(9.0), error=0.1)
    with drawing.panels(1, 2) as axes:
        figures.classes(axes, errors, biases)
        moved = [[y for _, y in drawing.curve(line)] for line in axes[0].lines if str(line.get_marker()) in "os^"]
        assert moved == [[0, 0.05, 0.1], [0.15, 0.2, 0.25], [0.3, 0.35, 0.4]]
        uneven = [drawing.curve(line) for line in axes[1].lines if str(line.get_marker()) in "Dv"]
        assert uneven == [[(1, 1), (2, 4), (3, 7)], [(1, 2), (2, 5), (3, 8)]]
        assert [drawing.words(drawing.key(ax)) for ax in axes] == [[*LEVELS[1:], "± one standard error"], ["CEV", "SDE"]]
        assert axes[1].get_yscale() == "log"
    still = biases.assign(mean=biases["mean"].where(biases["name"] == "kept", 0.0))
    with drawing.panels(1, 2) as axes:
        figures.classes(axes, errors, still)
        axes[0].figure.canvas.draw()
        assert axes[1].get_yscale() == "linear"
