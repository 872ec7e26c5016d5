"""Working on copies: nothing that is committed changes, and nothing that was done in a copy is lost."""

import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from browser import BROWSER, opened
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


@pytest.fixture
def jupyterlab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab on a copy of the notebook to look around in, with no settings of a user."""
    shutil.copy(notebooks.offered()["explore"], tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--ServerApp.root_dir={tmp_path}", f"--ServerApp.port={port}", "--IdentityProvider.token="]
    options += ["--no-browser", "--allow-root", "--LabApp.expose_app_in_browser=True"]
    own = {name: str(tmp_path / "own") for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    command = [sys.executable, "-m", "jupyterlab", *options]
    server = subprocess.Popen(command, env=os.environ | own, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=60)


IMAGES = "[...document.querySelectorAll('.jp-Notebook img')]"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_in_jupyterlab_a_control_is_moved_and_its_picture_changes(jupyterlab: str, tmp_path: Path) -> None:
    with opened("about:blank", tmp_path / "chromium") as tab:
        tab.until(f"fetch('{jupyterlab}/api', {{mode: 'no-cors'}}).then(() => true, () => false)")
        tab.call("Page.navigate", url=f"{jupyterlab}/lab?reset")
        tab.until("window.jupyterapp?.restored.then(() => true)")
        opening = "jupyterapp.commands.execute('docmanager:open', {path: 'explore.ipynb'})"
        tab.ask(f"{opening}.then(shown => shown.context.sessionContext.ready)")
        assert tab.ask("jupyterapp.commands.execute('notebook:run-all-cells')")
        tab.until(f"{IMAGES}.length == 3")
        assert all(len(alt) > 20 for alt in tab.ask(f"{IMAGES}.map(image => image.alt)"))
        before = tab.ask(f"{IMAGES}.map(image => image.src)")
        tab.ask(
            "{const list = document.querySelector('.jp-Notebook .widget-dropdown select');"
            "list.selectedIndex = 9; list.dispatchEvent(new Event('change', {bubbles: true}))}"
        )
        tab.until(f"{IMAGES}.length == 3 && {IMAGES}[0].src != {before[0]!r}")
        assert tab.ask(f"{IMAGES}.map(image => image.src)")[1:] == before[1:]
