"""The page on one's own images: its commands work as written, on a tiny folder and the smallest profile."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from prunability.cli import app
from prunability.foundation.execution import project_root
from prunability.studies import find_profile

ROOT = project_root()
PAGE = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Your own images\n")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^    ((?:make|\.venv).*)$", PAGE, re.M)
ASKED = re.findall(r"`\.venv/bin/(prunability images folder:\S+)`", PAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, dark and bright, as many as the smallest profile trains on."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("own images")
    number_of = {"train": find_profile("correlation", "smoke").n_train or 0, "test": 20}
    for split, count in number_of.items():
        for number in range(count):
            path = root / split / ("dark", "bright")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 100, (8, 8)) + 120 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


def here(command: str, folder: Path) -> list[str]:
    """A command of the page, with this folder for the one that it names, and the smallest profile."""
    words = shlex.split(command.replace("small", "smoke"))
    return [word.replace("/path/to/images", str(folder)) for word in words]


def test_its_runs_are_made_and_their_images_named(folder: Path, tmp_path: Path) -> None:
    (command,) = [command for command in COMMANDS if command.startswith(".venv/bin/prunability ")]
    runs = tmp_path / "runs"
    made = CliRunner().invoke(app, [*here(command, folder)[1:], "--runs", str(runs), "--workers", "1"])
    assert made.exit_code == 0, made.output
    networks = len(list(runs.glob("*.json")))
    assert f"{networks} of {networks} runs" in made.output
    (asked,) = ASKED
    told = CliRunner().invoke(app, here(asked, folder)[1:])
    assert told.exit_code == 0, told.output
    assert "2 classes" in told.output


def test_its_figures_are_drawn_by_the_command_that_make_runs(folder: Path) -> None:
    (command,) = [command for command in COMMANDS if command.startswith("make ")]
    shown = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *here(command, folder)[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = shlex.split(shown.stdout.splitlines()[-1])
    assert words[1:] == ["-m", "prunability", "figures", "--profile", "smoke", "-p", f"data=folder:{folder}"]
