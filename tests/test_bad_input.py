"""What a user can get wrong: a line that says what is wrong and what is allowed, no work begun, nothing written."""

import math
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from prunability.analysis import information, partial, ranks, reliability, resampling, sign_errors, tables
from prunability.analysis.resampling import Sample
from prunability.cli import app
from prunability.data.images import DataFacts, ImageSet
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.records.store import RunStore
from prunability.report import session
from prunability.report.session import open_session
from prunability.studies import STUDIES, open_study
from prunability.studies.grid import Profile, expand

RESULTS = project_root() / "results"
LONG, NOBODY, SMOKE = "a" * 300, "~nobody-of-this-name/runs", ["--profile", "smoke"]
# What a path can be that is none, and what is said of it.
PLACES = {
    NOBODY: "home directory",
    LONG: "File name too long",
    f"{LONG}/below": "File name too long",
    "a\0b": "null byte",
    "caf\udce9": "not UTF-8",
}
RUN = ["run", "correlation", *SMOKE]
TIMES = ["", "9", "m", "-3s", "0s", "0.0h", "9 minutes", "9m2s", "1e3s", "infs", "nan", "٣s"]

# Arguments, of which {0} is the current folder, and what is said.
COMMANDS: list[tuple[list[str], str]] = [
    (["train"], "No such command 'train'"),
    (["run"], "Missing argument 'study'"),
    (["run", "nothing"], "unknown study 'nothing': it must be one of correlation"),
    (["run", ""], "unknown study ''"),
    (["run", "correlation", "too"], "unexpected extra argument"),
    (["run", "correlation", "--profile", "huge"], "correlation has no profile 'huge': it must be one of smoke"),
    (["run", "correlation", "--profile", ""], "no profile ''"),
    (["run", "double-descent", "--profile", "narrow"], "no profile 'narrow': it must be one of smoke"),
    ([*RUN, "--epochs", "3"], "No such option"),
    ([*RUN, "--data", "mnist"], "unknown data 'mnist': it must be digits, cifar10, digit-pairs, lms-K"),
    ([*RUN, "--data", "folder:"], "unknown data 'folder:'"),
    ([*RUN, "--data", "folder:{0}/nowhere"], "no such folder or archive"),
    ([*RUN, "--seed", "-1"], "'--seed'"),
    ([*RUN, "--seed", "many"], "'--seed'"),
    ([*RUN, "--seed", "1.5"], "'--seed'"),
    ([*RUN, "--seed", str(2**63)], "seed: Input should be less than"),
    (["run", "double-descent", *SMOKE, "--seed", str(2**62)], "seed: Input should be less than"),
    ([*RUN, "--device", "tpu"], "device: Input should be 'auto', 'cpu' or 'cuda'"),
    ([*RUN, "--device", ""], "device: Input should be 'auto', 'cpu' or 'cuda'"),
    ([*RUN, "--device", "cuda"], 'no GPU is available here; use "cpu" or "auto"'),
    ([*RUN, "--workers", "-1"], "'--workers'"),
    ([*RUN, "--workers", "two"], "'--workers'"),
    ([*RUN, "--runs", "{0}/file"], "Not a directory"),
    ([*RUN, "--runs", "{0}/file/below"], "Not a directory"),
    *(([*RUN, "--time-limit", time], "such as 90s, 9m or 2h") for time in TIMES),
    *(([*RUN, "--runs", place], said) for place, said in PLACES.items()),
    *(([*RUN, "--data", f"folder:{place}"], said) for place, said in PLACES.items()),
    (["status", "nothing"], "unknown study 'nothing'"),
    (["status", "--profile", "huge"], "no profile 'huge'"),
    (["status", *SMOKE, "--seed", "-1"], "'--seed'"),
    (["status", *SMOKE, "--runs", NOBODY], "home directory"),
    (["status", *SMOKE, "--data", "mnist"], "unknown data 'mnist'"),
    (["compare", "nothing"], "unknown study 'nothing'"),
    (["compare", "--profile", "huge"], "no profile 'huge'"),
    (["compare", *SMOKE], "nothing is published"),
    (["compare", "correlation", "--profile", "small"], "name your images (--data)"),
    (["export"], "Missing argument 'study'"),
    (["export", "nothing"], "unknown study 'nothing'"),
    (["export", "correlation", *SMOKE], "no run is finished"),
    (["export", "correlation", *SMOKE, "--records", "{0}"], "name"),
    (["export", "correlation", *SMOKE, "--records", "/dev/null"], "not a regular file|no regular file"),
    (["export", "correlation", *SMOKE, "--records", NOBODY], "home directory"),
    (["export", "correlation", *SMOKE, "--records", LONG], "File name too long"),
    (["import"], "Missing argument 'file'"),
    (["import", "{0}/nowhere"], "no such file"),
    (["import", "{0}"], "it is a folder"),
    (["import", "{0}/file"], "cannot be read as a table|no whole table|not a whole table"),
    (["import", "/dev/null"], "cannot be read as a table"),
    *((["import", place], said) for place, said in PLACES.items()),
    (["images"], "Missing argument 'source'"),
    (["images", ""], "unknown data ''"),
    (["images", "{0}"], "it must be digits, cifar10, digit-pairs, lms-K"),
    (["images", "folder:{0}/file"], "not a folder, nor a whole tar archive"),
    (["site", NOBODY], "home directory"),
    (["figures", "--profile", "smoke", "-p", "profile=small"], "smoke and -p profile=small: give one of them"),
    (["figures", "--profile", "quick", "-p", "profile=small"], "quick and -p profile=small: give one of them"),
    (["figures", "--profile", "huge"], "unknown profile 'huge': it must be one of smoke"),
    (["figures", "--notebook", "99_nothing"], "unknown notebook 99_nothing: there are 00_overview"),
    (["figures", "--notebook", ""], "unknown notebook"),
    (["figures", "--notebook", "03_mutual_information", "--profile", "none"], "no profile 'none'"),
    (["figures", "--workers", "-1"], "'--workers'"),
]
# Of parameters, as the command line gives them.
PAIRS: list[tuple[list[str], str]] = [
    (["typo=3"], "unknown parameter typo: allowed are profile, data, seed, device"),
    (["=3"], "unknown parameter"),
    (["seed"], "must be NAME=VALUE"),
    (["seed=1", "seed=2"], "parameter seed: it is given twice"),
    (["seed=many"], "seed: Input should be a valid integer"),
    (["seed=-1"], "greater than or equal to 0"),
    (["seed=٣"], "seed: Input should be a valid integer"),
    (["seed=nan"], "seed: Input should be a valid integer"),
    (["profile=huge"], "unknown profile 'huge'"),
    (["device=tpu"], "device: Input should be 'auto', 'cpu' or 'cuda'"),
    (["formats=pdf,gif"], "gif is none of pdf, svg; name several as pdf,svg"),
    (["formats=PDF"], "PDF is none of pdf, svg"),
    (["formats=pdf svg"], "name several as pdf,svg"),
    (["data=mnist"], "unknown data 'mnist'"),
    (["runs_from=mine"], "'mine' must be own, published, or empty"),
    (["runs_from=published"], "nothing is published"),
    (["runs_from=published", "profile=quick", "data=digits"], "goes with one's own runs"),
    (["runs_from=published", "profile=quick", "seed=3"], "seed=3 goes with one's own runs"),
    (["figures={0}/file"], "cannot write in"),
    (["figures=/proc/nothing"], "cannot write in"),
    (["runs={0}/file"], "Not a directory"),
    *(([f"figures={place}"], said) for place, said in PLACES.items()),
]
# Of parameters, as papermill and Jupyter give them.
PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"profil": "smoke"}, "unknown parameter profil: allowed are profile, data"),
    ({"profile": 3}, "profile: Input should be a valid string"),
    ({"profile": None}, "profile: Input should be a valid string"),
    ({"profile": "Smoke"}, "no profile 'Smoke'"),
    ({"data": 1}, "data: Input should be a valid string"),
    ({"data": "digit"}, "unknown data 'digit'"),
    ({"seed": "0"}, "seed: Input should be a valid integer"),
    ({"seed": 1.0}, "seed: Input should be a valid integer"),
    ({"seed": True}, "seed: Input should be a valid integer"),
    ({"seed": math.nan}, "seed: Input should be"),
    ({"seed": -1}, "greater than or equal to 0"),
    ({"seed": 2**63}, "less than"),
    ({"device": None}, "device: Input should be a valid string"),
    ({"device": "CPU"}, "'auto', 'cpu' or 'cuda'"),
    ({"figures": 3}, "figures: Input should be a valid string"),
    ({"figures": NOBODY}, "home directory"),
    ({"runs": ["a"]}, "runs: Input should be a valid string"),
    ({"runs": LONG}, "File name too long"),
    ({"runs_from": "here"}, "must be own, published, or empty"),
    ({"formats": "png"}, "png is none of pdf, svg"),
    ({"formats": ["pdf"]}, "formats: Input should be a valid string"),
]
# What a study may not ask of a run: the grid of a network-in-network, and what is changed in it.
CONFIGURATIONS: list[tuple[dict[str, Any], str]] = [
    ({"widht": 8}, "widht: Extra inputs are not permitted"),
    ({"kind": "vgg"}, "kind 'vgg': it must be one of nin, mlp"),
    ({"kind": "mlp"}, "depth: Extra inputs are not permitted"),
    ({"width": 0}, "width: Input should be greater than or equal to 1"),
    ({"width": "8"}, "width: Input should be a valid integer"),
    ({"width": 8.5}, "width: Input should be a valid integer"),
    ({"depth": None}, "depth: Input should be a valid integer"),
    ({"dropout": 1.0}, "dropout: Input should be less than 1"),
    ({"learning_rate": 0.0}, "learning_rate: Input should be greater than 0"),
    ({"learning_rate": math.nan}, "learning_rate: Input should be"),
    ({"learning_rate": math.inf}, "learning_rate: Input should be a finite number"),
    ({"batch_size": 1}, "batch_size: Input should be greater than or equal to 2"),
    ({"batch_size": 101}, "batch_size 101 exceeds n_train 100"),
    ({"weight_decay": -1e-4}, "weight_decay: Input should be greater than or equal to 0"),
    ({"momentum": 1.0}, "momentum: Input should be less than 1"),
    ({"target_loss": 0.0}, "target_loss: Input should be greater than 0"),
    ({"stop_at_target": "no"}, "stop_at_target: Input should be a valid boolean"),
    ({"max_epochs": 0}, "max_epochs: Input should be greater than or equal to 1"),
    ({"precision": "float16"}, "precision: Input should be 'float32', 'bfloat16' or 'float64'"),
    ({"optimiser": "adagrad"}, "optimiser: Input should be 'sgd' or 'adam'"),
    ({"label_noise": 1.5}, "label_noise: Input should be less than or equal to 1"),
    ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
]
ROWS: list[Any] = [[1.0], [2.0], [3.0]]
THREE, TWO, GAP = [1.0, 2.0, 3.0], [1.0, 2.0], [1.0, math.nan, 3.0]
SETTINGS, NONE = Sample((0, 1, 2), 0), Sample((), 0)
UNLIKE, GONE, NO_RUNS = "3 and 2 runs", "not finite", "there are no runs"
# What no statistic is of. Where one is undefined, as of a single run, it is NaN or said to be undefined instead.
STATISTICS: list[tuple[Callable[[], object], str]] = [
    (lambda: ranks.kendall_tau(THREE, TWO), UNLIKE),
    (lambda: ranks.kendall_tau(GAP, THREE), GONE),
    (lambda: ranks.tau_estimate(THREE, TWO, SETTINGS), UNLIKE),
    (lambda: ranks.tau_estimate(THREE, THREE, Sample((0, 1), 0)), UNLIKE),
    (lambda: ranks.tau_estimate([], [], NONE), NO_RUNS),
    (lambda: ranks.tau_difference(THREE, TWO, THREE, SETTINGS), UNLIKE),
    (lambda: ranks.tau_difference(THREE, THREE, GAP, SETTINGS), GONE),
    (lambda: ranks.tau_between(THREE, TWO, SETTINGS), UNLIKE),
    (lambda: ranks.tau_between([], [], NONE), NO_RUNS),
    (lambda: ranks.tau_within(THREE, TWO, SETTINGS), UNLIKE),
    (lambda: ranks.tau_within([], [], NONE), NO_RUNS),
    (lambda: ranks.granulated_taus([THREE], TWO, ROWS, ["width"]), UNLIKE),
    (lambda: ranks.granulated_taus([THREE], THREE, ROWS[:2], ["width"]), UNLIKE),
    (lambda: ranks.granulated_taus([GAP], THREE, ROWS, ["width"]), GONE),
    (lambda: ranks.adjusted_r2([THREE], TWO), UNLIKE),
    (lambda: ranks.adjusted_r2([GAP], THREE), GONE),
    (lambda: information.conditional_information([THREE], TWO, ROWS, ["width"]), UNLIKE),
    (lambda: information.conditional_information([THREE], GAP, ROWS, ["width"]), GONE),
    (lambda: information.pair_information([THREE, GAP]), GONE),
    (lambda: partial.partial_estimates(THREE, THREE, [TWO], [[0]], SETTINGS), UNLIKE),
    (lambda: partial.normal_score_partial(THREE, GAP, [THREE]), GONE),
    (lambda: sign_errors.sign_errors([THREE], TWO, ROWS, ["width"], 10), UNLIKE),
    (lambda: sign_errors.sign_errors([GAP], THREE, ROWS, ["width"], 10), GONE),
    (lambda: reliability.share_between_settings(THREE, [0, 1]), UNLIKE),
    (lambda: reliability.tau_of_two_trainings(THREE, [0, 0, 1], [0, 1]), UNLIKE),
    (lambda: tables.runs_table([]), "no run is finished"),
]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of its own with the published tables, in which all is done, and no GPU."""
    (tmp_path / "results").symlink_to(RESULTS)
    (tmp_path / "file").write_text("no folder, no table, no archive")
    monkeypatch.setattr(session, "project_root", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)


def tree(folder: Path) -> dict[Path, tuple[int, int]]:
    """Everything below a folder, with size and time of change."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def refused(arguments: list[str], said: str, folder: Path) -> None:
    """The command ends with one line, or as the parser of commands has it, and leaves everything as it was."""
    before = tree(folder)
    result = CliRunner().invoke(app, [part.replace("{0}", str(folder)) for part in arguments])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    words = " ".join(result.stderr.replace("│", " ").split())
    assert re.search(re.escape(said).replace(r"\|", "|"), words), words
    assert "Traceback" not in words
    if "Usage" not in words:
        assert result.stderr.startswith("prunability: ")
        assert len(max(result.stderr.splitlines(), key=len)) < 1000
        # Several notebooks are of several studies, each of which has its line.
        assert 1 <= len(result.stderr.splitlines()) <= (len(STUDIES) if arguments[0] == "figures" else 1)
    assert tree(folder) == before


