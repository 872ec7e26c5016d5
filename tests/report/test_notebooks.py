import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill.exceptions import PapermillExecutionError
from papermill.translators import PythonTranslator
from PIL import Image
from typer.testing import CliRunner

from prunability.cli import app, seen
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records.tables import table_path
from prunability.report import notebooks, session
from prunability.report.kernel import own_kernel
from prunability.report.notebooks import studies_of
from prunability.report.session import Parameters
from prunability.studies import having

ROOT = project_root()
NOTEBOOKS = list(notebooks.known().values())

# Of prose and of what code says, tables included: a reader's patience.
MOST_WORDS = {
    "00_overview": 2100,
    "01_correlation_study": 2000,
    "02_double_descent": 1600,
    "03_mutual_information": 1900,
    "04_sparse_networks": 2100,
    "05_flatness_and_margins": 1700,
    "06_simplicity_bias": 1700,
    "07_noise_and_instability": 1700,
}


def words(notebook: nbformat.NotebookNode) -> int:
    """Everything between spaces that has a letter or a digit, code and figures aside."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    for output in (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs):
        shown = output.get("data", {})
        if "image/png" not in shown:
            texts.append(shown.get("text/markdown") or shown.get("text/plain") or output.get("text", ""))
    return sum(any(map(str.isalnum, word)) for text in texts for word in text.split())


def run(*arguments: str, module: str = "prunability", **settings: str) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-m", module, *arguments], os.environ | settings
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)


def home_of_a_tinkerer(home: Path) -> dict[str, str]:
    """The settings of a user whose startup file, style, formats and kernel would each spoil a figure."""
    kernels = ".local/share/jupyter/kernels"
    files = {
        ".ipython/profile_default/startup/00.py": "import numpy, torch\n"
        "torch.set_default_dtype(torch.float64)\nnumpy.seterr(all='raise')\n",
        ".ipython/profile_default/ipython_kernel_config.py": "c.InlineBackend.figure_formats = {'svg'}\n",
        ".config/matplotlib/matplotlibrc": "text.usetex: True\nfigure.facecolor: black\nno such key: 3\n",
        f"{kernels}/python3/kernel.json": '{"argv": ["false"], "display_name": "", "language": "x"}',
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return {"HOME": str(home), "MPLBACKEND": "nonsense"}


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sources_of(name: str) -> list[str]:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_source(path: Path) -> None:
    """No outputs, no definitions, short cells, and the parameters that the library validates."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert all(cell.source.count("\n") < 25 for cell in cells)
    for node in (node for cell in cells for node in ast.walk(ast.parse(cell.source))):
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.Try)
    (tagged,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    found = {}
    for line in tagged.source.splitlines():
        match = re.fullmatch(r"(\w+): (str|int) = (.+?)  # (.+)", line)
        assert match, f"no annotation or no comment: {line}"
        found[match[1]] = ast.literal_eval(match[3])
    assert found == Parameters().model_dump()


def saves(name: str) -> set[str]:
    """The figures that a notebook saves."""
    return set(re.findall(r'save\(\s*figure, "(\w+)"', "\n".join(sources_of(name))))


def fit_to_be_published(name: str, folder: Path, made: dict[str, str]) -> None:
    """Figures as the manifest has them, on the page and in the copy, which hold no place of this machine."""
    section = json.loads((folder / "manifest.json").read_text())[name]
    assert set(section["figures"]) == saves(name)
    for figure, entry in section["figures"].items():
        assert (made[f"{figure}.csv"], made[f"{figure}.png"]) == (entry["csv"], entry["png"])
    page = (folder / f"{name}.md").read_text()
    assert set(re.findall(r"^!\[.+\]\((\w+)\.png\)$", page, re.MULTILINE)) == saves(name)
    assert "data:image" not in page
    text = (folder / "notebooks" / f"{name}.ipynb").read_text()
    assert "figures with a space" not in page
    for place in (str(ROOT), str(Path.home()) + "/", sys.prefix):
        assert place not in text.replace(str(folder.parent), "")
        assert place not in page
    assert '"widgets"' not in text
    outputs = [out for cell in json.loads(text)["cells"] for out in cell.get("outputs", []) if "data" in out]
    pictures = [out for out in outputs if "image/png" in out["data"]]
    assert len(pictures) == len(saves(name))
    for picture in pictures:
        alt = picture["metadata"]["image/png"]["alt"]
        assert len(alt) > 20
        assert "".join(picture["data"]["text/html"]).startswith(f'<img alt="{escape(alt)}" src="data:image/png;')
    assert "papermill" not in json.loads(text)["metadata"]
    assert 100 < words(nbformat.reads(text, as_version=4)) < MOST_WORDS[name]


def test_all_are_executed_and_change_nothing_the_second_time(tmp_path: Path) -> None:
    """In one go, for what several notebooks need is trained once."""
    folder = tmp_path / "figures with a space"
    arguments = ["figures", "--profile", "smoke", "-p", f"figures={folder}", "-p", f"runs={tmp_path / 'runs'}"]
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "ERROR" not in first.stderr
    made, pages = checksums(folder), {path.name: path.read_text() for path in folder.glob("*.md")}
    for path in NOTEBOOKS:
        fit_to_be_published(path.stem, folder, made)
    again = run(*arguments, **home_of_a_tinkerer(tmp_path / "home"))
    assert again.returncode == 0, again.stderr
    for name, page in pages.items():
        assert (folder / name).read_text() == page
    assert checksums(folder) == made
    assert set(json.loads((folder / "manifest.json").read_text())) == {path.stem for path in NOTEBOOKS}
    found = {Path(file).stem for file in made if file.endswith((".png", ".csv"))}
    assert found == set[str]().union(*(saves(path.stem) for path in NOTEBOOKS))
    claims = json.loads((folder / "claims.json").read_text()).values()
    assert {claim["verdict"] for claim in claims} == {"insufficient n"}


def test_what_is_written_on_stderr_is_for_whoever_runs_it() -> None:
    """How it was split up is no matter either."""
    stream, show = partial(new_output, "stream"), new_output("display_data", {"text/plain": "shown"})
    outputs = [
        stream(name="stdout", text="one\n"),
        stream(name="stderr", text="slow\n"),
        stream(name="stdout", text="two\n"),
        show,
        stream(name="stdout", text="three\n"),
        stream(name="stderr", text="and late\nin lines"),
    ]
    notebook = new_notebook(cells=[new_markdown_cell("word"), new_code_cell("x", outputs=outputs)])
    assert notebooks.warned(notebook) == ["slow", "and late", "in lines"]
    kept = notebook.cells[1].outputs
    assert kept == [stream(name="stdout", text="one\ntwo\n"), show, stream(name="stdout", text="three\n")]
    assert notebooks.warned(notebook) == []


def test_a_kernel_knows_the_fonts(tmp_path: Path) -> None:
    """Else it looks for them, and on a busy machine says so in the notebook."""
    with own_kernel() as kernel:
        spec = kernel["kernel_manager_class"].kernel_spec
        code = "import logging; logging.basicConfig(level='INFO'); import matplotlib.font_manager"
        command = [sys.executable, "-c", code]
        imported = partial(subprocess.run, command, capture_output=True, text=True, check=True, cwd=tmp_path)
        told = imported(env=os.environ | spec.env).stderr
        for known in Path(spec.env["MPLCONFIGDIR"]).glob("fontlist*"):
            known.unlink()
        anew = imported(env=os.environ | spec.env).stderr
    assert "generated new fontManager" not in told
    assert "generated new fontManager" in anew


def test_what_papermill_only_warns_of_is_refused(tmp_path: Path) -> None:
    notebook = ROOT / "notebooks" / "02_double_descent.ipynb"
    folders = ["-p", "runs", str(tmp_path / "runs"), "-p", "figures", str(tmp_path / "figures")]
    result = run(str(notebook), str(tmp_path / "out.ipynb"), "-p", "profil", "smoke", *folders, module="papermill")
    assert result.returncode != 0
    assert "unknown parameter profil: allowed are profile, data" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]


