"""Who works on a run, and who writes it: locks between processes that end with the process that holds them.

Their files lie below ``<runs>/locks/`` and are empty; they stay, for to delete one would let two processes have it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.files import not_regular
from prunability.training.config import RunConfig


@contextmanager
def writing(runs: Path, config: RunConfig) -> Iterator[None]:
    """What a process holds for the moment in which it changes the files of a run.

    Raises:
        PrunabilityError: what is in the lock's place is no file.
    """
    lock = FileLock(runs / "locks" / f"{config.hash}.writing")
    with ExitStack() as stack:
        with _explained(lock):
            stack.enter_context(lock)
        yield


@contextmanager
def claimed(runs: Path, configs: Sequence[RunConfig]) -> Iterator[dict[RunConfig, FileLock]]:
    """Those runs that nobody else trains or measures, each this process's own until its lock is released.

    What is not released before is so at the end. Nothing is waited for.

    Raises:
        PrunabilityError: what is in a lock's place is no file.
    """
    with ExitStack() as stack:
        own = {}
        for config in configs:
            lock = FileLock(_claim(runs, config.hash))
            with suppress(Timeout), _explained(lock):
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


@contextmanager
def _explained(lock: FileLock) -> Iterator[None]:
    """Say which lock cannot be had, where that is for what is in its place."""
    try:
        yield
    except Timeout:  # a kind of OSError
        raise
    except OSError as error:
        place = Path(lock.lock_file)
        if not_regular(place) or (place.parent.exists() and not place.parent.is_dir()):
            raise PrunabilityError(f"{error.filename or place}: no lock can be there; move it away") from error
        raise


def _claim(runs: Path, run: str) -> Path:
    return runs / "locks" / f"{run}.working"
