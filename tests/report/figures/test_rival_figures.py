import numpy as np
import pandas as pd
import pytest

import drawing
from prunability.analysis.sign_errors import SignErrors
from prunability.analysis.tables import TARGETS
from prunability.claims.shared import LITTLE
from prunability.measures import HEADLINE_MEASURE
from prunability.report.figures import rivals as figures
from prunability.report.figures.style import COLOURS, FAMILIES


def square(n: int) -> pd.DataFrame:
    names = [f"measure {k}" for k in range(n)]
    values = np.full((n, n), -0.25)
    np.fill_diagonal(values, 1)
    return pd.DataFrame(values, index=names, columns=names)


@pytest.mark.parametrize(
    ("n", "written"), [(1, 1), (figures.WRITTEN, figures.WRITTEN**2), (figures.WRITTEN + 1, 0)]
)
def test_matrix(n: int, written: int) -> None:
    with drawing.panels() as (ax,):
        figures.matrix(ax, square(n), "measure 0", "Kendall τ", low=-1)
        names, columns = [f"measure {k}" for k in range(n)], [text.get_text() for text in ax.get_xticklabels()]
        if not written:  # numbers, over every fifth column, stand for the names of so many
            assert columns[:n] == columns[n:]  # below and above
            assert columns[:n] == [str(k) if k in (1, 5, 10, 15, 20, 25) else "" for k in range(1, n + 1)]
            columns, names = names, [f"{name}  {number}" for number, name in enumerate(names, 1)]
        assert drawing.rows(ax) == names
        assert columns == [f"measure {k}" for k in range(n)]
        assert drawing.bold(ax) == names[:1]
        assert min(float(text.get_fontsize()) for text in ax.get_yticklabels()) >= 7
        assert drawing.texts(ax) == [("1.00" if k % (n + 1) == 0 else "−.25") for k in range(written)]
        assert ax.collections[0].get_clim() == (-1, 1)
        bar = drawing.figure_of(ax).axes[1]
        assert bar.get_ylabel() == "Kendall τ"
        assert f"{n} measure" in drawing.alternative(ax)


def test_matrix_leaves_what_is_undefined_blank() -> None:
    table = square(3)
    table.iloc[0, 1] = np.nan
    with drawing.panels() as (ax,):
        figures.matrix(ax, table, "none", "information")
        assert len(ax.texts) == 8
        assert drawing.bold(ax) == []
        assert ax.collections[0].get_clim() == (0, 1)


def shared(n: int = 4) -> pd.DataFrame:
    families = np.resize(["size", "norms"], n)
    frame = pd.DataFrame({"label": [f"m{k}" for k in range(n)], "family": families})
    frame["information"], frame["tau"] = np.linspace(0.6, 0.1, n), np.linspace(-0.2, 0.5, n)
    for name in ("information", "tau"):
        frame[f"{name}_low"], frame[f"{name}_high"] = frame[name] - 0.1, frame[name] + 0.2
    return frame


def test_shared_and_predictive_is_numbered_by_family() -> None:
    with drawing.panels() as (ax,):
        figures.shared_and_predictive(ax, shared())
        # Families by name, measures by information.
        assert drawing.legend(ax) == ["norms", "1  m3", "2  m1", "size", "3  m2", "4  m0"]
        (key,) = drawing.figure_of(ax).legends
        assert [text.get_text() for text in key.get_texts() if text.get_fontweight() == "bold"] == ["norms", "size"]
        table = shared().iloc[[3, 1, 2, 0]]
        places, colours, markers = zip(*drawing.scattered(ax), strict=True)
        np.testing.assert_allclose(places, table[["information", "tau"]])
        assert list(colours) == [FAMILIES[family].lower() for family in table["family"]]
        assert len(set(markers)) == 2  # told by shape too
        np.testing.assert_allclose(
            drawing.spans(ax, 0), table[["information_low", "information_high", "tau"]], atol=1e-12
        )
        assert drawing.uprights(ax) == {"--": [LITTLE.value]}
        assert drawing.texts(ax) == ["1", "2", "3", "4"]
        assert "4 measures" in drawing.alternative(ax)


