from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from PIL import Image

from helpers import NAMES, PROVENANCE
from prunability.analysis import tables
from prunability.analysis.ranks import kendall_tau
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.report.figures import correlation as figures
from prunability.report.figures import parts, style
from prunability.report.session import Parameters


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice([1, 2, 3], 40) for name in NAMES})
    frame["setting"] = np.arange(40) // 2
    frame["run"] = [f"{k:016x}" for k in range(40)]
    for name in [*tables.TARGETS, *all_measures()]:
        frame[name] = rng.uniform(0.1, 1, 40)
    return frame


def draw(table: pd.DataFrame, folder: Path) -> None:
    ranked = tables.ranked_measures()
    correlations = tables.correlations(table, ranked, 0)
    with style.panels() as (figure, ax):
        figures.prunability_scatter(ax, table, correlations[correlations["measure"] == ranked[0]], *NAMES[:2])
    style.save(figure, "scatter", folder, table, PROVENANCE, "digits, n = 12")
    with style.panels(1, 3, width=style.PAGE, height=4, sharey=True) as (figure, axes):
        figures.ranking(axes, correlations, HEADLINE_MEASURE)
    style.save(figure, "ranking", folder, correlations, PROVENANCE, "digits, n = 12")
    with style.panels(2, 3, width=style.PAGE) as (figure, axes):
        figures.scatter_by_hyperparameter(list(axes.flat), table, NAMES)
    style.save(figure, "by_hyperparameter", folder, table, PROVENANCE, "digits, n = 12")
    with style.panels() as (figure, ax):
        figures.tau_grid(ax, tables.granulated(table, ranked, NAMES), HEADLINE_MEASURE)
    style.save(figure, "grid", folder, table, PROVENANCE, "digits, n = 12")
    levels = tables.by_level(table, HEADLINE_MEASURE, "test_loss", NAMES, tables.sample_of(table, 0))
    with style.panels() as (figure, ax):
        figures.tau_by_level(ax, levels, 0.5)
    style.save(figure, "levels", folder, levels, PROVENANCE, "digits, n = 12")
    sizes = tables.size_sweep(table, 0)
    with style.panels(1, 2) as (figure, axes):
        figures.size_panels(axes, table, sizes, *NAMES[:2])
    style.save(figure, "size", folder, table, PROVENANCE, "digits, n = 12")
    with style.panels(1, 2) as (figure, axes):
        figures.tolerance_sweep(axes, sizes, "measure", "Kendall τ")
    style.save(figure, "sweep", folder, sizes, PROVENANCE, "digits, n = 12")


def test_same_records_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    draw(table, tmp_path / "one")
    draw(table.copy(), tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 7 * 2
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def saved(folder: Path, *further: str) -> style.Drawn:
    with style.panels(1, 2) as (figure, axes):
        axes[0].plot([1, 2], [3, 4])
        axes[0].set(xlabel="width", ylabel="loss\n(nats)")
        parts.describe(axes[0], "Loss rises with width.")
        parts.describe(axes[1], "A panel.")
    numbers = pd.DataFrame({"width": [1, 2], "loss": [3.0, 1 / 3]})
    return style.save(figure, "loss_by_width", folder, numbers, PROVENANCE, "digits, n = 12", further)


def test_other_formats_are_written_when_asked_for(tmp_path: Path) -> None:
    """And go when they are not, for then they are of an earlier drawing."""
    with_all = saved(tmp_path, "pdf", "svg")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".csv", ".pdf", ".svg"}
    assert "digits, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}12" in (tmp_path / "loss_by_width.svg").read_text()
    before = {path.suffix: path.read_bytes() for path in tmp_path.iterdir()}
    assert saved(tmp_path, "pdf", "svg").picture.png == with_all.picture.png
    assert {path.suffix: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert saved(tmp_path, "").picture.png == with_all.picture.png
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".csv"}


def test_what_is_shown_is_what_is_saved(tmp_path: Path) -> None:
    data, metadata = saved(tmp_path)._repr_mimebundle_()
    png, csv = (tmp_path / f"loss_by_width.{ending}" for ending in ("png", "csv"))
    assert b64decode(data["image/png"]) == png.read_bytes()
    assert csv.read_text() == "width,loss\n1,3\n2,0.3333333333\n"
    entry = metadata[style.KEY]["figure"]["loss_by_width"]
    assert entry["csv"] == sha256(csv.read_bytes()).hexdigest()
    assert entry["png"] == sha256(png.read_bytes()).hexdigest()
    assert entry["alt"] == "loss by width: Loss rises with width. A panel."
    # JupyterLab shows HTML before a PNG, and nbconvert too; the metadata are for what shows the PNG.
    assert data["text/html"].startswith(f'<img alt="{entry["alt"]}" src="data:image/png;base64,')
    assert metadata["image/png"] == {"alt": entry["alt"]}
    assert metadata[style.KEY]["data"] == PROVENANCE["data"]


