"""Images as tensors: `digits`, `cifar10` and `folder:PATH`, known by the checksum of their content."""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prunability.config import DataConfig, PrunabilityError
from prunability.seeding import generator

SOURCES = "digits, cifar10 or folder:PATH (a folder or a tar of train/<class>/ and test/<class>/ images)"
SPLITS = ("train", "test")
# Images whose content is known bear their own name, whatever their folder's.
TITLES = {"9cfe0b3afe10c1855e3a464658e191853e6611c6811e9e6bbcec79697dfe7371": "CIFAR-10 (JPEG copy)"}


class DataFacts(NamedTuple):
    """What a study must know of its images; ``shape`` is (channels, height, width)."""

    title: str
    checksum: str
    classes: int
    train: int
    test: int
    shape: tuple[int, int, int]


# As it is before it is downloaded; its checksum is not known then.
CIFAR10 = DataFacts("CIFAR-10", "0" * 64, 10, 50_000, 10_000, (3, 32, 32))


@dataclass(frozen=True)
class ImageSet:
    """Whole images and labels as they are: uint8 [N, channels, H, W] and int64 [N] a split."""

    title: str
    classes: int
    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    checksum: str

    @property
    def facts(self) -> DataFacts:
        """Names and numbers, without the images."""
        channels, height, width = self.images["train"].shape[1:]
        train, test = (len(self.labels[split]) for split in SPLITS)
        return DataFacts(self.title, self.checksum, self.classes, train, test, (channels, height, width))


@dataclass(frozen=True)
class Dataset:
    """What a run sees, on its device: normalised float images [N, channels, H, W] and labels [N]."""

    classes: int
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@lru_cache(maxsize=2)
def load_images(source: str, folder: Path) -> ImageSet:
    """The images of a source; what has to be downloaded or decoded is kept in ``folder``.

    Raises:
        PrunabilityError: the source is unknown, missing, or not laid out as it should be.
    """
    if source == "digits":
        return _digits()
    if source == "cifar10":
        return _cifar10(folder)
    if source.startswith("folder:") and source != "folder:":
        return _folder(Path(source.removeprefix("folder:")).expanduser(), folder)
    raise PrunabilityError(f"unknown data {source!r}: it must be {SOURCES}")


def prepare(images: ImageSet, config: DataConfig, device: torch.device, dtype: torch.dtype) -> Dataset:
    """The fixed training subset with its label noise, and the whole test set, normalised.

    With probability ``label_noise`` a training label becomes a uniformly drawn wrong label (Nakkiran et
    al. 2020). Noise is drawn for the whole training set, so a subset keeps the labels of the larger one.
    Channels are normalised by the mean and the standard deviation of the training subset.

    Raises:
        PrunabilityError: these are not the images of ``config``, or there are too few of them.
    """
    if images.checksum != config.checksum:
        raise PrunabilityError(
            f"the images of {images.title} have checksum {images.checksum[:12]}, the run asks for "
            f"{config.checksum[:12]}: point `data` at the images the run was trained on"
        )
    total = len(images.labels["train"])
    if config.n_train > total:
        raise PrunabilityError(f"n_train {config.n_train} is more than the {total} images of {images.title}")
    draws = generator("label noise", config.seed)
    labels = images.labels["train"]
    wrong = (labels + torch.randint(1, images.classes, (total,), generator=draws)) % images.classes
    labels = torch.where(torch.rand(total, generator=draws) < config.label_noise, wrong, labels)
    chosen = torch.randperm(total, generator=generator("subset", config.seed))[: config.n_train]
    train = images.images["train"][chosen].to(torch.float64)
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)

    def normalise(pixels: Tensor) -> Tensor:
        scaled = ((pixels - mean) / std.where(std > 0, 1.0)).to(device, dtype)
        return scaled.contiguous(memory_format=torch.channels_last)

    return Dataset(
        classes=images.classes,
        train_images=normalise(train),
        train_labels=labels[chosen].to(device),
        test_images=normalise(images.images["test"]),
        test_labels=images.labels["test"].to(device),
    )


def checksum(images: dict[str, Tensor], labels: dict[str, Tensor]) -> str:
    """SHA-256 over shapes, pixels and labels of both splits; names and places do not enter."""
    total = hashlib.sha256()
    for split in SPLITS:
        for tensor in (images[split], labels[split]):
            total.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
            total.update(tensor.numpy().data)
    return total.hexdigest()


