"""The committed figures are what this code makes of the published tables: numbers, pages, provenance."""

import ast
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from nbformat import NotebookNode
from nbformat.v4 import new_output

from prunability.claims import CLAIMS, NEIGHBOURS
from prunability.foundation.execution import project_root
from prunability.foundation.typography import minus
from prunability.records.tables import read, table_path, write
from prunability.report import notebooks, session
from prunability.report.figures import style
from prunability.report.pages import page_of, section_of

# What git ignores: formats drawn on demand, locks.
HIDDEN = re.compile(r"^\.|\.(pdf|svg)$")
ROOT = project_root()
PROFILES = ["quick", "narrow", "small"]
# The notebooks of each profile of which any runs are published.
NAMES = {
    profile: [
        name
        for name, path in notebooks.known().items()
        if any(table_path(ROOT / "results", study, profile).exists() for study in notebooks.studies_of(path))
    ]
    for profile in PROFILES
}


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are made and not rendered, which takes most of the time."""
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda figure: None)
    monkeypatch.setattr(style, "_png", lambda figure: b"")


def executed(name: str, profile: str, folder: Path) -> NotebookNode:
    """A notebook with its outputs, executed here on the published runs; its numbers go to ``folder``."""
    notebook: NotebookNode = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    names: dict[str, Any] = {}
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        *statements, last = ast.parse(cell.source).body
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(ast.Module(statements, []), name, "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), name, "eval"), names)
                data, metadata = DisplayFormatter().format(value)
                cell.outputs = [new_output("execute_result", data, metadata=metadata, execution_count=1)]
            else:
                exec(compile(ast.Module([last], []), name, "exec"), names)
        if printed.getvalue():
            cell.outputs.insert(0, new_output("stream", text=printed.getvalue()))
        if "parameters" in cell.metadata.get("tags", []):
            names |= {"profile": profile, "runs_from": "published", "figures": str(folder)}
    return notebook


def undrawn(section: dict[str, Any]) -> dict[str, Any]:
    """A section of a manifest without what hangs on the installed libraries."""
    figures = {
        name: {key: value for key, value in entry.items() if key != "png"}
        for name, entry in section["figures"].items()
    }
    return {"runs": section["runs"], "figures": figures}


def stale(committed: Path, name: str, notebook: NotebookNode, made: Path) -> Iterator[str]:
    """What of a notebook's committed files is not what was made of it now."""
    section = json.loads((committed / "manifest.json").read_text())[name]
    if undrawn(section) != undrawn(section_of(notebook)):
        yield "manifest.json"
    if (committed / f"{name}.md").read_text() != page_of(notebook):
        yield f"{name}.md"
    for path in sorted(made.glob("*.csv")):
        if not (committed / path.name).exists() or (committed / path.name).read_bytes() != path.read_bytes():
            yield path.name
    if (made / "claims.json").exists():
        ours, theirs = (json.loads((folder / "claims.json").read_text()) for folder in (made, committed))
        # Files of numbers are rounded, claims are not: other processors may differ in their last digits.
        yield from (claim for claim in ours if rounded(ours[claim]) != rounded(theirs.get(claim)))


def rounded(content: object) -> object:
    return json.loads(json.dumps(content), parse_float=lambda number: f"{float(number):.10g}")


# The overview is of all profiles, whichever is first; that of one is recomputed, and the other compared with it.
@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize(
    ("profile", "name"),
    [
        (profile, name)
        for profile in PROFILES
        for name in NAMES[profile]
        if name != "00_overview" or profile == PROFILES[0]
    ],
)
def test_committed_figures_are_of_this_code(profile: str, name: str, tmp_path: Path) -> None:
    """Where it fails, and the change is meant: `make figures FROM=published`, and the same with PROFILE=small."""
    notebook = executed(name, profile, tmp_path)
    assert list(stale(ROOT / "figures" / profile, name, notebook, tmp_path)) == []


