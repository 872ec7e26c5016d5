"""Kill sweeps at random moments and see what is left: ``python tests/kills.py [ROUNDS] [SEED]``.

In turn a worker, the driver, a worker of a dask cluster, and a notebook's kernel or its driver are killed (SIGKILL)
while the smoke profile is made. The same command then goes on, where it did not by itself. Afterwards every run is
there once, the table is that of an undisturbed sweep, and nothing is left over: no file in the store or in the
folder for temporary files, no process.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from prunability.foundation.execution import Execution
from prunability.records.record import Record
from prunability.records.runner import survey
from prunability.studies import open_study

# What every process of a round has in its environment.
MARK = "PRUNABILITY_KILLS"
# Seconds: the longest a command takes, the longest an orphan lives, and the latest a kill comes at first.
LONGEST, ORPHAN, LATEST = 600.0, 15.0, 25.0
# Sweeps that may end before the kill came; the next one's comes in half the time.
TRIES = 5


def said_by(process: psutil.Process, words: str) -> bool:
    """Whether a process's command has the words, as far as can be seen: processes come and go meanwhile."""
    with suppress(psutil.Error):
        return words in " ".join(process.cmdline())
    return False


class Round:
    """One sweep in a store and a folder of its own, to be disturbed."""

    def __init__(self, folder: Path, draw: random.Random, latest: float = LATEST) -> None:
        self.latest = latest
        self.runs, self.temporary, self.draw, self.mark = folder / "runs", folder / "tmp", draw, uuid.uuid4().hex
        self.temporary.mkdir(parents=True)
        places = {"TMPDIR": self.temporary, "JUPYTER_RUNTIME_DIR": folder / "jupyter"}
        self.environment = os.environ | {MARK: self.mark} | {name: str(place) for name, place in places.items()}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of the library; ``{runs}`` in it stands for the store."""
        command = [argument.format(runs=self.runs, figures=self.runs.parent / "figures") for argument in arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "prunability", *command],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str], *allowed: int) -> None:
        """Wait for a command's end: it must have an exit status that is allowed, and no traceback."""
        _, errors = process.communicate(timeout=LONGEST)
        assert process.returncode in allowed, f"status {process.returncode}: {errors}"
        assert "Traceback" not in errors, errors

    def alive(self, words: str = "") -> list[psutil.Process]:
        """The processes of this round that live, those whose command has the words."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if mine and said_by(process, words):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self, victims: Callable[[], list[psutil.Process]], command: subprocess.Popen[str]) -> bool:
        """Kill one of the victims at a random moment after there is one; False where the command ended before."""
        while not victims() and command.poll() is None:
            time.sleep(0.1)
        time.sleep(self.latest * self.draw.random() ** 2)
        while not (found := victims()) and command.poll() is None:
            time.sleep(0.1)
        if found:
            self.draw.choice(found).kill()
        return bool(found)

    def gone(self) -> None:
        """No process of this round lives, after a moment."""
        deadline = time.monotonic() + ORPHAN
        while self.alive():
            assert time.monotonic() < deadline, self.alive()
            time.sleep(0.1)


SWEEP = ("run", "correlation", "-P", "smoke", "--runs", "{runs}", "--device", "cpu")
NOTEBOOK = ("--notebook", "01_correlation_study")
DRAW = ("figures", "-P", "smoke", *NOTEBOOK, "-p", "runs={runs}", "-p", "figures={figures}")


def worker(here: Round, _: str) -> str:
    """A worker process is killed; the sweep ends as if nothing was."""
    command = here.start(*SWEEP, "--workers", "2")
    killed = here.kill(lambda: here.alive("popen_loky_posix"), command)
    here.finish(command, 0)
    return "a worker" if killed else ""


def driver(here: Round, _: str) -> str:
    """The command itself is killed, and given again."""
    command = here.start(*SWEEP, "--workers", "2")
    killed = here.kill(lambda: [p for p in here.alive() if p.pid == command.pid], command)
    here.finish(command, -signal.SIGKILL, 0)
    here.gone()
    here.finish(here.start(*SWEEP, "--workers", "2"), 0)
    return "the driver" if killed else ""


def cluster(here: Round, scheduler: str) -> str:
    """A worker of a dask cluster is killed; the sweep ends as if nothing was."""
    command = here.start(*SWEEP, "--engine", "dask", "--scheduler", scheduler)
    own = psutil.Process()
    # A nanny's process starts a worker's.
    killed = here.kill(lambda: [p for p in own.children() if said_by(p, "spawn_main")], command)
    here.finish(command, 0)
    return "a dask worker" if killed else ""


def kernel(here: Round, _: str) -> str:
    """A notebook's kernel is killed, or the command that executes it; given again, it goes on."""
    here.finish(here.start(*SWEEP, "--workers", "2"), 0)
    command = here.start(*DRAW)
    whose = here.draw.choice(["ipykernel_launcher", "prunability"])
    killed = here.kill(lambda: here.alive("ipykernel_launcher") and here.alive(whose)[:1], command)
    here.finish(command, 0, 2, -signal.SIGKILL)
    here.gone()
    here.finish(here.start(*DRAW), 0)
    return whose if killed else ""


def records(runs: Path) -> list[Record]:
    """The finished runs of a store; none may be missing or there twice, and nothing else may be there."""
    execution = Execution(device="cpu", workers=1, runs=runs, data=runs.parent, results=runs.parent)
    state = survey(open_study("correlation", "smoke", "", 0, runs.parent), execution)
    assert not state.missing
    names = sorted(path.name for path in runs.iterdir() if path.name != "locks")
    own = [
        name
        for record in state.done
        for name in (f"{record.config.hash}.json", f"{record.config.hash}.{record.weights[:16]}.safetensors")
    ]
    assert names == sorted(own), f"the store has {sorted(set(names) ^ set(own))}"
    return state.done


def undisturbed(folder: Path) -> list[dict[str, Any]]:
    """What a sweep finds that nobody kills."""
    here = Round(folder, random.Random(0))
    here.finish(here.start(*SWEEP, "--workers", "2"), 0)
    return [record.content() for record in records(here.runs)]


def disturbed(folder: Path, kind: Callable[[Round, str], str], scheduler: str, draw: random.Random) -> list[Any]:
    """What a sweep finds of which something is killed, which is printed."""
    for number in range(TRIES):
        here = Round(folder / str(number), draw, LATEST / 2**number)
        if killed := kind(here, scheduler):
            break
    assert killed, "nothing was there to be killed"
    print(f"{kind.__name__}: killed {killed}", flush=True)
    here.gone()
    left = [str(path.relative_to(here.temporary)) for path in here.temporary.rglob("*")]
    assert not left, f"temporary files are left: {left}"
    return [record.content() for record in records(here.runs)]


def main(rounds: int = 4, seed: int = 0) -> int:
    """Returns how many rounds did not hold."""
    from distributed import LocalCluster

    held = 0
    kinds = (worker, driver, cluster, kernel)
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=name,
            silence_logs=logging.CRITICAL,
        ) as workers,
    ):
        expected = undisturbed(Path(name) / "undisturbed")
        for number in range(rounds):
            folder = Path(name) / str(number)
            try:
                found = disturbed(
                    folder, kinds[number % 4], workers.scheduler_address, random.Random(seed + number)
                )
                assert found == expected, "the table differs"
                held += 1
            except (AssertionError, subprocess.TimeoutExpired) as error:
                print(f"round {number} of seed {seed}: {error}", flush=True)
        print(f"{held} of {rounds} rounds held")
    return rounds - held


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