def _image_set(title: str, classes: int, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> ImageSet:
    pixels = {split: torch.from_numpy(np.ascontiguousarray(images[split])) for split in SPLITS}
    targets = {split: torch.from_numpy(labels[split].astype(np.int64)) for split in SPLITS}
    content = checksum(pixels, targets)
    return ImageSet(TITLES.get(content, title), classes, pixels, targets, content)


def _digits() -> ImageSet:
    """1,797 real 8×8 digits inside scikit-learn, split 1,000 / 797 by a fixed permutation."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow to import, needed only here)

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=generator("digits split")).numpy()
    parts = {"train": order[:1000], "test": order[1000:]}
    images = {split: bunch.images[part, None].astype(np.uint8) for split, part in parts.items()}
    return _image_set("digits", 10, images, {split: bunch.target[part] for split, part in parts.items()})


def at_hand(source: str, folder: Path) -> bool:
    """Whether a source needs no download."""
    return source != "cifar10" or (folder / "cifar-10-batches-py").is_dir()


def _cifar10(folder: Path) -> ImageSet:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415  (slow to import, needed only here)

    try:
        sets = {split: CIFAR10(folder, train=split == "train", download=True) for split in SPLITS}
    except (OSError, RuntimeError) as error:
        raise PrunabilityError(
            f"cifar10 could not be downloaded or is damaged ({error}). With a network, run again; without "
            f"one, put cifar-10-python.tar.gz into {folder}, or give own images as data=folder:PATH"
        ) from error
    images = {split: part.data.transpose(0, 3, 1, 2) for split, part in sets.items()}
    return _image_set("CIFAR-10", 10, images, {split: np.array(part.targets) for split, part in sets.items()})


def _folder(path: Path, cache: Path) -> ImageSet:
    """Images below ``train/<class>/`` and ``test/<class>/``; classes and files in the order of their names."""
    if not path.exists():
        raise PrunabilityError(f"data folder:{path}: there is no such folder or archive")
    cached = cache / "decoded" / f"{_fingerprint(path)}.safetensors"
    found = _read_cache(cached, path)
    if found is None:
        names: dict[str, list[str]] = {split: [] for split in SPLITS}
        pixels: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        for (split, name, _), image in sorted(_decoded(path), key=lambda item: item[0]):
            names[split].append(name)
            pixels[split].append(image)
        found = _assemble(path, names, pixels)
        _write_cache(cached, found)
    return found


def _assemble(path: Path, names: dict[str, list[str]], pixels: dict[str, list[np.ndarray]]) -> ImageSet:
    for split in SPLITS:
        if not pixels[split]:
            raise PrunabilityError(f"data folder:{path}: no image under {split}/<class>/")
    shapes = sorted({image.shape for split in SPLITS for image in pixels[split]})
    if len(shapes) > 1:
        raise PrunabilityError(
            f"data folder:{path}: images must have one size and all be grey or all in "
            f"colour, found (channels, height, width) {shapes}"
        )
    classes = sorted(set(names["train"]))
    if odd := sorted(set(names["test"]) ^ set(classes)):
        raise PrunabilityError(f"data folder:{path}: classes {odd} are in one of train/ and test/ only")
    if len(classes) < 2:
        raise PrunabilityError(f"data folder:{path}: at least two classes are needed, found {classes}")
    numbers = {name: number for number, name in enumerate(classes)}
    return _image_set(
        _title(path),
        len(classes),
        {split: np.stack(pixels[split]) for split in SPLITS},
        {split: np.array([numbers[name] for name in names[split]]) for split in SPLITS},
    )


def _title(path: Path) -> str:
    return path.resolve().name.split(".")[0]


def _decoded(path: Path) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """((split, class, file name), uint8 [channels, H, W]) of every image file of a folder or tar."""
    endings = Image.registered_extensions()
    if path.is_dir():
        for file in path.glob("*/*/*"):
            if file.suffix.lower() in endings and file.parts[-3] in SPLITS:
                yield (file.parts[-3], file.parts[-2], file.name), _decode(file, str(file))
        return
    above = set()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if not member.isfile() or place.suffix.lower() not in endings or len(place.parts) < 3:
                    continue
                split, name = place.parts[-3:-1]
                if split in SPLITS and (stream := archive.extractfile(member)):
                    above.add(place.parts[:-3])
                    if len(above) > 1:
                        raise PrunabilityError(f"data folder:{path}: it holds several train/ or test/")
                    yield (split, name, place.name), _decode(stream, f"{path}: {member.name}")
    except (tarfile.TarError, EOFError, OSError) as error:
        why = str(error).splitlines()[0]
        raise PrunabilityError(f"data folder:{path}: not a readable tar archive, nor a folder ({why})") from error


def _decode(file: Path | IO[bytes], name: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise PrunabilityError(f"{name}: mode {image.mode} is not 8 bits a channel; convert the images")
            grey = image.mode in ("1", "L")
            array = np.asarray(image.convert("L" if grey else "RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise PrunabilityError(f"{name}: not a readable image ({error})") from error
    return array[None] if grey else array.transpose(2, 0, 1)


def _fingerprint(path: Path) -> str:
    """Tells whether a folder or archive is the one decoded before, without decoding it."""
    total = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.glob("*/*/*")):
            facts = file.stat()
            total.update(f"{file.relative_to(path).as_posix()}|{facts.st_size}|{facts.st_mtime_ns}\n".encode())
    else:
        with path.open("rb") as stream:
            total = hashlib.file_digest(stream, "sha256")
    return total.hexdigest()[:32]


def _read_cache(cached: Path, path: Path) -> ImageSet | None:
    """The decoded images, if they are there and their content still has the checksum written beside it."""
    if not cached.exists():
        return None
    try:
        with safe_open(cached, "pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            images = {split: file.get_tensor(f"{split}_images") for split in SPLITS}
            labels = {split: file.get_tensor(f"{split}_labels") for split in SPLITS}
    except (SafetensorError, KeyError, ValueError):
        return None
    if checksum(images, labels) != facts["checksum"]:
        return None
    title = TITLES.get(facts["checksum"], _title(path))
    return ImageSet(title, facts["classes"], images, labels, facts["checksum"])


def _write_cache(cached: Path, found: ImageSet) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"{split}_images": found.images[split] for split in SPLITS}
    tensors |= {f"{split}_labels": found.labels[split] for split in SPLITS}
    partial = cached.with_suffix(f".{os.getpid()}.partial")
    facts = json.dumps({"classes": found.classes, "checksum": found.checksum})
    save_file(tensors, partial, {"facts": facts})
    partial.replace(cached)
