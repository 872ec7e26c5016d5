"""Progress with the time left: a bar where a person watches, plain log lines otherwise."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

LINE_EVERY = 15.0


class Tick(Protocol):
    """Called once for each finished piece of work, with a word on it."""

    def __call__(self, note: str) -> None:
        """Count one more."""


@contextmanager
def progress(total: int, title: str) -> Iterator[Tick]:
    """Show how far ``total`` pieces of work are; a notebook keeps none of it once they are done."""
    if (display := _notebook_display()) is not None:
        yield from _in_notebook(total, title, display)
    elif sys.stderr.isatty():
        with tqdm(total=total, desc=title, unit="run", dynamic_ncols=True) as bar:
            yield lambda note: (bar.set_postfix_str(note, refresh=False), bar.update())[1]
    else:
        yield from _in_lines(total, title)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say what is waited for; a notebook forgets it once that is over."""
    if (display := _notebook_display()) is None:
        print(text, file=sys.stderr, flush=True)
        yield
    else:
        with _written_over(display) as write:
            write(text)
            yield


def _in_lines(total: int, title: str) -> Iterator[Tick]:
    start = last = time.monotonic()
    done = 0

    def tick(note: str) -> None:
        nonlocal last, done
        done += 1
        now = time.monotonic()
        if done == total or now - last >= LINE_EVERY:
            last = now
            print(_line(title, done, total, now - start, note), file=sys.stderr, flush=True)

    print(f"{title}: {total} to do", file=sys.stderr, flush=True)
    yield tick


def _in_notebook(total: int, title: str, display: object) -> Iterator[Tick]:
    """One line that is written over, and cleared at the end so that the saved notebook stays the same."""
    start, done = time.monotonic(), 0

    def tick(note: str) -> None:
        nonlocal done
        done += 1
        filled = "█" * (20 * done // total)
        write(f"{filled:░<20} {_line(title, done, total, time.monotonic() - start, note)}")

    with _written_over(display) as write:
        yield tick


@contextmanager
def _written_over(display: object) -> Iterator[Callable[[str], None]]:
    try:
        yield lambda text: display.update({"text/plain": text}, raw=True)  # type: ignore[attr-defined]
    finally:
        display.update({"text/plain": ""}, raw=True)  # type: ignore[attr-defined]


def _line(title: str, done: int, total: int, seconds: float, note: str) -> str:
    left = seconds / done * (total - done)
    return f"{title}: {done}/{total}, {_clock(seconds)} gone, about {_clock(left)} left ({note})"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _notebook_display() -> object | None:
    """A display that can be written over, where this runs in a Jupyter kernel."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display  # noqa: PLC0415  (only where Jupyter is)

    handle: object = display({"text/plain": ""}, raw=True, display_id=True)
    return handle