def test_numbers_in_a_crowd_stand_apart_and_by_their_points() -> None:
    n = 12
    table = shared(n)
    table["information"], table["tau"] = 0.3 + 0.004 * (np.arange(n) % 4), 0.5 + 0.012 * (np.arange(n) // 4)
    with drawing.panels() as (ax,):
        figures.shared_and_predictive(ax, table)
        drawing.lay_out(ax)
        boxes = [text.get_window_extent() for text in ax.texts]
        overlaps = [boxes[a].overlaps(boxes[b]) for a in range(n) for b in range(a)]
        assert not any(overlaps)
        places = ax.transData.transform([place for place, *_ in drawing.scattered(ax)])
        centres = np.array([((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in boxes])
        assert (np.hypot(*(places - centres).T) < 0.1 * ax.get_window_extent().width).all()


def test_places_of_numbers_are_the_same_each_time() -> None:
    pictures = []
    for _ in range(2):
        with drawing.panels() as (ax,):
            figures.shared_and_predictive(ax, shared(9).assign(information=0.3, tau=0.2))
            pictures.append(drawing.png(ax))
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_measures_and_undefined_ones(n: int) -> None:
    table = shared(n + 1)
    table.loc[n, "tau"] = np.nan
    with drawing.panels() as (ax,):
        figures.shared_and_predictive(ax, table)
        assert drawing.texts(ax) == [str(k + 1) for k in range(n)]


def partial() -> pd.DataFrame:
    rows = [("nothing", "nothing", 0.9), ("margin", "inverse margin", -0.1), ("norms", "path norm", np.nan)]
    frame = pd.concat(
        [pd.DataFrame(rows, columns=["given", "label", "association"]).assign(target=target) for target in TARGETS]
    )
    return frame.assign(low=frame["association"] - 0.1, high=frame["association"] + 0.05)


def test_forest() -> None:
    with drawing.panels(1, 3, sharey=True) as axes:
        figures.forest(axes, partial())
        assert drawing.rows(axes[0]) == ["nothing", "margin: inverse margin", "norms: path norm"]
        assert axes[0].get_ylabel() == "given"
        for ax, title in zip(axes, TARGETS.values(), strict=True):
            places, colours, _ = zip(*drawing.scattered(ax), strict=True)
            assert places[:2] == ((0.9, 0), (-0.1, 1))
            np.testing.assert_allclose(drawing.spans(ax, 0), [(0.8, 0.95, 0), (-0.2, -0.05, 1)])
            assert list(colours) == [
                name.lower() for name in (COLOURS[6], FAMILIES["output"], FAMILIES["norms"])
            ]
            assert ax.get_xlabel() == f"partial association with\n{title}"
        assert "nothing, margin, norms" in drawing.alternative(axes[0])


def test_paired_bars() -> None:
    rows = [
        ("a", "A", "norms", 0.2, -0.1),
        ("b", "B", "new", 0.9, np.nan),
        (HEADLINE_MEASURE, "P", "pruning", 0.5, 0.0),
    ]
    table = pd.DataFrame(rows, columns=["measure", "label", "family", "one", "two"])
    with drawing.panels(1, 2, sharey=True) as axes:
        figures.paired_bars(axes, table, ["one", "two"], ["first", "second"])
        assert drawing.rows(axes[0]) == ["B", "P", "A"]
        assert drawing.bold(axes[0]) == ["P"]
        assert [ax.get_xlabel() for ax in axes] == ["first", "second"]
        wanted = [(0, 0.9, COLOURS[6]), (1, 0.5, FAMILIES["pruning"]), (2, 0.2, FAMILIES["norms"])]
        drawn = sorted((place, length, colour) for _, length, place, colour in drawing.bars(axes[0]))
        assert drawn == [(place, length, colour.lower()) for place, length, colour in wanted]
        # An undefined value has no bar, and moves no other.
        lengths = {place: length for _, length, place, _ in drawing.bars(axes[1]) if length}
        assert lengths == {2: -0.1}
        assert "3 measures" in drawing.alternative(axes[0])


def errors_of(environments: list[list[float]], left_out: int = 0) -> SignErrors:
    """Sign errors of four measures in environments, given environment by environment."""
    values = np.array(environments, dtype=float).reshape(-1, 4).T
    number = values.shape[1]
    return SignErrors(values, ["width"] * number, np.ones(number), np.ones(number, dtype=np.int64), left_out, 2.5)


def summary_of(errors: SignErrors) -> pd.DataFrame:
    frame = pd.DataFrame({"measure": ["a", HEADLINE_MEASURE, "b", "c"], "label": ["A", "P", "B", "C"]})
    return frame.assign(family=["norms", "pruning", "norms", "size"], mean=errors.summary()[:, 0])


def test_sign_errors_as_shares_of_environments() -> None:
    every = errors_of([[0, 0.4, 0, 1], [1, 0.6, 0, 1], [1, 0.5, 0.5, 1], [1, 0.1, 0.6, 0.5]])
    some = errors_of([[1, 0, 1, 1], [1, 0, 1, 0]], left_out=2)
    with drawing.panels(1, 2, sharey=True) as axes:
        figures.sign_error_shares(axes, {"alike": every, "weighted": some}, summary_of(every))
        # Prunability, and of each family the measure with the smallest mean error, best first.
        assert drawing.rows(axes[0]) == ["pruning: P", "norms: B", "size: C"]
        assert drawing.bold(axes[0]) == ["pruning: P"]
        bars = [[(left, length) for left, length, _, _ in drawing.bars(ax)] for ax in axes]
        right, ties, wrong = bars[0][:3], bars[0][3:6], bars[0][6:]
        assert right == [(0, 0.5), (0, 0.5), (0, 0)]
        assert ties == [(0.5, 0.25), (0.5, 0.25), (0, 0.25)]
        assert wrong == [(0.75, 0.25), (0.75, 0.25), (0.25, 0.75)]
        assert bars[1][:3] == [(0, 1), (0, 0), (0, 0.5)]
        assert drawing.texts(axes[0]) == ["0.40", "0.28", "0.88", "mean error"]
        assert drawing.legend(axes[0]) == list(figures.OUTCOMES)
        assert axes[1].get_title() == "weighted\n2 of 4 environments\neffective sample size 2.5"
        assert "alike; weighted" in drawing.alternative(axes[0])


@pytest.mark.parametrize("few", [[], [[0, 0, 0, 0]]])
def test_too_few_environments_are_told_in_words(few: list[list[float]]) -> None:
    every, some = errors_of([[0, 0.4, 0, 1]] * 3), errors_of(few, left_out=3 - len(few))
    with drawing.panels(1, 2, sharey=True) as axes:
        figures.sign_error_shares(axes, {"alike": every, "weighted": some}, summary_of(every))
        assert len(axes[0].patches) == 9
        assert list(axes[1].patches) == []
        (words,) = drawing.texts(axes[1])
        assert f"In {3 - len(few)} the test errors may differ" in words
        assert drawing.legend(axes[0]) == list(figures.OUTCOMES)


def test_no_environment_at_all() -> None:
    none = errors_of([], left_out=3)
    with drawing.panels() as axes:
        figures.sign_error_shares(axes, {"weighted": none}, summary_of(none))
        assert drawing.legend(axes[0]) == []
        assert len(drawing.texts(axes[0])) == 1
