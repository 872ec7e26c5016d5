from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import DEVICES, small_network
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.measures import TrainedRun
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import NETWORKS, NetworkConfig, NiNConfig, RunConfig
from prunability.training.fleet import Trained, train_fleet
from prunability.training.loop import one_thread, train
from prunability.training.strategy import fleet_size, trained

# What may differ from network to network in a fleet.
VARIED: list[dict[str, Any]] = [
    {"learning_rate": 0.1},
    {"learning_rate": 0.05, "weight_decay": 5e-3},
    {"learning_rate": 0.02, "momentum": 0.5},
    {"learning_rate": 0.1, "weight_decay": 1e-3},
]
DROPOUT = [0.1, 0.0, 0.3, 0.1]


def varied(base: RunConfig, network: NetworkConfig, **training: Any) -> list[RunConfig]:
    """Runs that differ in everything that a fleet allows, seeds included."""
    runs = []
    for seed, (rules, dropout) in enumerate(zip(VARIED, DROPOUT, strict=True)):
        content = base.model_dump()
        content["network"] = network.model_dump() | (
            {"dropout": dropout} if "dropout" in type(network).model_fields else {}
        )
        content["training"] |= rules | training
        runs.append(RunConfig.model_validate(content | {"seed": seed}))
    return runs


def altered(run: RunConfig, **training: Any) -> RunConfig:
    content = run.model_dump()
    content["training"] |= training
    return RunConfig.model_validate(content)


def by_run(found: Sequence[Trained]) -> dict[str, Trained]:
    return {one.config.hash: one for one in found}


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_equals_training_one_by_one(
    small_run: RunConfig, digits: ImageSet, kind: str, device: str, optimiser: str
) -> None:
    """60 steps in float64, every other network kind augmented; batches of 11 leave a rest."""
    network = small_network(kind, width=2 if kind == "resnet18" else 5, depth=2)
    rules = {"optimiser": optimiser, "augmentation": kind != "mlp", "target_loss": 1e-9}
    runs = varied(small_run, network, batch_size=11, max_epochs=6, **rules)
    # Not so fast that rounding errors of 1e-16 grow to more than 1e-10 by themselves.
    factor = 1 if optimiser == "sgd" and kind != "resnet18" else 0.1
    runs = [altered(run, learning_rate=run.training.learning_rate * factor) for run in runs]
    data = prepare(digits, runs[0].data, torch.device(device), torch.float64)
    found = by_run(list(train_fleet(runs, data, 4)))
    for run in runs:
        initial, final, result = train(run, data)
        one = found[run.hash]
        assert result.steps == one.result.steps == 60
        assert difference(one.initial, initial) == 0
        assert difference(one.final, final) < 1e-10
        assert difference(one.final, one.initial) > 1e-3
        assert one.result.test_loss == pytest.approx(result.test_loss, rel=1e-9)
        assert one.result.train_error == result.train_error
        assert one.result.sum_of_training_losses == pytest.approx(result.sum_of_training_losses, rel=1e-10)
        assert one.seconds > 0


def test_each_stops_by_the_protocol(small_run: RunConfig, small_data: Dataset, trained: TrainedRun) -> None:
    """One converges, one meets the epoch limit, one diverges, others wait for a place."""
    limit = trained.result.epochs // 2
    runs = [
        RunConfig.model_validate({**small_run.model_dump(), "training": small_run.training.model_dump() | rules})
        for rules in ({"max_epochs": limit}, {}, {"learning_rate": 1e200}, {"max_epochs": 1})
    ]
    ends = list(train_fleet(runs, small_data, 2))
    assert [one.config for one in ends] == [runs[0], runs[2], runs[3], runs[1]]
    found = by_run(ends)
    assert [found[run.hash].result.status for run in runs] == [
        "not converged",
        "converged",
        "diverged",
        "not converged",
    ]
    assert found[runs[2].hash].result.train_loss is None
    converged = found[runs[1].hash]
    assert converged.result.epochs == trained.result.epochs
    assert [a is None for _, a in converged.result.curve] == [a is None for _, a in trained.result.curve]
    # Steps double rounding errors every now and then: over a whole training they grow from 1e-16.
    assert difference(converged.final, trained.final) < 1e-3
    assert converged.result.train_loss == pytest.approx(converged.result.curve[-1][1], rel=1e-12)