@pytest.mark.parametrize(("arguments", "said"), COMMANDS, ids=lambda value: ascii(value)[:60])
def test_commands(arguments: list[str], said: str, tmp_path: Path) -> None:
    refused(arguments, said, tmp_path)


@pytest.mark.parametrize(("pairs", "said"), PAIRS, ids=lambda value: ascii(value)[:60])
def test_parameters_of_the_command_line(pairs: list[str], said: str, tmp_path: Path) -> None:
    named = [part for pair in pairs for part in ("-p", pair)]
    refused(["figures", *([] if "profile" in str(pairs) else SMOKE), *named], said, tmp_path)


@pytest.mark.parametrize(("values", "said"), PARAMETERS, ids=lambda value: ascii(value)[:60])
def test_parameters_of_a_notebook(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    before = tree(tmp_path)
    with pytest.raises(PrunabilityError, match=re.escape(said)) as found:
        open_session("correlation", **{"profile": "smoke", **values})
    assert len(str(found.value).splitlines()) == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("change", "said"), CONFIGURATIONS, ids=lambda value: ascii(value)[:60])
def test_configurations(change: dict[str, Any], said: str, digits: ImageSet) -> None:
    settings = {"width": 8, "depth": 2, "learning_rate": 0.1, "batch_size": 20} | change
    profile = Profile(
        data="digits", n_train=100, grid={name: [value] for name, value in settings.items()}, fixed={}
    )
    if "kind" in change:
        profile = replace(profile, grid={"width": [8], "depth": [2]}, fixed=change)
    with pytest.raises(PrunabilityError, match=re.escape(said)) as found:
        expand("mine", "odd", profile, "digits", digits.facts, 0)
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize("grid", [{"width": []}, {"width": [8], "seed": []}])
def test_a_grid_without_a_run(grid: dict[str, list[int]], digits: ImageSet) -> None:
    with pytest.raises(PrunabilityError, match="no run"):
        expand("mine", "odd", Profile("digits", grid, {"kind": "mlp"}), "digits", digits.facts, 0)


