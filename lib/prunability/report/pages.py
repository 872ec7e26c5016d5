"""What stays of an executed notebook: a page to read, and its section of the folder's manifest."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from nbconvert import MarkdownExporter
from nbformat import NotebookNode, from_dict
from traitlets.config import Config

from prunability.foundation.files import updated, write
from prunability.report.figures.style import FURTHER, KEY

# Parameters are not shown: they name places, and whether a PDF was asked for is no matter of the page.
KERNEL_ONLY = Config(
    {"TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": ["parameters", "injected-parameters"]}}
)

# A figure that a cell saves, unless it does so under a condition.
SAVED = re.compile(r'^\w+\.save\(\s*figure, "(\w+)"', re.MULTILINE)


def _figures(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """The outputs that are figures which the notebook has saved."""
    for cell in notebook.cells:
        yield from (output for output in cell.get("outputs", []) if KEY in output.get("metadata", {}))


def undrawn(notebook: NotebookNode) -> list[str]:
    """The figures that an executed notebook saves in any case and of which it has no output."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    drawn = {name for output in _figures(notebook) for name in output.metadata[KEY]["figure"]}
    return [name for source in cells for name in SAVED.findall(source) if name not in drawn]


def page_of(notebook: NotebookNode) -> str:
    """An executed notebook in Markdown, its figures the files beside it."""
    shown = from_dict(notebook)
    for output in _figures(shown):
        for name, entry in output.metadata[KEY]["figure"].items():
            alt = entry["alt"].replace("[", "(").replace("]", ")")
            output.data = {"text/markdown": f"![{alt}]({name}.png)"}
    text, _ = MarkdownExporter(config=KERNEL_ONLY).from_notebook_node(shown)
    return re.sub(r"\s*\n\s*\n+", "\n\n", str(text).strip()) + "\n"


def section_of(notebook: NotebookNode) -> dict[str, Any]:
    """What an executed notebook's figures are made with and from, and what each holds."""
    section: dict[str, Any] = {"versions": {}, "runs": [], "figures": {}}
    for made in (output.metadata[KEY] for output in _figures(notebook)):
        section["versions"] |= made["versions"]
        section["runs"] += [run for run in made["runs"] if run not in section["runs"]]
        section["figures"] |= made["figure"]
    return section


def publish(notebook: NotebookNode, name: str, folder: Path, known: Collection[str]) -> Path:
    """Write the page and renew the notebook's section of ``manifest.json``; returns the page.

    Figures that it drew before and draws no more go, as do page, section and figures of a notebook that is not
    ``known`` any more.
    """
    page = folder / f"{name}.md"
    write(page, page_of(notebook))
    with updated(folder / "manifest.json") as sections:
        before = {figure for section in sections.values() for figure in section["figures"]}
        for gone in set(sections) - set(known):
            del sections[gone]
            (folder / f"{gone}.md").unlink(missing_ok=True)
        sections[name] = section_of(notebook)
        now = {figure for section in sections.values() for figure in section["figures"]}
        for figure in before - now:
            for ending in ("png", "csv", *FURTHER):
                (folder / f"{figure}.{ending}").unlink(missing_ok=True)
    return page
