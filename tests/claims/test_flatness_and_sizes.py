"""F1 to F3, N1 and N2 brought to every verdict on made-up runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunability.analysis.resampling import Sample
from prunability.claims import CLAIMS, NEIGHBOURS, Case, Finding
from prunability.measures import HEADLINE_MEASURE

BATCHES, EPOCHS, SEEDS = (16, 64, 256), (1, 2, 4, 8, 16), 4


def case(table: pd.DataFrame, may_claim: bool = True) -> Case:
    return Case(table, Sample(tuple(range(len(table))), 0), (), may_claim)


def judged(key: str, table: pd.DataFrame, may_claim: bool = True) -> Finding:
    return NEIGHBOURS[key].judge(case(table, may_claim))


def along(change: Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]) -> pd.DataFrame:
    """Trainings whose margin grows, and whose training loss and trace fall, with every step that they take."""
    rng, rows = np.random.default_rng(0), []
    for batch in BATCHES:
        for seed in range(SEEDS):
            for epochs in (*EPOCHS, *((64, 256, 1024) if batch == BATCHES[-1] else ())):
                margin = np.log1p(epochs * 512 / batch) * (1 + 0.02 * rng.normal())
                row = {
                    "batch_size": batch,
                    "seed": seed,
                    "epochs": epochs,
                    "stop_at_target": False,
                    "train_error": 0.0,
                }
                row |= {
                    "inverse_margin": margin**-2,
                    "hessian_trace": np.exp(-margin),
                    "train_loss": np.exp(-margin),
                }
                row |= {"test_loss": 1 / margin, HEADLINE_MEASURE: 0.5}
                rows.append(row | change(row | {"margin": margin}, rng))
    return pd.DataFrame(rows)


def sizes(
    change: Callable[[float, int, np.random.Generator], tuple[float, float]], choices: int = 12
) -> pd.DataFrame:
    """Settings of growing width, whose test loss and prunability ``change`` gives for their quality and size."""
    rng, rows = np.random.default_rng(0), []
    for width in range(choices):
        for n in (40, 80, 400):
            for seed in (0, 1):
                loss, own = change(width / choices, n, rng)
                row = {"width": width, "depth": 1, "dropout": 0.0, "learning_rate": 0.1, "weight_decay": 0.0}
                row |= {
                    "n_train": n,
                    "seed": seed,
                    "stop_at_target": True,
                    "test_loss": loss,
                    HEADLINE_MEASURE: own,
                }
                rows.append(row)
    return pd.DataFrame(rows)


def noise(key: str, spread: float) -> Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]:
    return lambda row, rng: {key: row[key] * np.exp(spread * rng.normal())}


def test_they_stand_apart_and_need_a_profile_that_may_claim() -> None:
    assert not {"F1", "F2", "F3", "N1", "N2"} & set(CLAIMS)
    table = along(lambda row, rng: {})
    assert judged("F1", table, may_claim=False).verdict == "insufficient n"
    assert judged("F1", table.head(25)).verdict == "insufficient n"
    assert judged("F1", table).n == len(table)
    half = table.assign(train_error=[0.0, 0.5] * (len(table) // 2))
    assert judged("F1", half).n == len(table) // 2  # of those that it looks at


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda row, rng: {}, "supported"),
        (noise("hessian_trace", 3.0), "not supported"),
        (noise("hessian_trace", 1.7), "inconclusive"),
        (lambda row, rng: {"train_error": 0.1}, "cannot decide"),
    ],
)
def test_f1(change: Any, expected: str) -> None:
    assert judged("F1", along(change)).verdict == expected


def of_batch(row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The test loss hangs on the batch alone, whatever the margin."""
    return {"test_loss": row["batch_size"] / 100 + 0.01 * rng.normal()}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (noise("test_loss", 0.01), "supported"),
        (of_batch, "not supported"),
        (lambda row, rng: {"test_loss": row["margin"]}, "cannot decide"),
        (lambda row, rng: {"test_loss": 1 / row["margin"], "inverse_margin": np.nan}, "cannot decide"),
    ],
)
def test_f2(change: Any, expected: str) -> None:
    found = judged("F2", along(change))
    assert found.verdict == expected, found
    assert bool(found.undecided) == (expected == "cannot decide")