def test_too_few_images() -> None:
    facts = DataFacts("few", "0" * 64, 2, 50, 10, (1, 8, 8))
    with pytest.raises(PrunabilityError, match="trains on 100 images, but few has 50"):
        expand("mine", "odd", Profile("few", {"width": [8]}, {}, n_train=100), None, facts, 0)


def images(folder: Path) -> Path:
    """Two classes of grey images, two each for training and one for testing."""
    for split, name, number in (
        ("train", "a", 0),
        ("train", "a", 1),
        ("train", "b", 0),
        ("test", "a", 0),
        ("test", "b", 0),
    ):
        place = folder / split / name / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 40 * number, dtype=np.uint8)).save(place)
    return folder


def gone(folder: Path, *parts: str) -> None:
    for part in parts:
        shutil.rmtree(folder / part)


def painted(name: str, image: Image.Image) -> Callable[[Path], None]:
    return lambda folder: image.save(folder / name)


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no test": (lambda folder: gone(folder, "test"), "test"),
    "no train": (lambda folder: gone(folder, "train"), "train"),
    "nothing": (lambda folder: gone(folder, "train", "test"), "train"),
    "one class": (lambda folder: gone(folder, "test/b", "train/b"), "two classes"),
    "a class in test only": (lambda folder: gone(folder, "train/b"), "b"),
    "another size": (painted("train/a/1.png", Image.new("L", (5, 4))), "size"),
    "in colour": (painted("train/a/1.png", Image.new("RGB", (4, 4))), "colour"),
    "16 bits": (painted("train/a/1.png", Image.fromarray(np.full((4, 4), 4000, np.uint16))), "1.png"),
    "text": (written("train/a/1.png", b"no image"), "1.png"),
    "empty": (written("train/a/1.png", b""), "1.png"),
    "half": (written("train/a/1.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x04"), "1.png"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_images(name: str, tmp_path: Path) -> None:
    change, said = FOLDERS[name]
    change(images(tmp_path / "pictures"))
    refused(["images", f"folder:{tmp_path / 'pictures'}"], said, tmp_path)


def packed(folder: Path, *roots: str) -> bytes:
    with tarfile.open(folder / "packed.tar.xz", "w:xz") as archive:
        for root in roots:
            archive.add(images(folder / "pictures"), root)
    return (folder / "packed.tar.xz").read_bytes()


ARCHIVES: dict[str, Callable[[Path], bytes]] = {
    "empty file": lambda _: b"",
    "no member": packed,
    "a byte of zeros": lambda _: bytes(1),
    "two roots": lambda folder: packed(folder, "x", "y"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_of_images(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.tar").write_bytes(ARCHIVES[name](tmp_path))
    refused(["images", f"folder:{tmp_path / 'mine.tar'}"], "mine.tar", tmp_path)


RECORDS = [
    b"",
    b"{",
    b"[]",
    b"3",
    b"null",
    b"{}",
    b'{"checksum": 3}',
    b'{"checksum": "0", "a": NaN}',
    b"caf\xe9",
    None,
]


@pytest.mark.parametrize("content", RECORDS)
def test_records_of_a_store(content: bytes | None, tmp_path: Path) -> None:
    """A damaged record is named by each command that needs it, and left as it is."""
    path = RunStore(tmp_path / "runs").path(open_study("correlation", "smoke", "", 0, tmp_path).runs[0])
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    refused(["status", "correlation", *SMOKE], path.name, tmp_path)
    refused(["export", "correlation", *SMOKE], path.name, tmp_path)


def published(edit: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    """A published table, edited."""
    return lambda path: parquet.write_table(
        edit(parquet.read_table(RESULTS / "narrow" / "correlation.parquet")), path
    )


def meta(content: bytes) -> Callable[[Path], object]:
    return published(lambda table: table.replace_schema_metadata({b"prunability": content}))


TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read|whole table"),
    "text": (lambda path: path.write_text("run,loss"), "cannot be read|whole table"),
    "of something else": (lambda path: pd.DataFrame({"a": [1]}).to_parquet(path), "it does not say which study"),
    "origin is no JSON": (meta(b"{"), "whole table"),
    "origin is empty": (meta(b"{}"), "whole table"),
    "cut": (
        lambda path: path.write_bytes((RESULTS / "quick" / "correlation.parquet").read_bytes()[:-9]),
        "mine.parquet",
    ),
    "no weights": (published(lambda table: table.drop_columns(["weights"])), "weights"),
    "no checksum": (published(lambda table: table.drop_columns(["checksum"])), "checksum"),
    "an edited loss": (
        published(
            lambda table: table.set_column(
                table.schema.get_field_index("result.test_loss"), "result.test_loss", [pa.array([0.5] * len(table))]
            )
        ),
        "checksum",
    ),
    "of an earlier version": (
        lambda path: path.write_bytes((RESULTS / "small" / "correlation.parquet").read_bytes()),
        "are of version 2",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, tmp_path: Path) -> None:
    make, said = TABLES[name]
    make(tmp_path / "mine.parquet")
    refused(["import", str(tmp_path / "mine.parquet")], said, tmp_path)


@pytest.mark.parametrize(("statistic", "said"), STATISTICS)
def test_statistics(statistic: Callable[[], object], said: str) -> None:
    with pytest.raises((ValueError, PrunabilityError), match=said) as found:
        statistic()
    assert len(str(found.value).splitlines()) == 1


def test_what_is_undefined_of_one_run_is_said_to_be() -> None:
    one = Sample((0,), 0)
    assert str(ranks.tau_estimate([1.0], [2.0], one)) == str(ranks.tau_within([1.0], [2.0], one)) == "undefined"
    assert str(ranks.tau_between([1.0], [2.0], one)) == "undefined"
    assert math.isnan(ranks.kendall_tau([], [])) and math.isnan(ranks.adjusted_r2([[1.0]], [2.0]))
    assert np.isnan(resampling.interval([[math.nan], [math.nan]])).all()


# As in a container whose user has no name: there is no home.
HOMELESS = "import os, pwd; os.environ.pop('HOME', None); pwd.getpwuid = {}.__getitem__; "


@pytest.mark.parametrize(
    ("arguments", "before", "said"),
    [
        (["status", *SMOKE, "--runs", "~/runs"], HOMELESS, "home directory"),
        (["figures", *SMOKE], HOMELESS, "set HOME to a folder"),
        (["images", "digits"], "import os; os.environ['MPLBACKEND'] = 'nonsense'; ", ""),
    ],
)
def test_commands_in_odd_surroundings(arguments: list[str], before: str, said: str, tmp_path: Path) -> None:
    program = f"{before}from prunability.cli import app; app({arguments})"
    made, settings = tree(tmp_path), {"MPLCONFIGDIR": str(tmp_path.parent)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | settings)
    assert done.returncode == (2 if said else 0), done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)
    assert tree(tmp_path) == made
