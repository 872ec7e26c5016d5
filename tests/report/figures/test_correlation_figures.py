from typing import Any

import numpy as np
import pandas as pd
import pytest

import drawing
from prunability.analysis.tables import TARGETS
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.search import HEADLINE
from prunability.report.figures import correlation as figures
from prunability.report.figures.style import COLOURS, MARKERS

TAU = pd.DataFrame(
    {"target": ["loss_gap", "test_loss"], "tau": [0.9, -0.5], "low": [0.8, -0.6], "high": [1.0, 0.1]}
)


def runs(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"width": np.resize([8, 16, 32], n), "depth": np.resize([1, 2], n), "learning_rate": 0.05})
    for name in (HEADLINE_MEASURE, "test_loss"):
        frame[name] = rng.uniform(0.1, 1, n)
    frame["parameter_count"] = 100 * frame["width"] * frame["depth"]
    return frame.assign(kept_parameter_count=frame[HEADLINE_MEASURE] * frame["parameter_count"])


def test_scatter_shows_every_run_in_its_colour() -> None:
    table = runs()
    with drawing.panels() as (ax,):
        figures.prunability_scatter(ax, table, TAU, "width", "depth")
        assert drawing.points(ax) == list(zip(table[HEADLINE_MEASURE], table["test_loss"], strict=True))
        levels = sorted(table["width"].unique())
        wanted = [COLOURS[levels.index(width)].lower() for width in table["width"]]
        assert drawing.colours(ax) == wanted
        assert drawing.legend(ax) == ["width", "8", "16", "32", "depth", "1", "2"]
        assert ax.get_legend() is None
        assert ax.get_title() == "τ\u00a0=\u00a0−0.50 [−0.60, 0.10]"
        assert (ax.get_xlabel(), ax.get_ylabel()) == (
            "prunability (kept fraction, ε = 0.1 nats)",
            "test loss (nats)",
        )
        assert "12 networks, by width and depth" in drawing.alternative(ax)
        assert ax.get_title() in drawing.alternative(ax)


@pytest.mark.parametrize("n", [0, 1])
def test_scatter_of_no_run_and_of_one(n: int) -> None:
    undefined = TAU.assign(tau=np.nan, low=np.nan, high=np.nan)
    with drawing.panels() as (ax,):
        figures.prunability_scatter(ax, runs(n), undefined, "width", "depth")
        assert sum(len(drawing.points(ax, k)) for k in range(len(ax.collections))) == n
        assert ax.get_title() == "τ\u00a0=\u00a0undefined"


def test_scatter_leaves_out_what_is_undefined_and_takes_a_constant() -> None:
    table = runs().assign(test_loss=0.5)
    table.loc[3, HEADLINE_MEASURE] = np.nan
    with drawing.panels() as (ax,):
        figures.scatter(ax, table, HEADLINE_MEASURE, "test_loss", "width", "depth")
        found = drawing.points(ax)
        assert len(found) == 11
        assert {y for _, y in found} == {0.5}


def test_more_levels_than_looks_begin_anew() -> None:
    n = len(COLOURS) + 1
    table = runs(2 * n).assign(width=np.arange(2 * n) % n)
    with drawing.panels() as (ax,):
        handles = figures.scatter(ax, table, HEADLINE_MEASURE, "test_loss", "width", "width")
        assert [handle.get_label() for handle in handles] == [f"{level}" for level in range(n)]
        assert drawing.colours(ax)[0] == drawing.colours(ax)[n - 1] == COLOURS[0].lower()
        assert len(MARKERS) < n


def test_a_panel_for_each_hyperparameter() -> None:
    names = ["width", "depth", "learning_rate", "weight_decay"]
    table = runs().assign(weight_decay=np.resize([0.0, 0.0005], 12))
    with drawing.panels(2, 3, sharex=True, sharey=True) as axes:
        figures.scatter_by_hyperparameter(axes, table, names)
        assert drawing.figure_of(axes[0]).axes == axes[:4]
        assert [ax.get_title() for ax in axes[:4]] == [
            "width (channels)", "depth (blocks)", "learning rate", "weight decay",
        ]
        keys = [drawing.words(drawing.key(ax)) for ax in axes[:4]]
        assert keys == [["8", "16", "32"], ["1", "2"], ["0.05"], ["0", "0.0005"]]
        # Words below the lowest panel of each column and left of each row.
        below = [bool(ax.get_xlabel()) and ax.xaxis.label.get_visible() for ax in axes[:4]]
        assert below == [False, True, True, True]
        assert [bool(ax.get_ylabel()) for ax in axes[:4]] == [True, False, False, True]
        # Legends stand above their panels and cover no network.
        drawing.lay_out(axes[0])
        for ax in axes[:4]:
            key = drawing.key(ax)
            assert key.get_window_extent().y0 >= ax.get_window_extent().y1
            assert key.get_window_extent().y1 <= ax.title.get_window_extent().y0


