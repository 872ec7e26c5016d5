"""What CONTRIBUTING.md says a new thing costs, and that its examples work: one of each is added to a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from prunability.foundation.execution import project_root

ROOT = project_root()
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?:python\n# |diff\n--- )(\S+)\n(.*?)^```$", re.M | re.S)
ROW = re.compile(r"^\| an? ([a-z ]+) \| (\d+) \| ([^|]+) \|", re.M)
# The files of each thing, as the table names them.
FILES = {thing: re.findall(r"`([^`]+)`", files) for thing, _, files in ROW.findall(PAGE)}
# The tests that run over all there is, and what picks out of them what was added.
OVER_ALL = [
    "tests/training/test_networks.py",
    "tests/training/test_fleet.py",
    "tests/studies",
    "tests/claims",
    "tests/report/test_notebooks.py::test_source",
]
ADDED = ["two-layer", "every_profile", "X1", "04_stripes"]


def sections() -> dict[str, list[tuple[str, str]]]:
    """The blocks of the section about each thing: file and content."""
    parts = re.split(r"^## A new (.+)$", PAGE, flags=re.M)
    return {
        thing: BLOCK.findall(part.split("\n## ")[0]) for thing, part in zip(parts[1::2], parts[2::2], strict=True)
    }


def add(path: Path, content: str) -> None:
    """A block: a cell of a notebook, changes of a file, or a new file."""
    if path.suffix == ".ipynb":
        add_cell(path, content.rstrip("\n"))
    elif path.exists():
        for hunk in content.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            parts = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
            old, new = (part.replace("…\n", "") for part in parts)
            before, found, after = f"\n{path.read_text(encoding='utf-8')}".partition(f"\n{old}")
            assert found, f"{path.name} has no such place: {old}"
            assert f"\n{old}" not in after, f"{path.name} has several such places: {old}"
            path.write_text(f"{before}\n{new}{after}"[1:], encoding="utf-8")
    else:
        path.write_text(content, encoding="utf-8")


def add_cell(path: Path, source: str) -> None:
    """A cell at the end of a notebook; a new one begins with title, parameters and metadata of another."""
    if path.exists():
        notebook = nbformat.read(path, as_version=4)
    else:
        notebook = nbformat.read(path.with_name("01_correlation_study.ipynb"), as_version=4)
        notebook.cells = notebook.cells[:2]
        notebook.metadata["prunability"]["studies"] = re.findall(r'open_session\(\s*"(\S+)"', source)
    notebook.cells.append(nbformat.v4.new_code_cell(source, id=f"added-{len(notebook.cells)}"))
    nbformat.write(notebook, path)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run(root: Path, *command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(root / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with one of each; nothing but the files that the table names was touched."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("lib", "tests", "notebooks", "benchmarks", "results/quick"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for thing, blocks in sections().items():
        before = contents(root)
        for file, content in blocks:
            add(root / file, content)
        # As pre-commit does.
        files = [file for file, _ in blocks]
        run(root, "ruff", "check", "--no-cache", "--quiet", "--select", "I", "--fix", *files)
        run(root, "ruff", "format", "--no-cache", "--quiet", *files)
        after = contents(root)
        assert {file for file in after if after[file] != before.get(file)} == set(FILES[thing]), thing
    return root


def test_the_table_counts_right() -> None:
    assert FILES.keys() == sections().keys()
    for thing, number, _ in ROW.findall(PAGE):
        assert len(FILES[thing]) == int(number), thing


def test_examples_are_written_as_the_project_is(copy: Path) -> None:
    run(copy, "ruff", "check", "--no-cache", ".")
    run(copy, "ruff", "format", "--no-cache", "--check", ".")


def test_one_of_each_works(copy: Path) -> None:
    """The examples' own tests, what those that run over all there is say of them, and what they do together."""
    own = [file for files in FILES.values() for file in files if file.startswith("tests/")]
    chosen = " or ".join([*ADDED, *(Path(file).stem for file in own), "added"])
    run(copy, "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", chosen, *own, *OVER_ALL, "tests/added.py")
