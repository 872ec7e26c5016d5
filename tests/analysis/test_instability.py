"""Label entropy by hand, and tables of a few made-up networks."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability.analysis import instability
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.probes import key

TESTED, TRAINED = key("test_predictions"), key("training_examples")


def test_label_entropy_by_hand() -> None:
    labels = [[1, 1, 1], [1, 2, 2], [1, 2, 3], [1, 1, 4]]
    found = instability.label_entropy(labels)
    assert found == pytest.approx([0, math.log(2), -(0.25 * math.log(0.25) * 4)])
    own = instability.own_entropies(labels)
    assert own[:, 1] == pytest.approx([math.log(2)] * 4)
    three = instability.label_entropy([[5], [5], [7]])
    assert three == pytest.approx([-(2 / 3 * math.log(2 / 3) + math.log(1 / 3) / 3)])


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=1, max_size=6))
def test_label_entropy_is_that_of_the_shares(labels: list[list[int]]) -> None:
    for point, found in enumerate(instability.label_entropy(labels)):
        column = [row[point] for row in labels]
        shares = [column.count(label) / len(column) for label in set(column)]
        assert found == pytest.approx(-sum(share * math.log(share) for share in shares), abs=1e-12)


def options(labels: dict[tuple[str, int, int], list[int]]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Networks by option, seed and epochs, with the classes they predict for test examples."""
    rows, curves = [], {}
    for (option, seed, epochs), own in labels.items():
        run = f"{option} {seed} {epochs}"
        row = {"run": run, "part": "options", "option": option, "seed": seed, "max_epochs": epochs}
        rows.append(row | {"test_error": 0.1 + 0.1 * (option != "none"), "test_loss": 1.0, HEADLINE_MEASURE: 0.5})
        curves[run] = {TESTED: own}
    return pd.DataFrame(rows), curves


def test_one_run_against_other_seeds() -> None:
    table, curves = options(
        {
            ("none", 0, 4): [1, 1], ("none", 0, 8): [1, 2],
            ("none", 1, 4): [3, 3], ("none", 1, 8): [1, 2],
            ("none", 2, 4): [3, 3], ("none", 2, 8): [1, 3],
        }
    )  # fmt: skip
    found = instability.one_run(table, curves).set_index(["seed", "point"])
    assert found["one_run"].tolist()[:2] == pytest.approx([0, math.log(2)])
    assert found["over_seeds"].tolist() == pytest.approx([0, math.log(2), 0, math.log(2), 0, 0])


def test_changes_are_paired_by_seed() -> None:
    smoothed = "label smoothing"
    table, curves = options(
        {("none", 0, 8): [1, 1], ("none", 1, 8): [1, 2], (smoothed, 1, 8): [1, 2], (smoothed, 0, 8): [1, 2]}
    )
    found = instability.paired(table, curves)
    assert found["instability"].tolist() == pytest.approx([-math.log(2) / 2] * 2)
    assert found["test_error"].tolist() == pytest.approx([0.1, 0.1])
    table = instability.changes(table, curves, 0)
    assert set(table["name"]) == {*instability.COMPARED}


def test_which_training_points_are_unstable() -> None:
    """Examples' classes, labels and margins; the label of the second is wrong."""
    table, curves = options({("none", 0, 4): [], ("none", 0, 8): []})
    clean = {"run": "clean", "part": "settings", "option": "none", "seed": 0, "max_epochs": 300}
    table = pd.concat([table, pd.DataFrame([clean])], ignore_index=True)
    curves["none 0 4"] = {TRAINED: [1, 2, 1, 3, 9.0, 9.0]}
    curves["none 0 8"] = {TRAINED: [1, 3, 1, 3, 2.0, 0.5]}
    curves["clean"] = {TRAINED: [1, 2, 1, 2, 5.0, 5.0]}
    found = instability.training_points(table, curves)
    assert found["wrong"].tolist() == [False, True]
    assert found["entropy"].tolist() == pytest.approx([0, math.log(2)])
    assert found["margin"].tolist() == [2.0, 0.5]


def test_settings_are_of_several_networks() -> None:
    rows = [
        {"run": str(n), "part": "settings", "setting": name, "test_error": 0.1, HEADLINE_MEASURE: kept}
        for n, (name, kept) in enumerate([("a", 0.2), ("a", 0.4), ("b", 0.9)])
    ]
    curves = {"0": {TESTED: [1, 1]}, "1": {TESTED: [1, 2]}, "2": {TESTED: [1, 1]}}
    found = instability.settings(pd.DataFrame(rows), curves)
    assert found["setting"].tolist() == ["a"]
    assert found["instability"].tolist() == pytest.approx([math.log(2) / 2])
    assert found[HEADLINE_MEASURE].tolist() == pytest.approx([0.3])


def test_peaks_are_paired_by_training() -> None:
    rows = [
        {"part": "curvature", "learning_rate": 0.1, "seed": seed, "warmup_epochs": warm, "steps": steps}
        | {"hessian_top_eigenvalue": 10 * seed + warm + steps}
        for seed in (0, 1)
        for warm in (0, 16)
        for steps in (1, 2)
    ]
    found = instability.peaks(pd.DataFrame(rows))
    assert found.to_numpy().tolist() == [[2, 18], [12, 28]]
    assert np.isfinite(found.to_numpy()).all()
