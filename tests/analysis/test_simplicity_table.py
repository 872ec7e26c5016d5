"""Errors, shares, ensembles and pairs of tables made by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunability.analysis import simplicity
from prunability.measures.probes import key

RELIANCE = key("reliance")


def networks(**columns: list[Any]) -> pd.DataFrame:
    rows = {"width": [8] * 4, "seed": [0, 1, 2, 3], "kind": ["plain"] * 4, "layers": [0] * 4, "run": list("abcd")}
    others = dict.fromkeys(simplicity.OTHER_TOLERANCES.values(), 0.0)
    return pd.DataFrame(rows).assign(**others, **columns)


def test_errors_are_of_margins_below_zero() -> None:
    margins = [1.0, 2, 3, -1, 1, -1, -1, -1, 0, 2, 2, 2]
    assert simplicity.errors(margins) == {"clean": 0.25, "simple": 0.75, "complex": 0.125}


def test_shares_of_a_sum_over_parts_are_its_parts() -> None:
    """A margin of 3 by the simple part and 1 by the other; a shuffled one is as often for as against."""
    clean, simple, complex_ = [4.0] * 4, [4.0, -2, 4, -2], [4.0, 2, 4, 2]
    found = simplicity.shares([*clean, *simple, *complex_])
    assert found == {"simple_share": 0.75, "complex_share": 0.25}


def test_an_ensemble_adds_the_logits_of_consecutive_seeds() -> None:
    table = networks(seed=[3, 2, 1, 0])
    rows = {"d": [2.0, 1, 1], "c": [-1.0, 1, -3], "b": [-2.0, -1, 1], "a": [-2.0, 5, 1]}
    curves = {run: {RELIANCE: row} for run, row in rows.items()}
    found = simplicity.ensembles(table, curves, 2)
    # Seeds 0 and 1 are d and c: sums 1, 2, −2; then b and a: −4, 4, 2.
    assert found[["clean", "simple", "complex"]].to_numpy().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert found["seed"].tolist() == [0, 1]
    assert len(simplicity.ensembles(table, curves)) == 1  # the fourth is left over
    assert simplicity.ensembles(table, curves, 1)["clean"].tolist() == [0, 1, 1, 1]
    others = networks(kind=["plain", "forced", "plain", "plain"])
    assert simplicity.ensembles(others, curves, 3)["clean"].tolist() == [1]  # a, c, d


def test_pairs_are_of_one_width_and_seed() -> None:
    columns = {"prunability": [0.1, 0.2, 0.5, 0.4], "train_loss": [0.01, 0.02, 0.03, 0.05]}
    table = networks(kind=["plain", "plain", "forced", "forced"], seed=[0, 1, 1, 2], **columns)
    *_, (label, name) = simplicity.OTHER_TOLERANCES.items()
    (found,) = simplicity.pairs(table.assign(**{name: [0.1, 0.2, 0.05, 0.4]})).to_dict("records")
    assert found[label] == pytest.approx(-0.15)
    assert found["seed"] == 1
    assert found["gain"] == pytest.approx(0.3)
    assert found["loss_gain"] == pytest.approx(0.01)


def test_errors_of_each_kind_have_their_ends() -> None:
    table = networks(clean=[0.0, 0.1, 0.2, 0.3], simple=[0.5] * 4, complex=[0.0, 0.0, 0.0, math.nan])
    clean, _, hard = simplicity.shuffled_errors(table, {}).to_dict("records")
    assert [clean[name] for name in ("mean", "low", "high", "n")] == pytest.approx([0.15, 0.0, 0.3, 4])
    assert hard["n"] == 3


def test_ranks_are_of_the_seeds_that_have_linear_layers() -> None:
    table = networks(width=[4, 8, 8, 8], seed=[0, 0, 1, 0], kind=["plain"] * 3 + ["with linear layers"])
    found = simplicity.ranks(table.assign(layers=[0, 0, 0, 2]))
    assert np.array_equal(found["run"], ["b", "d"])
