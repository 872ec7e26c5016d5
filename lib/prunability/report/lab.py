"""Copies of the notebooks to work on, so that what is committed stays as it is."""

import itertools
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from prunability.foundation.execution import project_root
from prunability.foundation.files import updated, write

# Of each copy, what the notebook was that it was made of.
MADE_OF = ".made_of.json"


def copies(notebooks: Mapping[str, Path], folder: Path) -> list[str]:
    """Copy notebooks into a folder, where they are not there yet; returns what is to be said of it.

    A copy of an older notebook that was worked on is kept under another name, and a new one made.
    """
    said = []
    with updated(folder / MADE_OF) as made_of:
        for name, path in notebooks.items():
            content, copy = path.read_bytes(), folder / path.name
            now = sha256(content).hexdigest()
            if copy.exists() and made_of.get(name) == now:
                continue
            if copy.exists() and sha256(copy.read_bytes()).hexdigest() != made_of.get(name):
                names = (copy.with_name(f"{name}_kept_{number}.ipynb") for number in itertools.count(1))
                kept = next(path for path in names if not path.exists())
                shutil.move(copy, kept)
                said.append(f"{path.name} has changed: your copy is {kept.name} now")
            write(copy, content)
            made_of[name] = now
    return said


def prepare(notebooks: Mapping[str, Path]) -> tuple[Path, list[str]]:
    """The project's folder of copies, brought up to date, and what is to be said of it."""
    folder = project_root() / "lab"
    return folder, copies(notebooks, folder)
