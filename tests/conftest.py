"""Small data sets and networks that the tests share."""

from pathlib import Path

import pytest
import torch

from prunability.config import DataConfig, NiNConfig, RunConfig, TrainingConfig
from prunability.data import Dataset, ImageSet, load_images, prepare
from prunability.measures import TrainedRun
from prunability.training import one_thread, train

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


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


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"
