"""Trainings followed along their epochs, and settings over sizes: against loops and tables made by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr

from prunability.analysis import learning_curves as curves
from prunability.analysis.resampling import Sample, mean
from prunability.measures import HEADLINE_MEASURE


def training(batch: int, seed: int, **columns: list[float]) -> pd.DataFrame:
    """One training's checkpoints, at 1, 2, 4 … epochs, in the wrong order."""
    steps = len(next(iter(columns.values())))
    rows: dict[str, Any] = {
        "train_error": [0.0] * steps,
        HEADLINE_MEASURE: [0.5] * steps,
        "hessian_trace": [1.0] * steps,
    }
    rows |= {"train_loss": [0.1] * steps, "inverse_margin": [1.0] * steps, "test_loss": [1.0] * steps} | columns
    rows |= {
        "batch_size": batch,
        "seed": seed,
        "epochs": [2**step for step in range(steps)],
        "stop_at_target": False,
    }
    return pd.DataFrame(rows).iloc[::-1]


def with_margins(batch: int, seed: int, margins: list[float], losses: list[float]) -> pd.DataFrame:
    return training(batch, seed, inverse_margin=[margin**-2 for margin in margins], test_loss=losses)


def test_checkpoints_are_in_order_and_in_logarithms() -> None:
    table = pd.concat(
        [
            training(8, 0, hessian_trace=[1.0, 10.0, 100.0], train_loss=[1.0, 0.1, 0.01]),
            training(4, 1, test_loss=[1.0]),
        ]
    )
    found = curves.checkpoints(table)
    assert found["training"].tolist() == [0] + [1] * 3
    assert found["epochs"].tolist() == [1, 1, 2, 4]
    np.testing.assert_allclose(found["log_trace"], [0, 0, 1, 2])
    np.testing.assert_allclose(found["progress"], [1, 0, 1, 2])


def test_r_is_that_of_each_resample_of_whole_trainings() -> None:
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=30), np.arange(30) // 5
    y = 100 + x + rng.normal(size=30)
    sample = Sample(tuple(groups), 3, resamples=40, seed_resamples=0)
    found = curves.pearson(x, y, sample)
    slow = []
    for counts in sample.by_settings.counts:
        chosen = [
            place
            for group, count in enumerate(counts)
            for _ in range(count)
            for place in np.flatnonzero(groups == group)
        ]
        slow.append(pearsonr(x[chosen], y[chosen]).statistic)
    np.testing.assert_allclose(found.value, pearsonr(x, y).statistic)
    np.testing.assert_allclose([found.low, found.high], np.quantile(slow, [0.025, 0.975]))


def test_a_mean_has_the_interval_of_resampled_means() -> None:
    found = mean([1.0, 2.0, 6.0], 0)
    assert found.value == 3
    assert (found.low, found.high) == (1.0, 6.0)  # each alone in 1 of 27 resamples
    with pytest.raises(ValueError, match="not finite"):
        mean([1.0, math.nan], 0)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(-6, 6))
def test_where_a_level_is_first_reached(levels: list[float], level: float) -> None:
    table = pd.DataFrame({"x": levels, "y": [10 * x for x in levels]})
    found = curves.reached(table, "x", level, "y")
    before = [place for place, x in enumerate(levels) if x >= level]
    if not before or (before[0] == 0 and levels[0] != level):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(10 * level)


def test_what_is_undefined_before_is_not_reached() -> None:
    table = pd.DataFrame({"x": [math.nan, 1.0, 2.0], "y": [0.0, 1.0, 2.0]})
    assert math.isnan(curves.reached(table, "x", 0.5, "y"))
    assert curves.reached(table, "x", 1.5, "y") == 1.5


def test_large_batches_are_compared_at_equal_epochs_and_at_an_equal_margin() -> None:
    small = with_margins(4, 0, [1, 2, 4], [3, 2, 1])
    longer = with_margins(8, 0, [0.5, 1, 2, 6], [5, 4, 3, 1])
    middle = with_margins(6, 0, [9, 9, 9], [9, 9, 9])
    short = with_margins(8, 1, [0.5, 1, 2], [5, 4, 3])
    found = curves.batch_gaps(pd.concat([small, middle, longer, with_margins(4, 1, [1, 3, 4], [3, 2, 1]), short]))
    assert found["epochs"].tolist() == [4, 4]
    # The large batch reaches margin 4 halfway between its last two checkpoints; that of seed 1 ends at margin 2.
    np.testing.assert_allclose(found["margin"], [4, 2])
    np.testing.assert_allclose(found["equal_epochs"], [2, 2])
    np.testing.assert_allclose(found["equal_margin"], [2 - 1, 3 - 2.5])


