"""The project's files hold together: lock, environments, layers, and nothing that is one machine's."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from prunability.session import project_root
from prunability.studies import STUDIES, find_profile, open_study

ROOT = project_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Each module uses only modules before it in this list, and its own package.
LAYERS = [
    "seeding", "config", "data", "course", "layers", "networks", "dropout", "augmentation", "checkpoints",
    "stopping", "training", "graphs", "updates", "fleet", "arithmetic", "dispatch", "scan", "pruning", "measures",
    "locks", "store", "published",
    "studies", "progress", "jobs", "runner", "cost", "gathering", "resampling", "statistics", "partial",
    "reliability",
    "information", "environments", "tables", "descent", "claims", "reproduction", "comparison", "schema", "style",
    "figures", "figures_comparison", "figures_descent", "example", "curves", "transfer", "text", "text_descent",
    "sensitivity", "figures_overview", "session", "overview", "text_overview", "notebooks", "cli", "__main__",
]  # fmt: skip


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
        assert requirement.name in versions
        assert all(version in requirement.specifier for version in versions[requirement.name])


def test_conda_environment_follows_the_project() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    *conda, pip = environment["dependencies"]
    assert pip["pip"] == ["-r requirements.lock", "-e ."]
    (python,) = [item.removeprefix("python=") for item in conda if item.startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"{python}.0")


def test_this_python_is_supported() -> None:
    running = ".".join(map(str, sys.version_info[:3]))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(running)


def test_modules_use_only_those_below_them() -> None:
    package = ROOT / "lib" / "prunability"
    for path in package.rglob("*.py"):
        module = path.relative_to(package).parts[0].removesuffix(".py")
        if module == "__init__":
            continue
        below = set(LAYERS[: LAYERS.index(module) + 1])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prunability"):
                parts = (node.module or "").split(".")
                used = {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
                assert used <= below, f"{path.name} imports {used - below}"


def test_modules_stay_small() -> None:
    for path in (ROOT / "lib").rglob("*.py"):
        assert path.read_text().count("\n") <= 300, path


@pytest.mark.parametrize("profile", ["quick", "small"])
def test_committed_figures_are_of_one_making(profile: str) -> None:
    """One code behind every figure and verdict that is committed, and one set of records for each study."""
    folder = ROOT / "figures" / profile
    made = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    verdicts = [claim for content in made if "C1" in content for claim in content.values()]
    provenances = [content for content in made if "C1" not in content] + [v["provenance"] for v in verdicts]
    assert len(provenances) > len(verdicts) > 0
    for key in ("source", "versions"):
        assert len({json.dumps(provenance[key], sort_keys=True) for provenance in provenances}) == 1, key
    # The overview is of several studies and profiles.
    parts = [part for provenance in provenances for part in provenance.get("parts", [])]
    provenances = [provenance for provenance in provenances if "study" in provenance]
    provenances += [part for part in parts if part["study"]["profile"] == profile]
    studies = {provenance["study"]["name"] for provenance in provenances}
    assert studies == set(STUDIES)
    for study in studies:
        of_study = [provenance for provenance in provenances if provenance["study"]["name"] == study]
        for key in ("study", "records"):
            assert len({json.dumps(provenance[key], sort_keys=True) for provenance in of_study}) == 1, key
    overview = pd.read_csv(folder / "overview.csv")
    own = overview[overview["profile"] == profile].set_index("claim")["verdict"]
    assert own.to_dict() == {claim["claim"]: claim["verdict"] for claim in verdicts}
    moved = pd.read_csv(folder / "overview_sensitivity.csv").query("profile == @profile")
    for claim in verdicts:
        (base,) = moved.query("claim == @claim['claim'] and varied == 'as it is'")["verdict"]
        assert base == claim["verdict"]


def test_nothing_of_one_machine_is_committed() -> None:
    forbidden = re.compile(r"(/root[/]|/home[/][a-z]|/Users[/]|pypi[.]org|python" r"hosted|anaconda[.]org)")
    for path in tracked():
        if path.suffix not in (".png", ".pdf", ".parquet"):
            assert not forbidden.search(path.read_text(encoding="utf-8")), path


def test_the_readme_counts_right(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    networks = sum(len(open_study(study, "quick", "", 0, tmp_path).runs) for study in STUDIES)
    assert f"trains and measures {networks} small networks" in text
    of_correlation, of_descent = (
        find_profile(study, "small").n_train for study in ("correlation", "double-descent")
    )
    assert f"({of_correlation:,} of them for the correlation study" in text
    assert f"{of_descent:,} for double descent" in text
