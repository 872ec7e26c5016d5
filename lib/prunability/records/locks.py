"""Who works on a run, and who writes it: locks between processes that end with the process that holds them.

Their files lie below ``<runs>/locks/`` and are empty; they stay, for to delete one would let two processes have it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from prunability.training.config import RunConfig


def writing(runs: Path, config: RunConfig) -> FileLock:
    """What a process holds for the moment in which it changes the files of a run."""
    return FileLock(runs / "locks" / f"{config.hash}.writing")


@contextmanager
def claimed(runs: Path, configs: Sequence[RunConfig]) -> Iterator[dict[RunConfig, FileLock]]:
    """Those runs that nobody else trains or measures, each this process's own until its lock is released.

    What is not released before is so at the end. Nothing is waited for.
    """
    with ExitStack() as stack:
        own = {}
        for config in configs:
            lock = FileLock(_claim(runs, config.hash))
            with suppress(Timeout):
                stack.enter_context(lock.acquire(blocking=False))
                own[config] = lock
        yield own


def elsewhere(runs: Path, config: RunConfig) -> bool:
    """Whether a run is trained or measured by somebody else at this moment."""
    return in_work(runs, config.hash)


def in_work(runs: Path, run: str) -> bool:
    """The same of a run by its hash; where no lock can be taken, as in a store that can only be read, nobody's."""
    path = _claim(runs, run)
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _claim(runs: Path, run: str) -> Path:
    return runs / "locks" / f"{run}.working"