@pytest.mark.parametrize("figure", ["overview", "overview_sensitivity"])
def test_the_overview_is_the_same_in_all_profiles(figure: str) -> None:
    first, *others = ((ROOT / "figures" / name / f"{figure}.csv").read_text().splitlines() for name in PROFILES)
    for other in others:
        assert first[0] == other[0]
        assert sorted(first) == sorted(other)


@pytest.mark.usefixtures("_undrawn")
def test_another_table_and_an_edited_number_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run fewer; then one digit of a number."""
    name, results, made = "02_double_descent", tmp_path / "results", tmp_path / "made"
    committed = shutil.copytree(ROOT / "figures" / "small", tmp_path / "committed")
    source = table_path(ROOT / "results", "double-descent", "small")
    write(table_path(results, "double-descent", "small"), replace(table := read(source), records=table.records[1:]))
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    notebook = executed(name, "small", made)
    found = list(stale(committed, name, notebook, made))
    assert {"manifest.json", "02_double_descent.md", "double_descent.csv", "C3"} <= set(found)

    shutil.copytree(made, committed, dirs_exist_ok=True)
    (committed / "manifest.json").write_text(json.dumps({name: section_of(notebook)}))
    (committed / f"{name}.md").write_text(page_of(notebook))
    assert list(stale(committed, name, notebook, made)) == []
    edited = (committed / "label_noise.csv").read_text().splitlines(keepends=True)
    edited[-1] = edited[-1].replace("1", "2", 1)
    (committed / "label_noise.csv").write_text("".join(edited))
    assert list(stale(committed, name, notebook, made)) == ["label_noise.csv"]


@pytest.mark.parametrize("profile", PROFILES)
def test_committed_files_are_those_of_the_manifest(profile: str) -> None:
    """No file too many, none too few, none edited, and none from a table that is not in ``results/``."""
    folder = ROOT / "figures" / profile
    sections = json.loads((folder / "manifest.json").read_text())
    assert list(sections) == NAMES[profile]
    sums = {
        f"{figure}.{ending}": entry[ending]
        for section in sections.values()
        for figure, entry in section["figures"].items()
        for ending in ("png", "csv")
    }
    there = {path.name: path for path in folder.iterdir() if not HIDDEN.search(path.name) and path.is_file()}
    assert set(there) == {*sums, "manifest.json", "claims.json", *(f"{name}.md" for name in sections)}
    assert {name: sha256(there[name].read_bytes()).hexdigest() for name in sums} == sums
    for run in (run for section in sections.values() for run in section["runs"]):
        file = table_path(ROOT / "results", run["study"]["name"], run["study"]["profile"])
        assert run["table"] == sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*/*.parquet")), ids=lambda path: path.stem)
def test_images_are_named_by_what_they_are_and_not_by_where(path: Path) -> None:
    table = read(path)
    names = {table.origin.data.title, *(str(record.environment.get("data", "")) for record in table.records)}
    assert [name for name in names if "/" in name] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_numbers_of_prose_have_one_minus_sign(profile: str) -> None:
    for name in NAMES[profile]:
        page = (ROOT / "figures" / profile / f"{name}.md").read_text(encoding="utf-8")
        prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
        assert [line for line in prose.splitlines() if minus(line) != line] == [], name


@pytest.mark.parametrize("profile", PROFILES)
def test_the_overview_tells_the_verdicts_of_the_claims(profile: str) -> None:
    folder = ROOT / "figures" / profile
    claims = {claim: told["verdict"] for claim, told in json.loads((folder / "claims.json").read_text()).items()}
    tables = {key: table_path(ROOT / "results", claim.study, profile) for key, claim in CLAIMS.items()}
    assert set(claims) - set(NEIGHBOURS) == {key for key, table in tables.items() if table.exists()}
    claims = {claim: claims[claim] for claim in CLAIMS if claim in claims}
    shown = pd.read_csv(folder / "overview.csv").query("profile == @profile")
    assert dict(zip(shown["claim"], shown["verdict"], strict=True)) == claims
    moved = pd.read_csv(folder / "overview_sensitivity.csv").query("profile == @profile and varied == 'as it is'")
    assert dict(zip(moved["claim"], moved["verdict"], strict=True)) == claims
