"""Working on copies: nothing that is committed changes, and nothing that was done in a copy is lost."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from prunability.report import lab, notebooks
from prunability.report.session import PUBLISHING, Parameters


def test_copies_are_made_once_and_kept_with_what_was_done_in_them(tmp_path: Path) -> None:
    source, folder = tmp_path / "01_a.ipynb", tmp_path / "lab"
    source.write_text("first")
    assert lab.copies({"01_a": source}, folder) == []
    copy = folder / "01_a.ipynb"
    assert copy.read_text() == "first"
    copy.write_text("worked on")
    assert lab.copies({"01_a": source}, folder) == []
    assert copy.read_text() == "worked on"
    source.write_text("second")
    (said,) = lab.copies({"01_a": source}, folder)
    (kept,) = folder.glob("01_a_kept_*.ipynb")
    assert (copy.read_text(), kept.read_text()) == ("second", "worked on")
    assert kept.name in said
    copy.unlink()
    assert lab.copies({"01_a": source}, folder) == []
    assert copy.read_text() == "second"
    # One that nobody worked on is just replaced; one that was is kept, whichever names are taken.
    source.write_text("third")
    assert lab.copies({"01_a": source}, folder) == []
    for number, content in enumerate(("first", "second", "third")):
        copy.write_text(f"worked on {number}")
        source.write_text(content)
        lab.copies({"01_a": source}, folder)
    assert sorted(path.read_text() for path in folder.glob("*kept*")) == [
        "worked on", *(f"worked on {number}" for number in range(3)),
    ]  # fmt: skip


def test_there_is_a_copy_of_every_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = notebooks.offered()
    assert {*notebooks.known(), "explore"} == set(known)
    monkeypatch.setattr(lab, "project_root", lambda: tmp_path)
    folder, said = lab.prepare(known)
    assert said == []
    assert {path.stem for path in folder.glob("*.ipynb")} == set(known)


def test_who_opens_a_notebook_draws_beside_the_published_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PUBLISHING, raising=False)
    for profile in ("quick", "small"):
        mine = Parameters(profile=profile, runs_from="published")
        assert mine.folder.parts[-3:] == ("figures", "own", profile)
        assert mine.place(publishing=True).parts[-2:] == ("figures", profile)
        assert Parameters(profile=profile, runs_from="own").place(publishing=True) == mine.folder
    monkeypatch.setenv(PUBLISHING, "yes")
    assert mine.folder.parts[-2:] == ("figures", "small")


OPEN = "from prunability.report.session import open_session; open_session('correlation', {})"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (OPEN.format("profile='qick'"), "prunability: correlation has no profile 'qick'"),
        (OPEN.format("device='tpu'"), "prunability: device"),
        (OPEN.format("profile='smoke', data='folder:/nowhere'"), "prunability: data folder:/nowhere"),
        (OPEN.format("seed=-1"), "prunability: parameters: seed"),
        (
            "from prunability.report.session import Session\n"
            "import prunability.report.session as s\n"
            "def stop(*_): raise KeyboardInterrupt\n"
            "kept, s.gather = s.gather, stop\n"
            "try:\n    Session.complete(type('S', (), {'chosen': None, 'execution': None})())\n"
            "finally:\n    s.gather = kept",
            "prunability: interrupted. Finished runs are kept: run the cell again",
        ),
    ],
)
def test_a_mistake_in_a_cell_shows_one_line_and_no_frames(code: str, says: str) -> None:
    shell = InteractiveShell()
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        shell.run_cell(code)
    shown = [line for line in out.getvalue().splitlines() if line.strip()]
    assert len(shown) == 1, shown
    assert says in shown[0]
