"""The project's files hold together: lock, environments, layers, and nothing that is one machine's."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import prunability
from prunability.foundation.execution import project_root
from prunability.studies import find_profile

ROOT = project_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def locked() -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if not line.startswith("#"):
            name, version = re.match(r"([\w.-]+)==([\w.+!]+)", line).groups()  # type: ignore[union-attr]
            found.setdefault(name.lower(), []).append(Version(version))
    return found


def test_the_lock_satisfies_the_project() -> None:
    versions = locked()
    extras = [item for group in PROJECT["optional-dependencies"].values() for item in group]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        name = canonicalize_name(requirement.name)
        assert name in versions
        assert all(version in requirement.specifier for version in versions[name])


def test_conda_environment_follows_the_project() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    *conda, pip = environment["dependencies"]
    assert pip["pip"] == ["-r requirements.lock", "-e ."]
    (python,) = [item.removeprefix("python=") for item in conda if item.startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"{python}.0")


def test_binder_leaves_out_what_cuda_needs_and_nothing_else() -> None:
    """Its commands are the script's own, up to where they would install."""
    script = (ROOT / "binder" / "postBuild").read_text()
    before, _, _ = script.partition("uv pip install")
    command = ["bash", "-c", f'{before}cat "$lock"; rm "$lock"']
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    kept = {line.partition("==")[0] for line in shown.stdout.splitlines()}
    left_out = {name for name in locked() if name not in kept}
    assert "nvidia-cublas" in left_out
    assert not any(name.startswith(("nvidia", "cuda")) for name in kept)
    for distribution in distributions():
        if canonicalize_name(distribution.name) in kept - {"torch"}:
            needed = {canonicalize_name(Requirement(item).name) for item in distribution.requires or []}
            assert not needed & left_out, distribution.name
    subprocess.run(["bash", "-n", "-c", script], check=True)
    python = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"][0]
    assert python in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def test_this_python_is_supported() -> None:
    running = ".".join(map(str, sys.version_info[:3]))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(running)


def test_what_is_imported_is_declared() -> None:
    """No dependency of a dependency."""
    groups = PROJECT["optional-dependencies"]
    declared = [*PROJECT["dependencies"], *groups["notebooks"], *groups["cluster"]]
    known = {Requirement(item).name.lower() for item in declared}
    providers = packages_distributions()
    for path in (ROOT / "lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"prunability"}:
                assert {provider.lower() for provider in providers[name]} & known, f"{path.name}: {name}"


def test_tests_stand_where_their_rooms_do() -> None:
    rooms = {path.parent.name for path in (ROOT / "lib" / "prunability").glob("*/__init__.py")}
    assert {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")} <= rooms
    for room in rooms:
        (words,) = [ast.get_docstring(ast.parse((ROOT / "lib" / "prunability" / room / "__init__.py").read_text()))]
        assert words, room


def test_the_public_face() -> None:
    for name in prunability.__all__:
        assert getattr(prunability, name) is not None
    assert prunability.__version__ == PROJECT["version"]
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prunability.nothing


def test_modules_stay_small() -> None:
    for path in (ROOT / "lib").rglob("*.py"):
        assert path.read_text().count("\n") <= 300, path


def test_nothing_of_one_machine_is_committed() -> None:
    forbidden = re.compile(r"(/root[/]|/home[/][a-z]|/Users[/]|pypi[.]org|python" r"hosted|anaconda[.]org)")
    for path in tracked():
        if path.suffix not in (".png", ".pdf", ".parquet"):
            assert not forbidden.search(path.read_text(encoding="utf-8")), path


def test_the_readme_counts_right() -> None:
    text = (ROOT / "README.md").read_text()
    of_correlation, of_descent = (
        find_profile(study, "small").n_train for study in ("correlation", "double-descent")
    )
    assert f"({of_correlation:,} of them for the correlation study" in text
    assert f"{of_descent:,} for double descent" in text
