"""Small data sets and networks that the tests share."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from prunability import studies
from prunability.data.dataset import DataConfig, Dataset, prepare
from prunability.data.images import ImageSet
from prunability.data.sources import load_images
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY, TrainedRun
from prunability.records.record import Measured, Record
from prunability.records.runner import complete
from prunability.records.store import RunStore
from prunability.records.tables import Published
from prunability.report import transfer
from prunability.studies import Study
from prunability.training.config import MLPConfig, NetworkConfig, NiNConfig, ResNetConfig, RunConfig, TrainingConfig
from prunability.training.loop import one_thread, train

# Two test processes share two cores; threads of their own would only be in each other's way.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Measures stay in their order, whatever a test does to the registry: tables and pages follow it."""
    known = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(known)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return load_images("digits", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def small_run(digits: ImageSet) -> RunConfig:
    """A network that reaches its target loss on 120 digits within a second or so, in float64."""
    return RunConfig(
        data=DataConfig(checksum=digits.checksum, n_train=120),
        network=NiNConfig(width=12, depth=2, dropout=0.1),
        training=TrainingConfig(
            learning_rate=0.1, batch_size=10, target_loss=0.05, max_epochs=200, precision="float64"
        ),
    )


@pytest.fixture(scope="session")
def small_data(digits: ImageSet, small_run: RunConfig) -> Dataset:
    return prepare(digits, small_run.data, torch.device("cpu"), torch.float64)


@pytest.fixture(scope="session")
def trained(small_run: RunConfig, small_data: Dataset) -> TrainedRun:
    with one_thread():
        initial, final, result = train(small_run, small_data)
    assert result.status == "converged"
    return TrainedRun(small_run, small_data, initial, final, result)


def quickly_trained(digits: ImageSet, network: NetworkConfig, n_train: int, **training: Any) -> TrainedRun:
    """A network trained for a few epochs in float64; the tests of measures need no more."""
    rules: dict[str, Any] = {"learning_rate": 0.05, "batch_size": 10, "max_epochs": 10, "precision": "float64"}
    config = RunConfig(
        data=DataConfig(checksum=digits.checksum, n_train=n_train),
        network=network,
        training=TrainingConfig(**(rules | training)),
    )
    data = prepare(digits, config.data, torch.device("cpu"), torch.float64)
    with one_thread():
        return TrainedRun(config, data, *train(config, data))


@pytest.fixture(scope="session")
def mlp(digits: ImageSet) -> TrainedRun:
    run = quickly_trained(digits, MLPConfig(width=8), 60, learning_rate=0.1, target_loss=0.2, max_epochs=200)
    assert run.result.status == "converged"
    return run


@pytest.fixture(scope="session")
def tiny_nin(digits: ImageSet) -> TrainedRun:
    return quickly_trained(digits, NiNConfig(width=4, depth=1), 60, learning_rate=0.1)


@pytest.fixture(scope="session")
def resnet(digits: ImageSet) -> TrainedRun:
    run = quickly_trained(digits, ResNetConfig(width=2), 20, max_epochs=60)
    assert run.result.train_error == 0
    return run


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def store(store_folder: Path, trained: TrainedRun) -> RunStore:
    """One finished run with its weights; one of two functions of measures gave no value."""
    made = RunStore(store_folder)
    weights = made.save_weights(trained.config, trained.initial, trained.final)
    measures = {"size": Measured(1, {"count": 3.0}), "margin": Measured(2, {}, "not positive")}
    made.save(Record(trained.config, trained.result, measures, weights, {"training": 1.5}, {"device": "cpu"}))
    return made


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Execution]:
    """The smoke profile of the correlation study, finished; one of its runs diverged."""
    root = tmp_path_factory.mktemp("made")
    execution = Execution(device="cpu", workers=1, runs=root / "runs", data=root, results=root / "results")
    study = studies.open_study("correlation", "smoke", "", 0, root)
    records = complete(study, execution)
    lost = replace(
        records[0].result, status="diverged", reason="a loss was not finite", train_loss=None, train_error=None,
        test_loss=None, test_error=None, sum_of_training_losses=None, curve=[(None, None)],
    )  # fmt: skip
    store = RunStore(execution.runs)
    store.path(study.runs[0]).unlink()
    store.save(replace(records[0], result=lost, measures={}))
    return study, execution


@pytest.fixture
def fresh(made: tuple[Study, Execution], tmp_path: Path) -> Execution:
    """Another machine: an empty store, and no published table."""
    return made[1].model_copy(update={"runs": tmp_path / "runs", "results": tmp_path / "results"})


@pytest.fixture
def table(made: tuple[Study, Execution]) -> Published:
    return transfer.finished(made[0], 0, made[1])


@pytest.fixture
def execution(tmp_path: Path) -> Execution:
    return Execution(
        device="cpu", workers=1, runs=tmp_path / "runs", data=tmp_path / "data", results=tmp_path / "results"
    )


@pytest.fixture
def study(execution: Execution) -> Study:
    whole = studies.open_study("correlation", "smoke", "", 0, execution.data)
    return replace(whole, runs=whole.runs[:3])


@pytest.fixture
def short_runs(study: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Two runs of one shape and one of another, of a few epochs, and few measures."""
    for name in REGISTRY.keys() - {"path_norm", "parameter_count"}:
        monkeypatch.delitem(REGISTRY, name)
    few = {run: run.training.model_copy(update={"max_epochs": 3}) for run in study.runs}
    return replace(study, runs=tuple(run.model_copy(update={"training": few[run]}) for run in study.runs))
