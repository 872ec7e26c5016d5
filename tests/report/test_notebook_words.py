"""The notebooks' prose, and what they say of a table that lacks runs."""

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.display import Markdown

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records.record import Record
from prunability.records.tables import find, table_path, write
from prunability.report import notebooks, session
from prunability.studies.double_descent import PROFILES

NOTEBOOKS = list(notebooks.offered().values())


def said(name: str, **parameters: str) -> list[str]:
    """The Markdown that a notebook's code makes, its cells run here and not in a kernel."""
    (path,) = [path for path in NOTEBOOKS if path.stem == name]
    scope: dict[str, Any] = {}
    texts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            *body, last = ast.parse(cell.source).body
            ends = isinstance(last, ast.Expr)
            exec(compile(ast.Module(body if ends else [*body, last], []), cell.id, "exec"), scope)
            shown = eval(compile(ast.Expression(last.value), cell.id, "eval"), scope) if ends else None
            if isinstance(shown, Markdown):
                texts.append(str(shown.data))
        if "parameters" in cell.metadata.get("tags", []):
            scope |= parameters
    return texts


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_number_of_the_protocol_is_typed(path: Path) -> None:
    """Thresholds, tolerances, shares and numbers of resamples come from the code that uses them."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert not re.findall(r".*(?:\d[.,]\d|\d\s?%).*", cell.source), cell.id


def partial(keep: Callable[[Record], bool], root: Path) -> int:
    """Publish some runs of double descent below a folder; returns how many."""
    table = find(project_root() / "results", "double-descent", "quick")
    assert table is not None
    kept = tuple(record for record in table.records if keep(record))
    write(table_path(root / "results", "double-descent", "quick"), replace(table, records=kept))
    return len(kept)


@pytest.mark.parametrize("others", [False, True])
def test_double_descent_without_other_lengths_of_training(
    others: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = PROFILES["quick"].fixed

    def keep(record: Record) -> bool:
        config = record.config
        main = config.data.label_noise == fixed["label_noise"] and config.training.max_epochs == fixed["max_epochs"]
        whole = main and config.seed < 2 and config.network.width in (2, 6, 16, 32, 180)
        return whole or (others and not main and config.seed == 0)

    number = partial(keep, tmp_path)
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    texts = "\n".join(said("02_double_descent", runs_from="published", figures=str(tmp_path / "figures")))
    assert f"there are {number} networks" in texts
    assert ("No run of another length of training is here" in texts) != others
    assert (tmp_path / "figures" / "along_training.csv").exists() == others
    assert "**C3: insufficient n** on 10 networks of 5 widths" in texts


@pytest.mark.parametrize(
    ("name", "studies", "words"),
    [
        ("01_correlation_study", ["correlation"], "only 0 of "),
        ("05_flatness_and_margins", ["learning-curves"], "Too few settings reach the target loss at every size"),
        ("06_simplicity_bias", ["simplicity", "slabs"], "**B1: insufficient n** on 0 networks"),
        ("07_noise_and_instability", ["instability"], "No network reached the target loss."),
    ],
)
def test_a_notebook_whose_networks_miss_the_target_says_so(
    name: str, studies: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As networks do that are too small for somebody's images."""
    for study in studies:
        table = find(project_root() / "results", study, "quick")
        assert table is not None
        missed = tuple(
            replace(record, result=replace(record.result, status="not converged")) for record in table.records
        )
        write(table_path(tmp_path / "results", study, "quick"), replace(table, records=missed))
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    try:
        texts = said(name, runs_from="published", figures=str(tmp_path / "figures"))
    except PrunabilityError as error:  # nothing at all is left to be compared
        texts = [str(error)]
    assert words in "\n".join(texts)