def test_what_an_equal_margin_leaves_stands_beside_f2() -> None:
    table = along(noise("test_loss", 0.01))
    ((_, left),) = NEIGHBOURS["F2"].beside(case(table))
    assert judged("F2", table).criteria[1].estimate.value == left.low <= 0 < left.high
    one_seed = table[table["seed"] == 0]
    assert NEIGHBOURS["F2"].beside(case(one_seed)) == []


def follows(own: float, rival: float) -> Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]:
    """Each follows the test loss with its noise, at equal training loss and along training."""

    def change(row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        loss = 1 / row["margin"] + 0.3 * np.random.default_rng([row["batch_size"], row["seed"]]).normal()
        others = {name: np.exp(loss + rival * rng.normal()) for name in ("hessian_trace", "inverse_margin")}
        return {"test_loss": loss, HEADLINE_MEASURE: loss + own * rng.normal()} | others

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (follows(0.0, 9.0), "supported"),
        (follows(9.0, 0.0), "not supported"),
        (follows(0.3, 0.3), "inconclusive"),
        (lambda row, rng: {"inverse_margin": np.nan}, "cannot decide"),
    ],
)
def test_f3(change: Any, expected: str) -> None:
    found = judged("F3", along(change))
    assert found.verdict == expected, found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda q, n, rng: (q + 1 / n, q), "supported"),
        (lambda q, n, rng: (q + 1 / n, q if n > 40 else -q), "not supported"),
        (lambda q, n, rng: (q + 1 / n, q + 0.5 * rng.normal()), "inconclusive"),
    ],
)
def test_n1_is_of_a_tenth_of_the_examples(change: Any, expected: str) -> None:
    found = judged("N1", sizes(change))
    assert found.verdict == expected, found
    assert "on 40 examples" in found.criteria[0].statistic


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda q, n, rng: (q + 10 / n, q + 10 / n), "supported"),
        (lambda q, n, rng: (q + 100 / n, q - 100 / n), "not supported"),
        (lambda q, n, rng: (q + 0.01 * n, q + 0.8 * rng.normal()), "not supported"),
    ],
)
def test_n2_is_over_settings_and_sizes(change: Any, expected: str) -> None:
    found = judged("N2", sizes(change))
    assert found.verdict == expected, found
    assert found.n == 72


@pytest.mark.parametrize("key", ["N1", "N2"])
def test_few_settings_cannot_decide(key: str) -> None:
    assert judged(key, sizes(lambda q, n, rng: (q, q), choices=4)).verdict in ("insufficient n", "cannot decide")
    table = pd.concat([sizes(lambda q, n, rng: (q, q), choices=4)] * 2)
    assert judged(key, table).verdict == "cannot decide"


def test_each_size_alone_stands_beside_n2() -> None:
    """Within a size the order is perfect, within a setting it is the wrong way round."""
    table = sizes(lambda q, n, rng: (q + 100 / n, q - 100 / n))
    found = dict(NEIGHBOURS["N2"].beside(Case(table, Sample(tuple(range(len(table))), 0), (), True)))
    alone = [e.value for words, e in found.items() if words.endswith("examples")]
    assert alone == [1, 1, 1]
    assert found["τ over sizes and seeds within each setting"].value == -1


def test_within_each_batch_stands_beside_f1() -> None:
    table = along(lambda row, rng: {})
    found = NEIGHBOURS["F1"].beside(case(table))
    assert [words for words, _ in found] == [
        f"the same with batches of {b}" for b in sorted(set(table["batch_size"]))
    ]
    one = table[table["batch_size"] == table["batch_size"].min()]
    r = np.corrcoef(-np.log10(one["hessian_trace"]), one["inverse_margin"] ** -0.5)[0, 1]
    assert found[0][1].value == pytest.approx(r)
