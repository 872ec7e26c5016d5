import os
import re
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from prunability.cli import app
from prunability.data.dataset import DataConfig, prepare
from prunability.data.images import TITLES, ImageSet, checksum
from prunability.data.sources import CIFAR10, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records import tables

CPU = torch.device("cpu")


def test_digits(digits: ImageSet) -> None:
    from sklearn.datasets import load_digits

    assert digits.images["train"].shape == (1000, 1, 8, 8)
    assert digits.images["test"].shape == (797, 1, 8, 8)
    together = torch.cat([digits.images["train"], digits.images["test"]]).flatten(1).numpy()
    assert sorted(map(bytes, together)) == sorted(map(bytes, load_digits().data.astype(np.uint8)))


def test_normalised_by_the_training_subset(digits: ImageSet) -> None:
    found = prepare(digits, DataConfig(checksum=digits.checksum, n_train=100), CPU, torch.float64)
    assert found.train_images.shape == (100, 1, 8, 8)
    assert found.train_images.mean().abs() < 1e-12
    assert abs(found.train_images.std().item() - 1) < 1e-12
    assert len(found.test_labels) == 797


def test_subsets_are_nested_and_fixed(digits: ImageSet) -> None:
    noisy = DataConfig(checksum=digits.checksum, n_train=50, label_noise=0.5)
    small = prepare(digits, noisy, CPU, torch.float32)
    large = prepare(digits, noisy.model_copy(update={"n_train": 400}), CPU, torch.float32)
    assert torch.equal(small.train_labels, large.train_labels[:50])
    other = prepare(digits, noisy.model_copy(update={"seed": 1}), CPU, torch.float32)
    assert not torch.equal(small.train_labels, other.train_labels)


def test_label_noise_is_wrong_and_of_the_right_rate(digits: ImageSet) -> None:
    clean = prepare(digits, DataConfig(checksum=digits.checksum, n_train=1000), CPU, torch.float32)
    noisy = prepare(digits, DataConfig(checksum=digits.checksum, n_train=1000, label_noise=0.2), CPU, torch.float32)
    wrong = clean.train_labels != noisy.train_labels
    assert abs(wrong.double().mean().item() - 0.2) < 4 * (0.2 * 0.8 / 1000) ** 0.5
    assert torch.equal(clean.test_labels, noisy.test_labels)
    shift = (noisy.train_labels - clean.train_labels)[wrong] % 10
    assert set(shift.tolist()) == set(range(1, 10))
    whole = prepare(digits, DataConfig(checksum=digits.checksum, n_train=1000, label_noise=1.0), CPU, torch.float32)
    assert (whole.train_labels != clean.train_labels).all()


def test_wrong_images_and_too_few(digits: ImageSet) -> None:
    ours = rf"these images are digits \(checksum {digits.checksum[:12]}…\), the run asks for "
    with pytest.raises(PrunabilityError, match=ours + r"others \(checksum 000000000000…\): point `data`"):
        prepare(digits, DataConfig(checksum="0" * 64, n_train=10), CPU, torch.float32)
    ((known, title),) = TITLES.items()
    with pytest.raises(PrunabilityError, match=ours + re.escape(f"{title} (checksum {known[:12]}…)")):
        prepare(digits, DataConfig(checksum=known, n_train=10), CPU, torch.float32)
    with pytest.raises(PrunabilityError, match="n_train 1001"):
        prepare(digits, DataConfig(checksum=digits.checksum, n_train=1001), CPU, torch.float32)


def test_checksum_sees_order_and_labels(digits: ImageSet) -> None:
    labels = {**digits.labels, "test": digits.labels["test"].flip(0)}
    assert checksum(digits.images, labels) != digits.checksum
    images = {**digits.images, "train": digits.images["train"].flip(0)}
    assert checksum(images, digits.labels) != digits.checksum


REAL = pytest.mark.skipif("PRUNABILITY_TEST_IMAGES" not in os.environ, reason="names no archive of real images")


@REAL
def test_a_folder_made_as_the_readme_says_has_the_published_identity(tmp_path: Path) -> None:
    """As cloned, with what else lies in such a folder, and packed by the README's command."""
    folder = tmp_path / "CIFAR-10-images"
    (folder / ".git" / "objects" / "aa").mkdir(parents=True)
    (folder / ".git" / "objects" / "aa" / "0.jpg").write_bytes(b"no image")
    (folder / "README.md").write_text("what it is")
    with tarfile.open(os.environ["PRUNABILITY_TEST_IMAGES"]) as archive:
        archive.extractall(folder, filter="data")
    table = tables.find(project_root() / "results", "correlation", "small")
    assert table is not None
    published = table.origin.data
    assert load_images(f"folder:{folder}", tmp_path).facts == published
    (command,) = re.findall(r"^    (tar .*)$", (project_root() / "README.md").read_text(), re.M)
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    (packed,) = tmp_path.glob("*.tar.*")
    told = CliRunner().invoke(app, ["images", f"folder:{packed}"])
    assert published.checksum in told.output
    assert "the published table of correlation, small, is of these images" in told.output


@REAL
def test_real_images_from_archive_to_prunability(tmp_path: Path) -> None:
    from prunability.foundation.execution import Execution
    from prunability.measures import HEADLINE_MEASURE
    from prunability.records.runner import complete
    from prunability.studies import Study
    from prunability.training.config import NiNConfig, RunConfig, TrainingConfig

    source = f"folder:{os.environ['PRUNABILITY_TEST_IMAGES']}"
    images = load_images(source, tmp_path)
    assert images.images["train"].shape == (50_000, 3, 32, 32)
    assert images.title == "CIFAR-10 (JPEG copy)"
    assert torch.bincount(images.labels["test"]).tolist() == [1000] * 10
    config = RunConfig(
        data=DataConfig(checksum=images.checksum, n_train=100),
        network=NiNConfig(width=24, depth=2),
        training=TrainingConfig(learning_rate=0.05, batch_size=20, max_epochs=80, precision="bfloat16"),
    )
    study = Study("one", "run", source, images.facts, (), (config,), claims=False, gpu=False)
    (record,) = complete(
        study,
        Execution(device="cpu", workers=1, runs=tmp_path / "runs", data=tmp_path, results=tmp_path / "results"),
    )
    assert record.result.status == "converged"
    assert record.result.test_loss is not None
    assert record.result.test_loss > 1
    assert 0 < record.measures["prunability_magnitude"].values[HEADLINE_MEASURE] < 1


def test_facts_are_known_without_the_images(digits: ImageSet) -> None:
    facts = digits.facts
    assert (facts.train, facts.test, facts.classes, facts.shape) == (1000, 797, 10, (1, 8, 8))
    assert facts.checksum == digits.checksum
    # CIFAR-10 is published by its numbers: 50,000 and 10,000 images of 3 × 32 × 32 in 10 classes.
    assert (CIFAR10.train, CIFAR10.test, CIFAR10.classes, CIFAR10.shape) == (50_000, 10_000, 10, (3, 32, 32))
