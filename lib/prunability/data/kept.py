"""Decoded images, kept by their content in one folder, one copy for each place they came from."""

import json
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prunability.data.images import SPLITS, ImageSet, checksum
from prunability.foundation.errors import PrunabilityError, shown
from prunability.foundation.files import not_regular, read, replacing, updated

FOLDER, INDEX = "decoded", "sources.json"


def trusted(cache: Path, source: Path, seen: str) -> str | None:
    """The content of a place, if its files look as they did when that was read."""
    try:
        known = json.loads(read(cache / FOLDER / INDEX))[_name(source)]
        return str(known["key"]) if known["seen"] == seen else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def recall(cache: Path, key: str) -> ImageSet | None:
    """The kept images of a content, if they are there and have the checksum that was written beside them."""
    if not_regular(_copy(cache, key)):  # a pipe would be waited for
        return None
    try:
        with safe_open(_copy(cache, key), "pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            images = {split: file.get_tensor(f"{split}_images") for split in SPLITS}
            labels = {split: file.get_tensor(f"{split}_labels") for split in SPLITS}
        if checksum(images, labels) != facts["checksum"]:
            return None
        return ImageSet("", int(labels["train"].max()) + 1, images, labels, facts["checksum"], facts["left_out"])
    except (OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError):
        return None


def keep(cache: Path, source: Path, key: str, seen: str, decoded: ImageSet | None = None) -> None:
    """Keep the content of a place, and what it looked like, and remove copies of what is nowhere any more.

    With an empty ``seen`` the place is read again the next time. What cannot be written is not kept.
    """
    if decoded is None and trusted(cache, source, seen) == key:
        return
    index = cache / FOLDER / INDEX
    with suppress(OSError, SafetensorError, PrunabilityError), updated(index) as known:
        if decoded is not None:
            _save(_copy(cache, key), decoded)
        others = {name: entry for name, entry in known.items() if isinstance(entry, dict) and Path(name).exists()}
        known.clear()
        known.update(others | {_name(source): {"key": key, "seen": seen}})
        needed = {index.name, *(_copy(cache, str(entry.get("key"))).name for entry in known.values())}
        for file in index.parent.iterdir():
            # Nobody else is writing here; hidden is the lock.
            if file.name not in needed and not file.name.startswith("."):
                file.unlink()


def _save(path: Path, decoded: ImageSet) -> None:
    tensors = {f"{split}_images": decoded.images[split] for split in SPLITS}
    tensors |= {f"{split}_labels": decoded.labels[split] for split in SPLITS}
    facts = json.dumps({"checksum": decoded.checksum, "left_out": decoded.left_out})
    with replacing(path) as partial:
        save_file(tensors, partial, {"facts": facts})


def _copy(cache: Path, key: str) -> Path:
    return cache / FOLDER / f"{key[:32]}.safetensors"


def _name(source: Path) -> str:
    return shown(str(source.resolve()))
