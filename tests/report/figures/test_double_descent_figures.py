import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import drawing
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.report.figures import double_descent as figures
from prunability.report.figures.style import COLOURS

LOSSES = ["test_loss", "train_loss", "test_error", "train_error"]


def means(values: dict[str, list[float]], error: float = 0.1) -> pd.DataFrame:
    """A curve a name, over the parameter count and over epochs."""
    frames = [
        pd.DataFrame({"name": name, "mean": own, "parameters": [100.0, 1000.0, 30_000.0][: len(own)]})
        for name, own in values.items()
    ]
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(error=error, n=2, max_epochs=frame["parameters"])


def band(ax: Axes, number: int = 0) -> tuple[float, float]:
    """Lowest and highest point of a band."""
    heights = np.asarray(ax.collections[number].get_paths()[0].vertices)[:, 1]
    return round(float(heights.min()), 9), round(float(heights.max()), 9)


def test_lines_with_a_band_of_one_standard_error() -> None:
    table = means({"a": [1.0, 3.0, 2.0], "b": [0.0, 0.0, 0.0]})
    with drawing.panels() as (ax,):
        figures.lines(ax, table, "parameters", {"a": "A", "b": "B"}, first=len(COLOURS) - 1)
        assert [[y for _, y in drawing.curve(line)] for line in ax.lines] == [[1, 3, 2], [0, 0, 0]]
        assert (band(ax, 0), band(ax, 1)) == ((0.9, 3.1), (-0.1, 0.1))
        # From ``first`` on, and from the beginning after the last.
        assert [line.get_color() for line in ax.lines] == [COLOURS[-1], COLOURS[0]]
        assert [line.get_label() for line in ax.lines] == ["A", "B"]
        assert ax.get_xscale() == "log"


def test_one_seed_has_no_band() -> None:
    with drawing.panels() as (ax,):
        figures.lines(ax, means({"a": [1.0, 3.0]}, error=np.nan), "parameters", {"a": "A"})
        assert band(ax) == (1, 3)
        outline = np.asarray(ax.collections[0].get_paths()[0].vertices)
        assert {(float(x), float(y)) for x, y in outline} == {(100.0, 1.0), (1000.0, 3.0)}


def test_no_run_leaves_an_empty_panel() -> None:
    with drawing.panels() as (ax,):
        for table in (means({"a": [1.0]}), means({"a": [1.0]})[:0].astype(object)):
            figures.lines(ax, table, "parameters", {"b": "B"})
            assert not ax.lines


@pytest.mark.parametrize("at", [None, 1000.0])
def test_losses_and_errors(at: float | None) -> None:
    table = means({name: [2.0, 1.0, 0.5] for name in LOSSES})
    with drawing.panels(1, 2) as axes:
        figures.losses_and_errors(axes, table, "parameters", at)
        assert [ax.get_ylabel() for ax in axes] == ["cross-entropy (nats)", "error (fraction)"]
        assert [ax.get_xlabel() for ax in axes] == ["parameters (count)"] * 2
        keys = [drawing.words(drawing.key(ax)) for ax in axes]
        assert keys == [
            ["test", "training", *["interpolates from here on"] * (at is not None)], ["± one standard error"],
        ]
        assert [drawing.uprights(ax) for ax in axes] == [{} if at is None else {"--": [at]}] * 2
        assert [ax.get_ylim() for ax in axes] == [(0, 1.15 * 2)] * 2
        assert "parameters" in drawing.alternative(axes[0])


def test_along_training() -> None:
    table = means({name: [2.0, 1.0, 0.5] for name in [*LOSSES, HEADLINE_MEASURE, "other"]})
    with drawing.panels(1, 3) as axes:
        figures.along_training(axes, table, {HEADLINE_MEASURE: "ε = 0.1", "other": "β = 0.5"})
        assert [ax.get_xlabel() for ax in axes] == ["epochs"] * 3
        assert axes[2].get_ylabel() == "prunability (kept fraction)"
        # Not the colours of training and test.
        assert [line.get_color() for line in axes[2].lines] == COLOURS[2:4]
        drawing.lay_out(axes[2])
        for ax in axes:
            key = drawing.key(ax)
            assert key.get_window_extent().y0 >= ax.get_window_extent().y1, "covers a curve"
        assert "ε = 0.1 and β = 0.5" in drawing.alternative(axes[0])


def test_small_multiples() -> None:
    labels = {
        "test_loss": "test loss (nats)", HEADLINE_MEASURE: "prunability", "kept_parameter_count": "kept",
        "large": "large", "tiny": "tiny",
    }
    values = {
        "test_loss": [1.0, 2.0, 1.0], HEADLINE_MEASURE: [0.5] * 3, "kept_parameter_count": [100.0, 1e4, 1e5],
        "large": [-1.0, 2e4, 5e4], "tiny": [1e-6, 1e-3, 1e-2],
    }
    with drawing.panels(2, 3, sharex=True) as axes:
        figures.small_multiples(axes, means(values), labels, 1000.0, 100.0)
        kept = axes[:5]
        assert drawing.figure_of(axes[0]).axes == kept
        assert [ax.get_title() for ax in kept] == [
            "test loss (nats)", f"prunability ({all_measures()[HEADLINE_MEASURE].unit})", "kept (count)", "large", "tiny",
        ]
        assert [drawing.uprights(ax) for ax in kept] == [{"--": [1000.0], ":": [100.0]}] * 5
        # What spans more than a factor of 30 and is positive is drawn by its logarithm.
        assert [ax.get_yscale() for ax in kept] == ["linear", "linear", "log", "linear", "log"]
        drawing.lay_out(axes[0])
        ticks = ["".join(text.get_text() for text in ax.get_yticklabels()) for ax in kept]
        assert "10k" in ticks[2] and "k" in ticks[3]
        assert "10^" in ticks[4] and "µ" not in ticks[4], "parts of 1 are not told by letters"
        assert [bool(ax.get_xlabel()) for ax in kept] == [False, False, True, True, True]
        assert drawing.legend(axes[0]) == [
            "networks interpolate from here on", "test loss peaks", "± one standard error",
        ]


