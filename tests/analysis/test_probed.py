"""What probes gave, as tables: every number of a row where it belongs."""

import numpy as np
import pandas as pd
import pytest

from prunability.analysis import probed
from prunability.analysis.classes import bias
from prunability.measures.connectivity import ALONG, POINTS, barriers
from prunability.measures.probes import key
from prunability.measures.robustness import CORRUPTIONS, RADII, SIGMAS

TABLE = pd.DataFrame({"run": ["a", "b"], "seed": [0, 1], "kind": ["dense", "static"], "width": [8, 16]})


def test_means_are_over_networks_that_have_a_value() -> None:
    table = pd.DataFrame({"line": ["x", "x", "x", "y"], "p": [1.0, 3.0, np.nan, 5.0], "q": 2.0})
    found = probed.means(table, ["line"], ["p", "q"])
    rows = {(row["line"], row["name"]): [row["mean"], row["error"], row["n"]] for row in found.to_dict("records")}
    assert list(rows) == [("x", "p"), ("y", "p"), ("x", "q"), ("y", "q")]
    assert (rows["x", "p"], rows["x", "q"]) == ([2, 1, 2], [2, 0, 3])
    assert np.isnan(rows["y", "p"][1])


def test_pairs() -> None:
    row = np.random.default_rng(0).random(len(ALONG) * len(POINTS)).tolist()
    curves = {"a": {key("barrier", "b"): row, key("matched_barrier", "b"): row[::-1], "magnitude_200": [1.0]}}
    curves["a"][key("barrier", "none")] = []  # of a pair for which it is not defined
    (pair,) = probed.barrier_table(TABLE, curves).to_dict("records")
    assert (pair["run"], pair["width"]) == ("a", 8)
    assert {name: pair[name] for name in ALONG} == barriers(row)
    along = probed.along(TABLE, curves)
    assert along["t"].tolist() == list(POINTS)
    assert [value for name in ALONG for value in along[name]] == row
    assert probed.along(TABLE, curves, "matched_barrier")[ALONG[-1]].tolist() == row[: len(POINTS)][::-1]
    assert along["above"].max() == pytest.approx(pair["test_loss"])
    empty = probed.barrier_table(TABLE, {})
    assert empty.empty
    assert set(ALONG) < set(empty.columns)


def test_every_disturbance_has_its_own_errors() -> None:
    kinds = list(CORRUPTIONS)
    noise, attack = np.arange(1.0 + len(SIGMAS)), 100 + np.arange(1.0 + len(RADII))
    worse = 10_000 + np.arange(1.0 + 5 * len(kinds))
    rows = {"weight_noise": noise, "pgd": attack, "corruptions": worse}
    found = probed.disturbed(TABLE, {"a": {key(name): row.tolist() for name, row in rows.items()}})
    of_noise = found[found["disturbance"] == probed.NOISE]
    assert (of_noise["strength"].tolist(), of_noise["test_error"].tolist()) == ([0, *SIGMAS], noise.tolist())
    of_attack = found[found["disturbance"] == probed.ATTACK]
    assert (of_attack["strength"].tolist(), of_attack["test_error"].tolist()) == ([0, *RADII], attack.tolist())
    for place, kind in enumerate(kinds):
        own = found[found["disturbance"] == kind]
        assert own["test_error"].tolist() == [worse[0], *worse[1 + 5 * place : 6 + 5 * place]]
        assert own["group"].tolist() == [probed.CLEAN, *[probed.WORSE] * 5]
    static = probed.disturbed(TABLE, {"b": {key("pgd"): attack.tolist()}})
    assert set(static["line"]) == {"sparse (static mask)"}
    copies = {key(f"pruned_{name}", "a"): (row + 0.5).tolist() for name, row in rows.items()}
    pruned = probed.disturbed(TABLE, {"b": copies})
    assert (set(pruned["line"]), set(pruned["width"])) == ({probed.PRUNED}, {16})
    same = ["group", "disturbance", "strength"]
    assert pruned[same].equals(found[same])
    assert (pruned["test_error"] - 0.5).tolist() == found["test_error"].tolist()


def test_errors_of_classes() -> None:
    before = np.array([[8, 1, 1], [1, 9, 0], [0, 0, 10]])
    after = [before, np.array([[6, 2, 2], [0, 10, 0], [0, 5, 5]]), np.full((3, 3), 3), np.eye(3) * 10]
    row = [float(v) for kept, counts in zip((1, 0.4, 0.2, 0.1), after, strict=True) for v in (kept, *counts.flat)]
    found = probed.class_errors(TABLE, {"a": {key("pruned_errors"): row}})
    whole, pruned, half, _ = (own for _, own in found.groupby("level", sort=False))
    assert whole["moved"].tolist() == [0, 0, 0]
    assert pruned["error"].tolist() == pytest.approx([0.4, 0, 0.5])
    assert pruned["moved"].tolist() == pytest.approx([0.2, -0.1, 0.5])
    assert half["kept"].tolist() == [0.2] * 3
    assert pruned["left_out"].tolist() == [False, False, True]  # nothing of class 2 was missed before
    by_hand = bias(before, after[1])
    assert (pruned["cev"].tolist(), pruned["sde"].tolist()) == ([by_hand.cev] * 3, [by_hand.sde] * 3)