def test_what_is_no_notebook_of_ours_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, good = tmp_path / "notebooks", "03_mutual_information.ipynb"
    shutil.copytree(ROOT / "notebooks", folder)
    text = (folder / good).read_text()
    others = {
        "Untitled.ipynb": text,
        "03_mutual_information-Copy1.ipynb": text,
        "04_empty.ipynb": "",
        "05_list.ipynb": "[]",
        "06_number.ipynb": "3",
        "07_none.ipynb": '{"metadata": {"prunability": null}}',
        "08_study.ipynb": text.replace('"correlation"', '"horoscope"'),
        "09_studies.ipynb": '{"metadata": {"prunability": {"studies": []}}}',
        "10_latin.ipynb": text + "\udce9",
    }
    for name, content in others.items():
        (folder / name).write_text(content, errors="surrogateescape")
    (folder / "11_folder.ipynb").mkdir()
    (folder / "12_gone.ipynb").symlink_to("nowhere")
    os.mkfifo(folder / "13_pipe.ipynb")
    monkeypatch.setattr(notebooks, "project_root", lambda: tmp_path)
    assert [path.name for path in notebooks.sources([], "smoke")] == [path.name for path in NOTEBOOKS]
    said = capsys.readouterr().err.splitlines()
    assert sorted(line.split(":")[1].strip() for line in said) == [
        *sorted([*others, "11_folder.ipynb", "12_gone.ipynb", "13_pipe.ipynb"])
    ]
    for name in ("Untitled", "03_mutual_information-Copy1"):
        with pytest.raises(PrunabilityError, match=f"unknown notebook {name}: there are 00_overview"):
            notebooks.sources([name], "smoke")
    assert notebooks.sources([good, good], "smoke") == [folder / good]


