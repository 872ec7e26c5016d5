"""What stays of an executed notebook: its page, and its section of the manifest."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from prunability.report.figures.style import KEY
from prunability.report.pages import page_of, publish, section_of, undrawn

RUNS = {"study": {"name": "correlation"}, "records": "4b45"}


def executed(*names: str, table: str = "5811") -> NotebookNode:
    """A notebook that has drawn these figures from the runs of one table."""
    parameters = new_code_cell("profile = 'quick'", metadata={"tags": ["parameters"]})
    injected = new_code_cell("figures = '/somewhere'", metadata={"tags": ["injected-parameters"]})
    cells = [new_markdown_cell("# A title\n\nWith $x_1$."), parameters, injected]
    for name in names:
        said = {
            "figure": {name: {"alt": f"{name} [95 %]", "csv": table}},
            "versions": {"numpy": "2"},
            "runs": [RUNS],
        }
        shown = new_output("display_data", {"image/png": "iVBO"}, metadata={KEY: said})
        cells.append(new_code_cell(f"draw('{name}')", outputs=[new_output("stream", text="12 runs\n"), shown]))
    notebook: NotebookNode = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    return notebook


def drawn(folder: Path, *names: str) -> None:
    for name in names:
        for ending in ("png", "csv", "pdf"):
            (folder / f"{name}.{ending}").write_text(name)


def test_a_figure_that_is_saved_and_not_shown_is_missed() -> None:
    notebook = executed("a", "b")
    assert undrawn(notebook) == []
    sources = [
        'session.save(figure, "a", used)',
        'overview.save(\n    figure, "c", used)',
        '    _ = s.save(figure, "d")',
    ]
    notebook.cells += [new_code_cell(source) for source in sources]
    assert undrawn(notebook) == ["c"]


def test_a_page_links_to_the_files_beside_it() -> None:
    page = page_of(executed("one"))
    assert page == (
        "# A title\n\nWith $x_1$.\n\n```python\ndraw('one')\n```\n\n    12 runs\n\n![one (95 %)](one.png)\n"
    )


def test_a_section_names_its_runs_once() -> None:
    section = section_of(executed("one", "two"))
    assert section["runs"] == [RUNS]
    assert section["versions"] == {"numpy": "2"}
    assert list(section["figures"]) == ["one", "two"]


def test_a_notebook_renews_what_is_its_own(tmp_path: Path) -> None:
    known = ["01", "02"]
    drawn(tmp_path, "one", "two", "shared", "theirs", "notes")
    publish(executed("one", "two", "shared"), "01", tmp_path, known)
    publish(executed("shared", "theirs"), "02", tmp_path, known)
    publish(executed("one", table="new"), "01", tmp_path, known)
    sections = json.loads((tmp_path / "manifest.json").read_text())
    assert {name: list(section["figures"]) for name, section in sections.items()} == {
        "01": ["one"],
        "02": ["shared", "theirs"],
    }
    assert sections["01"]["figures"]["one"]["csv"] == "new"
    # What is drawn no more is gone; what another notebook draws, and what no notebook drew, is not.
    assert {path.stem for path in tmp_path.glob("*.p*")} == {"one", "shared", "theirs", "notes"}
    # Neither is a notebook that is no more.
    publish(executed("shared"), "03", tmp_path, ["01", "03"])
    assert set(json.loads((tmp_path / "manifest.json").read_text())) == {"01", "03"}
    assert {path.name for path in tmp_path.glob("*.md")} == {"01.md", "03.md"}
    assert {path.stem for path in tmp_path.glob("*.csv")} == {"one", "shared", "notes"}


@pytest.mark.parametrize("before", [None, "{", "{}"], ids=["none", "damaged", "empty"])
def test_notebooks_that_end_together_lose_nothing(before: str | None, tmp_path: Path) -> None:
    if before is not None:
        (tmp_path / "manifest.json").write_text(before)
    known = [f"{number:02}" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: publish(executed(f"of_{name}"), name, tmp_path, known), known))
    assert list(json.loads((tmp_path / "manifest.json").read_text())) == known
    assert not list(tmp_path.glob("*.partial"))