def test_small_multiples_where_nothing_interpolates_or_peaks() -> None:
    with drawing.panels(1, 3) as axes:
        figures.small_multiples(axes, means({"a": [1.0, 2.0]}), {"a": "A"}, None, None)
        assert drawing.uprights(axes[0]) == {}
        assert drawing.legend(axes[0]) == ["± one standard error"]


def halves(names: list[str]) -> pd.DataFrame:
    rows = [
        (measure, measure.upper(), half, target, 0.1 * number - 0.1, 35)
        for half in names
        for measure in ("p", "q")
        for number, target in enumerate(("loss", "gap", "error"))
        if (half, measure) != ("narrow", "p")  # undefined there, and left out
    ]
    frame = pd.DataFrame(rows, columns=["measure", "label", "half", "target", "tau", "n"])
    frame.loc[0, "tau"] = np.nan
    return frame.assign(low=frame["tau"] - 0.1, high=frame["tau"] + 0.2)


def test_tau_in_each_half() -> None:
    with drawing.panels(1, 3, sharey=True) as axes:
        figures.by_half(axes, halves(["all", "narrow"]), "q")
        assert drawing.figure_of(axes[0]).axes == axes[:2]
        assert drawing.rows(axes[0]) == ["P", "Q"]
        assert drawing.bold(axes[0]) == ["Q"]
        assert [ax.get_title() for ax in axes[:2]] == ["all\nn = 35", "narrow\nn = 35"]
        # A line and its points for each target, which stand one under the other.
        assert [len(drawing.points(axes[0], place)) for place in (1, 3, 5)] == [2, 2, 2]
        np.testing.assert_allclose(drawing.points(axes[1], 1), [(-0.1, 0.78)])
        np.testing.assert_allclose(drawing.points(axes[1], 3), [(0, 1)], atol=1e-12)
        np.testing.assert_allclose(drawing.points(axes[1], 5), [(0.1, 1.22)])
        assert np.isnan(drawing.points(axes[0], 1)[0][0])
        np.testing.assert_allclose(drawing.spans(axes[1], 0), [(-0.2, 0.1, 0.78)], atol=1e-12)
        assert drawing.legend(axes[0]) == ["loss", "gap", "error"]
        assert "2 measures with 3 targets" in drawing.alternative(axes[0])


def test_tolerances() -> None:
    curves = pd.DataFrame({"network": ["one"] * 2 + ["two"] * 2, "kept_fraction": [0.5, 1] * 2})
    curves["loss"] = [2.0, 0.5, 3.0, 0.01]
    limits = pd.DataFrame(
        [("one", "ε = 0.1", 0.5, 0.6, 0.9), ("two", "ε = 0.1", 0.01, 0.11, 0.7), ("two", "β = 1", 0.01, 0.02, 0.8)],
        columns=["network", "tolerance", "loss", "limit", "answer"],
    )
    with drawing.panels(1, 2, sharey=True) as axes:
        figures.tolerances(axes, curves, limits)
        assert [ax.get_title() for ax in axes] == ["one", "two"]
        keys = [drawing.words(drawing.key(ax)) for ax in axes]
        assert keys == [["ε\u00a0=\u00a00.1: 0.9"], ["ε\u00a0=\u00a00.1: 0.7", "β\u00a0=\u00a01: 0.8"]]
        marks = [line for line in axes[1].lines if line.get_marker() not in ("None", "")]
        assert [drawing.curve(line)[0] for line in marks] == [(0.7, 0.11), (0.8, 0.02)]
        # The legend has room above the curves, the words below them.
        low, high = axes[0].get_ylim()
        assert low < 0.9 * 0.01 and high > 10 * 3
        assert [drawing.texts(ax) for ax in axes] == [["trained network L(w)"]] * 2
        assert "two, prunability at β\u00a0=\u00a01: 0.8." in drawing.alternative(axes[0])


def test_by_noise() -> None:
    tables = {0.0: means({"a": [1.0, 2.0], HEADLINE_MEASURE: [0.1, 0.2]}).assign(n=1)}
    tables[0.2] = means({"a": [3.0, 4.0], HEADLINE_MEASURE: [0.3, 0.4]}).assign(n=5)
    with drawing.panels(1, 2) as axes:
        figures.by_noise(axes, tables, {"a": "A", HEADLINE_MEASURE: "prunability"})
        assert drawing.legend(axes[0]) == ["0% wrong, 1 seed", "20% wrong, 5 seeds", "± one standard error"]
        assert [[[y for _, y in drawing.curve(line)] for line in ax.lines] for ax in axes] == [
            [[1, 2], [3, 4]], [[0.1, 0.2], [0.3, 0.4]],
        ]
        assert [ax.get_title() for ax in axes] == ["A", "prunability (fraction)"]
        # A share of wrong labels has one colour in all panels.
        assert [line.get_color() for line in axes[0].lines] == [line.get_color() for line in axes[1].lines]


def test_the_key_names_no_band_where_there_is_none() -> None:
    one = pd.DataFrame({"error": [np.nan, np.nan]})
    assert figures.band(one) == figures.band() == []
    assert figures.band(one, one.assign(error=[0.0, np.nan])) == [figures.BAND]