def levels(seeds: bool) -> pd.DataFrame:
    rows = [("width", 8.0, 0.1), ("width", 16.0, 0.2), ("learning_rate", 0.05, np.nan)]
    frame = pd.DataFrame(rows, columns=["hyperparameter", "level", "tau"]).assign(n=24.0)
    frame["low"], frame["high"] = frame["tau"] - 0.1, frame["tau"] + 0.2
    frame["seeds_low"], frame["seeds_high"] = (frame["tau"] - 0.05, frame["tau"] + 0.05) if seeds else (np.nan,) * 2
    return frame


@pytest.mark.parametrize("seeds", [True, False])
def test_tau_at_each_level(seeds: bool) -> None:
    table = levels(seeds)
    with drawing.panels() as (ax,):
        figures.tau_by_level(ax, table, 0.3)
        assert drawing.rows(ax) == ["width 8 (n = 24)", "width 16 (n = 24)", "learning rate 0.05 (n = 24)"]
        assert drawing.points(ax)[:2] == [(0.1, 0.0), (0.2, 1.0)]
        np.testing.assert_allclose(drawing.spans(ax, 0), [(0.0, 0.3, 0), (0.1, 0.4, 1)], atol=1e-12)
        # Those by seeds a little lower, where they hide nothing.
        lower = [(0.05, 0.15, 0.22), (0.15, 0.25, 1.22)] if seeds else np.empty((0, 3))
        np.testing.assert_allclose(np.reshape(drawing.spans(ax, 1), (-1, 3)), lower, atol=1e-12)
        # One colour a hyperparameter.
        assert drawing.colours(ax) == [COLOURS[k].lower() for k in (0, 0, 1)]
        assert drawing.uprights(ax) == {"-": [0], ":": [0.3]}
        both = ["95 %, by settings", *["95 %, by seeds"] * seeds, "τ of all"]
        assert drawing.legend(ax) == both
        assert "0.30 over all" in drawing.alternative(ax)


def test_no_level() -> None:
    with drawing.panels() as (ax,):
        figures.tau_by_level(ax, levels(seeds=True).iloc[:0], 0.3)
        assert drawing.rows(ax) == []


def test_pruning_curve_marks_each_answer() -> None:
    curves = pd.DataFrame({"pruner": ["magnitude"] * 2 + ["random"] * 2, "kept_fraction": [0.5, 1] * 2})
    curves["loss"] = [2.0, 0.01, 3.0, 0.01]
    with drawing.panels() as (ax,):
        figures.pruning_curve(ax, curves, 0.01, 0.11, {"magnitude": 0.6, "random": 0.9})
        marked = [line for line in ax.lines if line.get_marker() in MARKERS]
        assert [drawing.curve(line)[0] for line in marked] == [(0.6, 0.11), (0.9, 0.11)]
        assert len({line.get_marker() for line in marked}) == len({line.get_color() for line in marked}) == 2
        assert drawing.legend(ax) == ["magnitude: 0.6", "random: 0.9"]
        heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
        assert heights == {"tolerance L(w) + ε": 0.11, "trained network L(w)": 0.01}
        assert ax.get_yscale() == "log"
        assert "magnitude 0.6; random 0.9" in drawing.alternative(ax)


def correlations() -> pd.DataFrame:
    rows = [
        ("a", "A", "norms", 0.1),
        ("b", "B", "size", np.nan),
        ("c", "C", "norms", 0.9),
        ("p", "P", "pruning", 0.5),
    ]
    frames = [
        pd.DataFrame(rows, columns=["measure", "label", "family", "tau"]).assign(target=target)
        for target in TARGETS
    ]
    frame = pd.concat(frames, ignore_index=True)
    # Another order by the other targets, which moves no row.
    frame.loc[frame["target"] == "test_error", "tau"] *= -1
    return frame.assign(low=frame["tau"] - 0.1, high=frame["tau"] + 0.1)


@pytest.mark.parametrize("headline", ["p", "of another table"])
def test_ranking(headline: str) -> None:
    with drawing.panels(1, 3, sharey=True) as axes:
        figures.ranking(axes, correlations(), headline)
        assert drawing.rows(axes[0]) == ["C", "A", "P", "B"]
        assert drawing.bold(axes[0]) == ["P"] * (headline == "p")
        for ax, sign, target in zip(axes, (1, 1, -1), TARGETS.values(), strict=True):
            places = sorted((place for place, *_ in drawing.scattered(ax)), key=lambda place: place[1])
            assert places[:3] == [(sign * 0.9, 0), (sign * 0.1, 1), (sign * 0.5, 2)]
            assert len(places) == 4
            assert np.isnan(places[3][0])
            assert ax.get_xlabel() == f"Kendall τ with\n{target}"
            assert drawing.uprights(ax).get(":", []) == [sign * 0.5] * (headline == "p")
        assert "4 measures with 3 targets" in drawing.alternative(axes[0])