def test_only_one_shape(small_run: RunConfig, small_data: Dataset) -> None:
    runs = varied(small_run, NiNConfig(width=6, depth=2))[:1] + varied(small_run, NiNConfig(width=7, depth=2))[:1]
    with pytest.raises(ValueError, match="must share data, architecture, optimiser"):
        next(train_fleet(runs, small_data, 2))


def test_small_images_train_in_fleets_and_large_ones_alone(small_run: RunConfig, small_data: Dataset) -> None:
    wide, batch = NiNConfig(width=512, depth=1), small_run.training.batch_size
    narrow = fleet_size(small_run, (1, 8, 8))
    assert narrow == 2**18 // (12 * 4 * 4 * batch)
    assert fleet_size(small_run.model_copy(update={"network": wide}), (1, 8, 8)) == 2**18 // (512 * 16 * batch)
    assert fleet_size(small_run, (3, 32, 32)) is None
    single = small_run.network.model_copy(update={"width": 1})
    assert fleet_size(small_run.model_copy(update={"network": single}), (1, 8, 8)) is None
    half = small_run.training.model_copy(update={"precision": "bfloat16"})
    assert fleet_size(small_run.model_copy(update={"training": half}), (1, 8, 8)) is None
    large = Dataset(
        10,
        small_data.train_images[:20].repeat(1, 3, 4, 4),
        small_data.train_labels[:20],
        small_data.test_images[:20].repeat(1, 3, 4, 4),
        small_data.test_labels[:20],
    )
    run = RunConfig.model_validate(
        {**small_run.model_dump(), "data": small_run.data.model_dump() | {"n_train": 20}}
        | {"training": small_run.training.model_dump() | {"max_epochs": 2}}
    )
    (one,) = trained([run], large)
    assert difference(one.final, train(run, large)[1]) == 0


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_fleet_that_ran_out_of_time_goes_on(
    small_run: RunConfig, digits: ImageSet, tmp_path: Path, optimiser: str
) -> None:
    """In other company than before, and bit for bit as if it had never stopped."""
    runs = varied(small_run, NiNConfig(width=7, depth=2), precision="float32", max_epochs=6, optimiser=optimiser)
    data = prepare(digits, runs[0].data, torch.device("cpu"), torch.float32)

    def place(config: RunConfig) -> Path:
        return tmp_path / config.hash

    with one_thread():
        whole = by_run(list(train_fleet(runs, data, 4)))
        begun: list[Trained] = []
        for _ in range(2):  # an epoch, and then there is no time for another
            with pytest.raises(OutOfTimeError):
                begun += train_fleet(runs, data, 4, place, until=0.0)
        assert not begun
        assert {path.name for path in tmp_path.iterdir()} == set(whole)
        for one in [*train_fleet(runs[2:], data, 1, place), *train_fleet(runs[:2], data, 2, place)]:
            assert one.result == whole[one.config.hash].result
            assert len(one.result.curve) == 6
            assert difference(one.final, whole[one.config.hash].final) == 0
            assert difference(one.initial, whole[one.config.hash].initial) == 0
        # What a single training keeps is none of a fleet's business, and the other way round.
        alone = train(runs[0], data, place(runs[0]))[2]
        assert alone.status == whole[runs[0].hash].result.status
    assert list(train_fleet([], data, 2)) == []


@pytest.mark.parametrize("device", DEVICES)
def test_members_of_a_bfloat16_fleet_leave_when_they_are_due(
    small_run: RunConfig, digits: ImageSet, device: str
) -> None:
    """On a GPU the step is captured anew for those that stay."""
    runs = [
        altered(run, max_epochs=1 + place, target_loss=1e-9)
        for place, run in enumerate(varied(small_run, NiNConfig(width=8, depth=2), precision="bfloat16"))
    ]
    data = prepare(digits, runs[0].data, torch.device(device), torch.float32)
    ended = list(train_fleet(runs, data, 3))
    assert [(one.config, one.result.epochs) for one in ended] == [(run, run.training.max_epochs) for run in runs]
    assert all(difference(one.final, one.initial) > 1e-3 for one in ended)
