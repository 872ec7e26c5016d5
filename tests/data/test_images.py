import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from prunability.cli import app
from prunability.data import folder as folder_module
from prunability.data.dataset import DataConfig, prepare
from prunability.data.images import TITLES, ImageSet, checksum
from prunability.data.sources import CIFAR10, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records import tables

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "my images"
    for split, number in (("train", 6), ("test", 3)):
        for name in ("ant", "bee", "cat"):
            place = root / split / name
            place.mkdir(parents=True)
            for index in range(number):
                pixels = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index:03}.png")
    return root


def pack(folder: Path, target: Path, prefix: str = "") -> Path:
    with tarfile.open(target, "w:xz") as archive:
        for split in ("test", "train"):
            archive.add(folder / split, f"{prefix}{split}")
    return target


def test_digits(digits: ImageSet) -> None:
    from sklearn.datasets import load_digits

    assert digits.images["train"].shape == (1000, 1, 8, 8)
    assert digits.images["test"].shape == (797, 1, 8, 8)
    together = torch.cat([digits.images["train"], digits.images["test"]]).flatten(1).numpy()
    assert sorted(map(bytes, together)) == sorted(map(bytes, load_digits().data.astype(np.uint8)))


def test_folder_pixels_and_labels(folder: Path, tmp_path: Path) -> None:
    found = load_images(f"folder:{folder}", tmp_path / "cache")
    assert found.images["train"].shape == (18, 3, 5, 4)
    assert found.labels["test"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert found.classes == 3
    with Image.open(folder / "train" / "bee" / "002.png") as image:
        expected = np.asarray(image).transpose(2, 0, 1)
    assert (found.images["train"][6 + 2].numpy() == expected).all()


def test_identity_is_the_content_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    here = load_images(f"folder:{folder}", tmp_path / "cache")
    elsewhere = tmp_path / "moved"
    shutil.copytree(folder, elsewhere)
    packed = pack(folder, tmp_path / "packed.tar.xz")
    nested = pack(folder, tmp_path / "nested.tar.xz", "some/where/")
    for place in (elsewhere, packed, nested):
        assert load_images(f"folder:{place}", tmp_path / "cache").checksum == here.checksum
    pixels = np.asarray(Image.open(folder / "test" / "ant" / "000.png")).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(elsewhere / "test" / "ant" / "000.png")
    load_images.cache_clear()
    assert load_images(f"folder:{elsewhere}", tmp_path / "cache").checksum != here.checksum


def test_decoding_happens_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(folder, tmp_path / "packed.tar.xz")
    first = load_images(f"folder:{packed}", tmp_path / "cache")
    load_images.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "_decode", lambda *_: pytest.fail("decoded again"))
        again = load_images(f"folder:{packed}", tmp_path / "cache")
    assert again.checksum == first.checksum
    assert torch.equal(again.images["train"], first.images["train"])
    (cached,) = (tmp_path / "cache" / "decoded").iterdir()
    content = bytearray(cached.read_bytes())
    content[-1] ^= 1  # a damaged cache is not used
    cached.write_bytes(content)
    load_images.cache_clear()
    assert torch.equal(load_images(f"folder:{packed}", tmp_path / "cache").images["test"], first.images["test"])


def test_layout_errors(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(PrunabilityError, match=r"unknown data 'mnist'.*digits, cifar10.* or folder:PATH"):
        load_images("mnist", cache)
    with pytest.raises(PrunabilityError, match="no such folder"):
        load_images(f"folder:{tmp_path / 'nowhere'}", cache)
    text = tmp_path / "notes.tar"
    text.write_text("not an archive")
    with pytest.raises(PrunabilityError, match="not a readable tar"):
        load_images(f"folder:{text}", cache)
    (folder / "test" / "dog").mkdir()
    shutil.copy(folder / "test" / "ant" / "000.png", folder / "test" / "dog" / "000.png")
    with pytest.raises(PrunabilityError, match=r"classes \['dog'\] are in one of"):
        load_images(f"folder:{folder}", cache)
    shutil.rmtree(folder / "test" / "dog")
    Image.new("RGB", (9, 9)).save(folder / "train" / "ant" / "big.png")
    with pytest.raises(PrunabilityError, match="one size"):
        load_images(f"folder:{folder}", cache)
    (folder / "train" / "ant" / "big.png").write_text("not an image")
    with pytest.raises(PrunabilityError, match=r"big\.png: not a readable image"):
        load_images(f"folder:{folder}", cache)
    shutil.rmtree(folder / "test")
    (folder / "train" / "ant" / "big.png").unlink()
    with pytest.raises(PrunabilityError, match="no image under test"):
        load_images(f"folder:{folder}", cache)


def test_images_that_would_be_misread_are_refused(folder: Path, tmp_path: Path) -> None:
    deep = folder / "train" / "ant" / "deep.png"
    Image.fromarray(np.full((5, 4), 40_000, dtype=np.uint16)).save(deep)
    with pytest.raises(PrunabilityError, match=r"deep\.png: mode I;16 is not 8 bits"):
        load_images(f"folder:{folder}", tmp_path / "cache")
    Image.new("L", (4, 5)).save(deep)
    with pytest.raises(PrunabilityError, match="all be grey or all in colour"):
        load_images(f"folder:{folder}", tmp_path / "cache")
    deep.unlink()
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        archive.add(folder, "one")
        archive.add(folder, "two")
    with pytest.raises(PrunabilityError, match="several train/ or test/"):
        load_images(f"folder:{tmp_path / 'two.tar'}", tmp_path / "cache")
    with pytest.raises(PrunabilityError, match="unknown data 'folder:'"):
        load_images("folder:", tmp_path / "cache")


def test_cifar10_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    def refused(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", refused)
    with pytest.raises(PrunabilityError, match=r"could not be downloaded.*folder:PATH"):
        load_images("cifar10", tmp_path)


def test_cifar10_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    class Stand:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            self.data = np.full((4 if train else 2, 32, 32, 3), 7, dtype=np.uint8)
            self.data[0, 1, 2, 0] = 200
            self.targets = [3] * len(self.data)

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Stand)
    found = load_images("cifar10", tmp_path)
    assert found.images["train"].shape == (4, 3, 32, 32)
    assert found.images["train"][0, 0, 1, 2] == 200


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
