"""What the notebook on sparse networks says."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunability import studies
from prunability.analysis.probed import means
from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import labelled
from prunability.claims.sparse import descent
from prunability.report.text import sparse as text


def cells(said: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]


def chain(errors: list[float], noise: float = 0.001) -> pd.DataFrame:
    rows = [
        {
            "seed": seed,
            "round": place,
            "density": 0.5**place,
            "test_error": error + noise * seed,
            "run": f"{seed}{place}",
        }
        for place, error in enumerate(errors)
        for seed in (-1, 0, 1)
    ]
    table = pd.DataFrame(rows)
    own: dict[str, Any] = {
        "test_loss": 3 * table["test_error"],
        "prunability_of_left": -table["density"],
        "width": 8,
    }
    return table.assign(distance=table["density"], **own)


def test_networks(tmp_path: Path) -> None:
    study = studies.open_study("sparse", "smoke", "", 0, tmp_path)
    rows = [
        (part, run.seed, run.data.label_noise)
        for part, own in study.parts.items()
        for run in study.runs
        if run.hash in own
    ]
    table = pd.DataFrame(rows, columns=["part", "seed", "label_noise"])
    table = table.assign(network="MLP(8)", density=1.0, train_loss=np.arange(len(table)) / len(table))
    said = text.networks(study, table)
    assert f"Profile **smoke**, *{study.data.title}*, {study.data.test} test images" in said
    assert f"for {study.runs[0].training.max_epochs} epochs on {study.runs[0].data.n_train} images" in said
    found = {row[0]: row for row in cells(said)[2:]}
    assert {part: int(row[1]) for part, row in found.items()} == {
        part: len(own) for part, own in study.parts.items()
    }
    assert (found["grid"][3], found["children"][3]) == ("0 to 0.2", "0")


def test_crossed_tables() -> None:
    rows = [("a", "x", 0.1234, 0.0456), ("a", "y", 12345.6, np.nan), ("b", "x", -1.0, 1234.0)]
    table = pd.DataFrame([*rows, ("b", "y", np.nan, np.nan)], columns=["line", "name", "mean", "error"])
    first, second = cells(text.crossed(table, "line", "name"))[2:]
    assert (first, second) == (["a", "0.123 ± 0.046", "12,346"], ["b", "−1 ± 1,234", "–"])
    assert cells(text.crossed(table, "line", "name", ["y"]))[0] == ["line", "y"]


def test_tickets_are_compared_where_all_are() -> None:
    own = chain([0.3, 0.2, 0.25, 0.4, 0.5])
    lines = {"rewound": own, "drawn": own[own["round"].isin([0, 1, 3])].assign(test_loss=2.0)}
    table = means(labelled(lines, "line"), ["line", "density"], ["test_loss", "test_error"])
    said = text.tickets(table, 0.4)
    assert "Rewound, tickets have their lowest mean test loss, 0.6 nats, with 50% of the weights" in said
    assert "; dense networks have 0.9." in said
    heads, _, first, second = cells(said)
    assert heads == ["line", "100% of the weights", "50% of the weights", "12.5% of the weights"]
    assert [cell.split(" ± ")[0] for cell in first] == ["rewound", "0.9", "0.6", "1.2"]
    assert [cell.split(" ± ")[0] for cell in second] == ["drawn", "2", "2", "2"]


def test_descents() -> None:
    down_up_down = chain([0.3, 0.1, 0.3, 0.1])
    chains = {"wrong labels": down_up_down, "right labels": chain([0.4, 0.3, 0.2, 0.1]), "few": down_up_down[:6]}
    said = text.descents(chains, {"test_error": "test error", "distance": "distance"})
    real, _, none, *_ = said.split(". ")
    found = descent(down_up_down)
    assert found is not None
    words = f"the least of its three moves is {found.words(3)}"
    assert real.startswith(f"With wrong labels a double descent of the test error is real: {words}")
    assert "With right labels a double descent of the test error is **not** out of its noise" in none
    assert "with the share of weights left and" in said
    assert (
        "is −1.00 with the share of weights left and −1.00 with the test loss" in said.split("With right labels")[1]
    )
    assert "With few" not in said
    rows = {(row[0], row[1]): row[2:] for row in cells(said)[2:]}
    assert rows["wrong labels", "test error"][2] == "25%"
    assert rows["wrong labels", "test error"][3].startswith("0.200 [")
    assert rows["wrong labels", "test error"][4] == "yes"
    assert rows["right labels", "distance"] == ["12.5%", "100%", "none", "–", "no"]
    assert rows["few", "test error"][2:] == ["none", "–", "no"]
    noisy = text.descents({"noise": chain([0.3, 0.1, 0.3, 0.1], 0.5)}, {"test_error": "test error"})
    assert cells(noisy)[2][4:] == ["25%", cells(noisy)[2][5], "no"]


def test_capacity() -> None:
    rows = [("dense", 8, 100, 0.01, 0.1), ("dense", 8, 100, 0.03, 0.2), ("dense", 16, 300, 9, 9)]
    rows += [("static", 12, 100, 9, 9), ("static", 16, 2100, 0.5, 0.25)]
    table = pd.DataFrame(rows, columns=["kind", "width", "kept", "train_loss", "test_error"])
    said = text.capacity(table.assign(network=[f"N({width})" for width in table["width"]]))
    assert (
        "the sparse N(16) with 2,100 weights ends with a training loss of 0.5 nats and a test error of 25.0%"
        in said
    )
    assert (
        "the dense N(8) with 100 weights ends with a training loss of 0.02 nats and a test error of 15.0%" in said
    )


def test_parents_and_classes() -> None:
    assert text.parents(Estimate(0.5, 0.25, 0.75), 8) == "τ = 0.50 [0.25, 0.75], n = 8"
    errors = pd.DataFrame(
        {"run": ["a", "a", "b", "b"], "class": [0, 1, 0, 1], "left_out": [True, False, True, True]}
    )
    assert text.left_out(errors).endswith("negatives: 0 (in 2), 1 (in 1).")
    assert text.left_out(errors).startswith("Of 2 networks, ")
    assert text.left_out(errors.assign(left_out=False)).endswith(": none.")