def test_networks_are_compared_at_the_smallest_loss_that_all_reach() -> None:
    one = training(4, 0, train_loss=[1.0, 0.1, 0.001], hessian_trace=[1.0, 10.0, 100.0], test_loss=[5.0, 3.0, 1.0])
    other = training(8, 0, train_loss=[0.5, 0.01, 0.05], hessian_trace=[1.0, 100.0, 1.0], test_loss=[2.0, 1.0, 1.0])
    found = curves.equal_loss(pd.concat([one, other]))
    np.testing.assert_allclose(found["test_loss"], [2.0, 1.0])
    np.testing.assert_allclose(found["log_trace"], [1.5, 2.0])


def test_taus_along_training_are_of_the_checkpoints_that_fit() -> None:
    table = pd.concat(
        [
            training(
                4,
                0,
                test_loss=[9.0, 3, 2, 1],
                train_error=[0.1, 0.09, 0, 0],
                hessian_trace=[0.1, 3, 1, 2],
                inverse_margin=[0, 3, 2, 1],
            ),
            training(4, 1, test_loss=[3.0, 2.0]),
        ]
    )
    (row,) = curves.along(table).to_dict("records")
    assert row["inverse_margin"] == 1
    assert row["log_trace"] == pytest.approx(kendalltau([3, 1, 2], [3, 2, 1]).statistic)
    assert math.isnan(row[HEADLINE_MEASURE])


def settings(losses: dict[int, list[float]], measure: dict[int, list[float]], seeds: int = 1) -> pd.DataFrame:
    """Choices of one width each, by the size of the training set."""
    rows = [
        {
            "width": width,
            "depth": 1,
            "dropout": 0.0,
            "learning_rate": 0.1,
            "weight_decay": 0.0,
            "stop_at_target": True,
        }
        | {
            "n_train": n,
            "seed": seed,
            "test_loss": loss + seed,
            HEADLINE_MEASURE: own,
            "run": f"{n}-{width}-{seed}",
        }
        for n in losses
        for width, (loss, own) in enumerate(zip(losses[n], measure[n], strict=True))
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_orders_are_compared_with_that_of_all_examples() -> None:
    goal = [1.0, 2.0, 3.0, 4.0]
    table = settings({10: [2.0, 1.0, 3.0, 4.0], 25: goal, 50: goal}, {10: goal, 25: goal[::-1], 50: goal}, seeds=2)
    found = curves.orders(table, 0).set_index(["name", "n_train"])["tau"]
    assert found["test_loss", 10] == pytest.approx(kendalltau([2, 1, 3, 4], goal).statistic)
    assert found[HEADLINE_MEASURE, 10] == 1
    assert found[HEADLINE_MEASURE, 25] == -1
    assert (HEADLINE_MEASURE, 50) not in found
    # A choice that lacks a size is in no order.
    assert set(curves.orders(table[~table["run"].isin(["10-3-0", "10-3-1"])], 0)["n"]) == {3}


def test_a_description_is_as_long_as_its_blocks() -> None:
    goal = [1.0, 2.0]
    table = settings({10: goal, 20: goal, 50: goal}, {10: goal, 20: goal, 50: goal}, seeds=2)
    rows = {"10-0-0": [3.0, 99.0], "20-0-0": [99.0, 5.0], "10-0-1": [1.0, 99.0], "20-0-1": [99.0, 2.0]}
    rows |= {"10-1-0": [1.0, 1.0]}
    found = curves.description_lengths(table, rows, 7)
    assert found["width"].tolist() == [0, 1]
    assert found["nats"][0] == pytest.approx(10 * math.log(7) + (3 + 5 + 1 + 2) / 2)
    assert found["test_loss"][0] == 1.5  # of seeds at all examples
    assert math.isnan(found["nats"][1])