def test_without_words_of_a_plotter_the_axes_speak(tmp_path: Path) -> None:
    with style.panels() as (figure, ax):
        ax.set(title="a panel", xlabel="width", ylabel="loss (nats)")
    drawn = style.save(figure, "loss_by_width", tmp_path, pd.DataFrame({"loss": [1]}), PROVENANCE, "digits")
    assert drawn.picture.alt == "loss by width: a panel; loss (nats); width"


def test_a_panel_without_data_says_so(tmp_path: Path) -> None:
    with style.panels(1, 3, height=2) as (figure, axes):
        axes[0].plot([], [])
        axes[1].plot([1, 2], [3, 4])
        axes[2].text(0.5, 0.5, "words alone")
        axes[2].set_axis_off()
    style.save(figure, "a", tmp_path, pd.DataFrame({"a": [1]}), PROVENANCE, "digits")
    said = [[text.get_text() for text in ax.texts] for ax in axes]
    assert said == [["no network to show"], [], ["words alone"]]


def test_what_a_user_has_set_changes_no_figure(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", "svg")
    mine: dict[Any, Any] = {
        "text.usetex": True,
        "figure.facecolor": "black",
        "figure.dpi": 30,
        "lines.linewidth": 9,
    }
    with rc_context(mine):
        assert saved(tmp_path / "mine", "svg").picture.png == plain.picture.png
    assert (tmp_path / "mine" / "loss_by_width.svg").read_bytes() == (
        tmp_path / "plain" / "loss_by_width.svg"
    ).read_bytes()


def test_what_stands_below_a_figure_is_not_typeset(tmp_path: Path) -> None:
    with style.panels() as (figure, ax):
        ax.plot([1, 2])
    note = r"$x_1$ \frac{1}, $\nothing$ of _that_"
    style.save(figure, "a", tmp_path, pd.DataFrame({"a": [1]}), PROVENANCE, note, ["svg"])
    assert r"$x_1$ \frac{1}, $\nothing$ of _that_" in (tmp_path / "a.svg").read_text()


def test_few_colours_and_a_white_ground(tmp_path: Path) -> None:
    saved(tmp_path)
    image = Image.open(tmp_path / "loss_by_width.png")
    assert image.mode == "P"
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert round(image.info["dpi"][0]) == style.STYLE["figure.dpi"]
    assert image.size[0] == style.COLUMN * style.STYLE["figure.dpi"]


def test_measures_that_cannot_be_ranked_are_named(table: pd.DataFrame) -> None:
    broken = table.copy()
    broken.loc[3, "inverse_margin"] = np.nan
    broken["pacbayes_flatness"] = 1.0
    kept, why = tables.usable(broken, tables.ranked_measures())
    assert why == {
        "inverse_margin": "no value on 1 of 40 runs",
        "pacbayes_flatness": "has the same value on all 40 runs",
    }
    assert set(kept) | set(why) == set(tables.ranked_measures())


def test_taus_by_level(table: pd.DataFrame) -> None:
    sample = tables.sample_of(table, 0)
    found = tables.by_level(table, HEADLINE_MEASURE, "test_loss", NAMES, sample)
    assert found["n"].sum() == len(NAMES) * len(table)
    for row in found.to_dict("records"):
        part = table[table[row["hyperparameter"]] == row["level"]]
        assert row["n"] == len(part)
        assert row["tau"] == kendall_tau(part[HEADLINE_MEASURE], part["test_loss"])
        assert row["low"] <= row["tau"] <= row["high"]
    words, least = tables.least_level(table, HEADLINE_MEASURE, "test_loss", NAMES, sample)
    worst = found.iloc[int(found["tau"].argmin())]
    assert (words, least.value) == (f"{worst['hyperparameter'].replace('_', ' ')} {worst['level']:g}", worst["tau"])
    constant = table.assign(**{HEADLINE_MEASURE: 1.0})
    assert tables.least_level(constant, HEADLINE_MEASURE, "test_loss", NAMES, sample)[0] == "none"


def test_formats_may_stand_apart() -> None:
    assert Parameters(formats="pdf, svg").formats == "pdf,svg"
