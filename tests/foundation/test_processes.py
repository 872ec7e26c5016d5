"""Parallel processes."""

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from joblib.externals.loky import process_executor

from prunability.foundation.processes import AGAIN, Killed, as_they_end

REPLACED = "A worker stopped while some jobs were given to the "


def after(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_what_ends_first_comes_first() -> None:
    assert list(as_they_end(after, [(2.0,), (0.0,)], 2)) == [(1, 0.0), (0, 2.0)]
    assert list(as_they_end(after, [(0.0,)], 8)) == [(0, 0.0)]


def test_a_process_that_is_replaced_is_no_news(recwarn: pytest.WarningsRecorder) -> None:
    """loky says so from a thread of its own, whenever it notices; other warnings come through."""
    assert REPLACED in inspect.getsource(process_executor)
    warnings.simplefilter("always")
    for _ in as_they_end(after, [(0.0,), (0.0,)], 2):
        for message in (REPLACED + "executor.", "another"):
            thread = threading.Thread(target=warnings.warn, args=(message, UserWarning))
            thread.start()
            thread.join()
    assert [str(warning.message) for warning in recwarn] == ["another"] * 2


def noted(folder: Path, what: str, deaths: int) -> str:
    """Leave a note of each try, and be killed so many times."""
    with (folder / what).open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    if len(tries(folder, what)) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return what


def tries(folder: Path, what: str) -> list[int]:
    return [int(line) for line in (folder / what).read_text().split()]


def test_a_kill_costs_its_own_job_only(tmp_path: Path) -> None:
    """It is tried again; a job that is killed each time has no result, and the others are done once."""
    names = {"always": AGAIN + 5, "twice": AGAIN, "never": 0, "neither": 0}
    results = dict(as_they_end(noted, [(tmp_path, name, deaths) for name, deaths in names.items()], 2))
    assert results == dict(enumerate([Killed(AGAIN + 1), "twice", "never", "neither"]))
    assert [len(tries(tmp_path, name)) for name in names] == [AGAIN + 1, AGAIN + 1, 1, 1]


def test_a_process_killed_while_idle_is_replaced() -> None:
    ((_, process),) = as_they_end(os.getpid, [()], 1)
    idle = psutil.Process(process)
    idle.kill()
    psutil.wait_procs([idle])
    ((_, other),) = as_they_end(os.getpid, [()], 1)
    assert other != process


def with_a_child(folder: Path) -> None:
    """Start a process and wait for ever."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / f"{os.getpid()}").write_text(f"{child.pid}")
    time.sleep(600)


def either(folder: Path, hang: bool) -> None:
    if hang:
        with_a_child(folder)


def processes_of(folder: Path, number: int) -> list[psutil.Process]:
    """The workers that :func:`with_a_child` noted, once there are so many, and their children."""
    deadline = time.monotonic() + 60
    while len(notes := [path for path in folder.iterdir() if path.read_text()]) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [psutil.Process(int(pid)) for path in notes for pid in (path.name, path.read_text())]


def test_what_is_in_work_ends_with_the_iterator(tmp_path: Path) -> None:
    with closing(as_they_end(either, [(tmp_path, True), (tmp_path, False)], 2)) as ended:
        next(ended)
        started = processes_of(tmp_path, 1)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from test_processes import *; "
    code += "list(as_they_end(either, [(Path(sys.argv[1]), True)] * 2, 2))"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)])
    started = processes_of(tmp_path, 2)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive


WRITER = """
import itertools, pathlib, tempfile
for number in itertools.count():
    folder = pathlib.Path(tempfile.gettempdir(), str(number % 50))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").touch()
"""


def with_a_writer(folder: Path) -> None:
    """Start a process that writes in the folder for temporary files all the time, as a kernel might."""
    child = subprocess.Popen([sys.executable, "-c", WRITER])
    (folder / f"{os.getpid()}").write_text(f"{child.pid}")
    time.sleep(600)


def test_the_folder_of_a_parent_that_is_killed_goes_though_it_is_written_in(tmp_path: Path) -> None:
    notes, temporary = tmp_path / "notes", tmp_path / "temporary"
    notes.mkdir()
    temporary.mkdir()
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from test_processes import *; "
    code += "list(as_they_end(with_a_writer, [(Path(sys.argv[1]),)] * 2, 2))"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(notes), str(Path(__file__).parent)],
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    started = processes_of(notes, 2)
    while not list(temporary.glob("*/*/file")):
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    psutil.wait_procs(started, timeout=30)
    deadline = time.monotonic() + 30
    while list(temporary.iterdir()):
        assert time.monotonic() < deadline, list(temporary.rglob("*"))
        time.sleep(0.05)


BLIND = """
import os, pathlib, sys, threading, time
import psutil
from prunability.foundation import processes
def fails(*_, **__): raise psutil.AccessDenied
psutil.Process.children = fails
folder = pathlib.Path(sys.argv[1], "own")
folder.mkdir()
processes._settle(0, str(folder))  # nobody's child: its parent is gone
time.sleep(600)
"""


def test_a_worker_that_cannot_see_its_children_ends_all_the_same(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BLIND, str(tmp_path)], stderr=subprocess.DEVNULL, timeout=120, check=False
    )
    assert (ended.returncode, list(tmp_path.iterdir())) == (1, [])


EARLY = """
import os, signal
from prunability.foundation import processes
processes._process()
print(processes._temporary(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_parent_killed_before_any_worker_began_leaves_no_folder(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", EARLY],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    assert shown.returncode == -signal.SIGKILL
    folder = Path(shown.stdout.strip())
    assert folder.parent == tmp_path
    deadline = time.monotonic() + 30
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
