"""What is drawn to look around in: it is what the published tables say, whatever is picked."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from typer.testing import CliRunner

from prunability.analysis.ranks import kendall_tau
from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import TrainedRun
from prunability.measures.own import prunability as prunability_of
from prunability.measures.own import pruning_curve
from prunability.measures.pruning import name_of
from prunability.measures.search import RESOLUTION, SWEEP
from prunability.records.tables import Published
from prunability.report import explore, pruned, transfer
from prunability.report.kernel import own_kernel
from prunability.report.notebooks import offered
from prunability.studies import Study
from prunability.training.loop import one_thread

QUICK = explore.published("quick")


def test_every_network_of_quick_is_pruned_as_its_table_says() -> None:
    """A curve first meets each limit at the published prunability, and what is kept adds up to that."""
    assert set(QUICK.curves) == set(QUICK.table["run"])
    for row in QUICK.table.to_dict("records"):
        found = QUICK.curves[row["run"]]
        for tolerance, kept in zip(SWEEP, found.kept, strict=True):
            answer = round(row[name_of("magnitude", tolerance)] * RESOLUTION)
            under = found.losses <= np.float32(tolerance.limit(row["train_loss"]))
            assert under[answer - 1] or answer == RESOLUTION
            assert not under[: answer - 1].any()
            assert kept.sum() == -(-answer * found.sizes.sum() // RESOLUTION)
            assert (kept <= found.sizes).all()


@pytest.mark.parametrize("shown", [QUICK, explore.published("small")], ids=lambda shown: shown.study.profile)
def test_a_network_stands_among_the_others_where_the_table_has_it(shown: explore.Shown) -> None:
    (_, run), column = shown.networks[len(shown.networks) // 2], name_of("magnitude", SWEEP[0])
    picture = shown.network(run, SWEEP[0])
    own = shown.table.set_index("run")[column][run]
    less, more = (shown.table[column] < own).sum(), (shown.table[column] > own).sum()
    assert f"met at {own:g}. " in picture.alt
    assert f"{less} networks keep less, {more} more." in picture.alt
    assert ("not published of this network" in picture.alt) == (run not in shown.curves)
    assert {run for _, run in shown.networks} == set(shown.table["run"])
    assert len(dict(shown.networks)) == len(shown.networks)


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_any_two_measures_show_the_tau_of_the_table(data: st.DataObject) -> None:
    first, second = (data.draw(st.sampled_from([name for _, name in QUICK.measures])) for _ in range(2))
    target = data.draw(st.sampled_from([name for _, name in QUICK.targets]))
    picture = QUICK.pair(first, second, target, data.draw(st.sampled_from(QUICK.colours)))
    for names in ((first, target), (second, target), (first, second)):
        tau = kendall_tau(*(QUICK.table[name].to_numpy() for name in names))
        assert f"τ\u00a0=\u00a0{tau:z.2f} [".replace("-", "−") in picture.alt


def test_what_is_written_is_read_and_a_damaged_file_is_named(mlp: TrainedRun, tmp_path: Path) -> None:
    with one_thread():
        found = pruned.pruned(mlp)
    path = pruned.path_of(tmp_path, "correlation", "quick")
    assert pruned.read(path) == {}
    pruned.write(path, {"a": found})
    (again,) = pruned.read(path).values()
    assert again.layers == found.layers
    for field in ("losses", "sizes", "kept"):
        assert (getattr(again, field) == getattr(found, field)).all()
    answers = [mlp.magnitude_prunability[tolerance] for tolerance in SWEEP]
    assert found.kept.sum(1).tolist() == [
        -(-round(a * RESOLUTION) * mlp.weight_count // RESOLUTION) for a in answers
    ]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PrunabilityError, match=r"correlation\.parquet: cannot be read as curves"):
        pruned.read(path)


def test_curves_are_published_of_the_networks_whose_weights_are_here(
    made: tuple[Study, Execution], fresh: Execution, table: Published
) -> None:
    """By checksum: another training's weights are none. The sixth network diverged."""
    study, execution = made
    with pytest.raises(PrunabilityError, match="correlation, smoke: nothing is published in"):
        pruned.publish(study, fresh)
    transfer.publish(table, fresh)
    with pytest.raises(PrunabilityError, match="has weights of none of the 5 published networks"):
        pruned.publish(study, fresh)
    path, found, of = pruned.publish(study, fresh.model_copy(update={"runs": execution.runs}))
    assert (found, of) == (5, 6)
    records = {record.config.hash: record for record in table.records}
    for run, one in pruned.read(path).items():
        answers = records[run].measures["prunability_magnitude"].values
        steps = [round(answers[name_of("magnitude", tolerance)] * RESOLUTION) for tolerance in SWEEP]
        assert one.kept.sum(1).tolist() == [-(-step * one.sizes.sum() // RESOLUTION) for step in steps]
    both = CliRunner().invoke(app, ["export", "correlation", "-P", "smoke", "--curves", "--records", "x.parquet"])
    assert (both.exit_code, "leave out --records" in both.stderr) == (2, True)


def test_a_profile_without_a_table_is_named() -> None:
    with pytest.raises(PrunabilityError, match="nothing is published of it; there are quick, narrow, small"):
        explore.published("paper")


def test_ones_own_network_has_the_prunability_that_is_drawn(mlp: TrainedRun) -> None:
    model, images, labels = mlp.folded, mlp.data.train_images, mlp.data.train_labels
    own = prunability_of(model, images, labels, resolution=50)
    assert f"met at {own:g}." in explore.own(pruning_curve(model, images, labels, resolution=50)).alt


def test_the_notebook_runs_and_its_controls_draw_anew() -> None:
    """In a kernel: every control is moved as a person would, and its picture changes."""
    notebook = nbformat.read(offered()["explore"], as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    moved = """
import json
from ipywidgets import Dropdown, SelectionSlider, Widget
from ipywidgets.widgets.interaction import interactive
seen = {}
for view in [w for w in Widget.widgets.values() if isinstance(w, interactive)]:
    for control in view.children[:-1]:
        before = view.result.png
        control.index = (control.index + 1) % len(control.options)
        seen[control.description] = [view.result.png != before, len(view.out.outputs)]
print(json.dumps(seen))
"""
    notebook.cells.append(nbformat.v4.new_code_cell(moved))
    with own_kernel() as kernel:
        settings = {"kernel_manager_class": kernel["kernel_manager_class"], "config": kernel["config"]}
        client = NotebookClient(notebook, timeout=300, startup_timeout=kernel["start_timeout"], **settings)
        # It would answer what a widget shows on the socket at which it waits, and might then wait in vain.
        client.widget_registry.clear()
        client.execute()
    seen = json.loads(notebook.cells[-1].outputs[-1].text)
    assert list(seen) == ["network", "tolerance", "first", "second", "target", "colour"]
    assert all(changed for changed, _ in seen.values())
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert all(output.metadata["image/png"]["alt"] for output in pictures if "image/png" in output.data)