@pytest.mark.parametrize("folder", ["figures", r"back\slash", "$HOME", "é", 'quo"te', r"\1 \g<0>"])
def test_a_published_copy_holds_no_place_of_this_machine(folder: str) -> None:
    place = f"/some/where/{folder}"
    source = f"# Parameters\nfigures = {PythonTranslator.translate(place)}\n"
    told = nbformat.v4.new_output("stream", text=f"wrote {place}/x.png, {Path.home()}/y\n")
    cells = [nbformat.v4.new_code_cell(source, outputs=[told])]
    cleaned = notebooks.clean(nbformat.v4.new_notebook(cells=cells), [place])
    assert cleaned.cells[0].source == f"# Parameters\nfigures = {PythonTranslator.translate(folder)}\n"
    assert cleaned.cells[0].outputs[0].text == f"wrote {folder}/x.png, ~/y\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DeadKernelError("Kernel died"), "its kernel was killed .*the same command goes on"),
        (
            CellTimeoutError("What was shown did not come\nCell: x"),
            "What was shown did not come; the same command goes on",
        ),
        (RuntimeError("no answer in 300 seconds"), r"its kernel did not start \(no answer in 300 seconds\)"),
        (PapermillExecutionError(1, 2, "", "KeyError", "'width'", []), "KeyError: 'width'"),
    ],
)
def test_what_becomes_of_a_kernel_is_told_in_a_line(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(papermill, "execute_notebook", ends)
    with pytest.raises(PrunabilityError, match=rf"^{NOTEBOOKS[0].name}: {said}$") as refused:
        notebooks._execute(NOTEBOOKS[0], {}, tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_what_a_kernel_is_given_goes_when_its_driver_is_killed() -> None:
    program = (
        "import os, signal; from prunability.report.kernel import own_kernel\n"
        "with own_kernel() as kernel:\n"
        "    print(kernel['config']['KernelManager']['connection_file'], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    # What removes it holds the output open until it has.
    assert not Path(killed.stdout.strip()).parent.exists()


def test_data_too_small_for_one_study_ends_before_the_other_trains(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 150), ("test", 10)):
        for number in range(count):
            place = tmp_path / "images" / split / str(number % 2) / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(place)
    found = run(
        "figures",
        "--profile",
        "smoke",
        "-p",
        f"data=folder:{tmp_path / 'images'}",
        "-p",
        f"runs={tmp_path / 'runs'}",
        "-p",
        f"figures={tmp_path / 'figures'}",
        "--notebook",
        "02_double_descent",
        "--notebook",
        "01_correlation_study",
    )
    assert found.returncode == 2
    assert "trains on 200 images, but images has 150" in found.stderr
    assert not (tmp_path / "runs").exists()


def test_all_studies_that_need_a_gpu_are_named_at_once(tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    command = ["figures", "--profile", "paper", "-p", "device=cpu", "-p", f"figures={figures}"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    shown = {study for path in NOTEBOOKS for study in studies_of(path)}
    for study in having("paper", shown):
        assert f"prunability run {study} --profile paper" in result.stderr
    assert not figures.exists()


def test_a_notebook_of_which_nothing_is_published_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executed: list[Path] = []

    def none_ends(_: object, jobs: list[tuple[Path, object, object]], __: int) -> Iterator[tuple[int, Path]]:
        executed.extend(path for path, *_ in jobs)
        yield from ()

    monkeypatch.setattr(notebooks, "as_they_end", none_ends)
    values = {"profile": "quick", "runs_from": "published", "figures": str(tmp_path / "figures")}
    chosen = notebooks.sources(["02_double_descent", "03_mutual_information"], "quick")
    (tmp_path / "results" / "quick").mkdir(parents=True)
    shutil.copy(ROOT / "results" / "quick" / "double-descent.parquet", tmp_path / "results" / "quick")
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    notebooks.execute(chosen, values)
    assert [path.stem for path in executed] == ["02_double_descent"]
    assert "left out: 03_mutual_information.ipynb: nothing is published of it at quick" in capsys.readouterr().err
    with pytest.raises(PrunabilityError, match="correlation, quick: nothing is published"):
        notebooks.execute(chosen[1:], values)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["figures", "--profile", "huge"],
            "unknown profile 'huge': it must be one of smoke, quick, narrow, small, medium, paper",
        ),
        (["figures", "-p", "typo=3"], "unknown parameter typo: allowed are profile, data, seed, device"),
        (["figures", "-p", "seed=many"], "seed: Input should be a valid integer"),
        (["figures", "-p", "seed=-1"], "greater than or equal to 0"),
        (["figures", "-p", "formats=pdf,gif"], "gif is none of pdf, svg; name several as pdf,svg"),
        (["figures", "-p", "device=tpu"], "device: Input should be 'auto', 'cpu' or 'cuda'"),
        (["figures", "-p", "seed"], "must be NAME=VALUE"),
        (
            ["figures", "--notebook", "99_nothing"],
            "unknown notebook 99_nothing: there are 00_overview, 01",
        ),
        (["figures", "--profile", "smoke", "-p", "data=mnist"], "unknown data 'mnist'"),
        (["run", "nothing"], "unknown study 'nothing': it must be one of correlation"),
        (["run", "correlation", "--profile", "huge"], "correlation has no profile 'huge'"),
        (["run", "correlation", "--data", "folder:nowhere"], "there is no such folder or archive"),
    ],
)
def test_mistakes_end_at_once(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_status(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--profile", "smoke", "--runs", str(tmp_path)])
    assert result.exit_code == 0
    assert "0 of 6 runs trained" in result.stdout
    assert "6 missing" in result.stdout


def test_images_that_cannot_be_had_hide_no_published_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_downloaded(*_: object) -> None:
        raise PrunabilityError("cifar10 is damaged")

    monkeypatch.setattr(seen, "opened_here", half_downloaded)
    result = CliRunner().invoke(app, ["status", "--profile", "small"])
    assert result.exit_code == 2
    results = project_root() / "results"
    published = [study for study in having("small") if table_path(results, study, "small").exists()]
    assert re.findall(r"^([\w-]+), small: published table: ", result.stdout, re.MULTILINE) == published
    assert result.stderr == "prunability: cifar10 is damaged\n"


def test_only_figures_needs_jupyter() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['IPython', 'papermill', 'nbformat', 'ipykernel']));"
        "from prunability.cli import app; app(['status', '--profile', 'smoke'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_notebook_of_images_in_two_parts_is_left_out_of_those_on_others() -> None:
    chosen = notebooks.sources([], "smoke")
    (parts,) = [path for path in chosen if path.stem == "06_simplicity_bias"]
    for data in ("", "lms-3"):
        assert notebooks._fitting(chosen, "smoke", data) == chosen
    assert notebooks._fitting(chosen, "smoke", "digits") == [path for path in chosen if path != parts]
    # Asked for alone it is refused, by the study.
    assert notebooks._fitting([parts], "smoke", "digits") == [parts]
    # Where it is put to other images in two parts it shows nothing of LMS, and nothing is trained on it.
    assert notebooks._needed([parts], "smoke", "") == ["simplicity", "slabs"]
    assert notebooks._needed([parts], "smoke", "lms-3") == ["simplicity"]