def test_ranking_of_one_measure() -> None:
    with drawing.panels(1, 3, sharey=True) as axes:
        figures.ranking(axes, correlations().query("measure == 'a'"), "a")
        assert drawing.rows(axes[0]) == ["A"]
        assert drawing.texts(axes[2]) == ["norms"]


def test_grid_of_granulated_taus() -> None:
    values = {"a": (0.2, 1.0, 0.6), "p": (-0.004, -1.0, -0.5), "c": (np.nan, np.nan, np.nan)}
    rows = [
        (name, name.upper(), {"p": "pruning"}.get(name, "norms"), hyperparameter, psi)
        for name, psis in values.items()
        for hyperparameter, psi in zip(("width", "learning_rate", "mean"), psis, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["measure", "label", "family", "hyperparameter", "psi"])
    with drawing.panels() as (ax,):
        figures.tau_grid(ax, table, "p")
        assert drawing.rows(ax) == ["A", "C", "P"]
        assert drawing.bold(ax) == ["P"]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["width", "learning\nrate", "Ψ (mean)"]
        written = {(x, y): text.get_text() for text in ax.texts for x, y in [text.get_position()] if x != 1.02}
        wanted = [["0.20", "1.00", "0.60"], ["–"] * 3, ["0.00", "−1.00", "−0.50"]]
        assert written == {(x + 0.5, y + 0.5): wanted[y][x] for x in range(3) for y in range(3)}
        assert {text.get_color() for text in ax.texts[:6]} == {"black"}
        assert ax.get_ylim() == (3, 0)


def sweep(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"kind": ["absolute"] * 2 + ["relative"], "amount": [0.1, 0.5, 2.0], "tau": [0.1, 0.2, np.nan]}
    )
    return frame.assign(low=frame["tau"] - 0.1, high=frame["tau"] + 0.1, **columns)


def test_sweep_of_tolerances() -> None:
    table = pd.concat([sweep(target="one"), sweep(target="two")])
    with drawing.panels(1, 2, sharey=True) as axes:
        figures.tolerance_sweep(axes, table, "target", "Kendall τ of what")
        assert [ax.get_xlabel() for ax in axes] == ["absolute tolerance ε (nats)", "relative tolerance β"]
        assert axes[0].get_ylabel() == "Kendall τ of what"
        assert [text.get_text() for text in axes[0].get_xticklabels()] == ["0.1", "0.5"]
        assert [text.get_text() for text in axes[1].get_xticklabels()] == ["2"]
        assert drawing.legend(axes[0]) == ["one", "two"]
        one, two = axes[0].lines[:2]
        assert [y for _, y in drawing.curve(one)] == [y for _, y in drawing.curve(two)] == [0.1, 0.2]
        # Side by side: intervals hide nothing of one another.
        assert all(x < y for (x, _), (y, _) in zip(drawing.curve(one), drawing.curve(two), strict=True))
        assert (one.get_color(), one.get_marker()) != (two.get_color(), two.get_marker())


def test_size_panels() -> None:
    table = runs()
    sizes = pd.DataFrame({"measure": ["prunability", "kept parameters"] * 2, "tau": [-0.5, 0.9, 0, 0]})
    sizes = sizes.assign(low=-0.9, high=1.0, kind=HEADLINE.kind, amount=[HEADLINE.amount] * 2 + [7.0] * 2)
    with drawing.panels(1, 2) as axes:
        figures.size_panels(axes, table, sizes, "width", "depth")
        assert [ax.get_title() for ax in axes] == [
            "τ\u00a0=\u00a0−0.50 [−0.90, 1.00]", "τ\u00a0=\u00a00.90 [−0.90, 1.00]",
        ]
        assert [ax.get_ylabel() for ax in axes] == ["prunability (kept fraction)", "kept parameters (count)"]
        assert drawing.points(axes[1]) == list(
            zip(table["parameter_count"], table["kept_parameter_count"], strict=True)
        )
        assert [ax.get_yscale() for ax in axes] == ["linear", "log"]
        # The figure's only legend is outside the panels.
        assert drawing.legend(axes[0]) == ["width", "8", "16", "32", "depth", "1", "2"]
        assert [ax.get_legend() for ax in axes] == [None, None]
