"""A folder or a tar of images, decoded once and kept."""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prunability.data.images import SPLITS, TITLES, ImageSet, checksum, image_set
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.files import replacing


def load_folder(path: Path, cache: Path) -> ImageSet:
    """Images below ``train/<class>/`` and ``test/<class>/``; classes and files in the order of their names."""
    if not path.exists():
        raise PrunabilityError(f"data folder:{path}: there is no such folder or archive")
    cached = cache / "decoded" / f"{_fingerprint(path)}.safetensors"
    decoded = _read_cache(cached, path)
    if decoded is None:
        names: dict[str, list[str]] = {split: [] for split in SPLITS}
        pixels: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        for (split, name, _), image in sorted(_decoded(path), key=lambda item: item[0]):
            names[split].append(name)
            pixels[split].append(image)
        decoded = _assemble(path, names, pixels)
        _write_cache(cached, decoded)
    return decoded


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
    return image_set(
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
                inside = PurePosixPath(member.name)
                if not member.isfile() or inside.suffix.lower() not in endings or len(inside.parts) < 3:
                    continue
                split, name = inside.parts[-3:-1]
                if split in SPLITS and (stream := archive.extractfile(member)):
                    above.add(inside.parts[:-3])
                    if len(above) > 1:
                        raise PrunabilityError(f"data folder:{path}: it holds several train/ or test/")
                    yield (split, name, inside.name), _decode(stream, f"{path}: {member.name}")
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


def _write_cache(cached: Path, decoded: ImageSet) -> None:
    tensors = {f"{split}_images": decoded.images[split] for split in SPLITS}
    tensors |= {f"{split}_labels": decoded.labels[split] for split in SPLITS}
    facts = json.dumps({"classes": decoded.classes, "checksum": decoded.checksum})
    with replacing(cached) as partial:
        save_file(tensors, partial, {"facts": facts})
