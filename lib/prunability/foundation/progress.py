"""Progress with the time left: a bar where a person watches, plain log lines otherwise."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

# Not tqdm.auto: in a notebook it asks for widgets, which stay behind in the file, and warns where there are none.
from tqdm import tqdm

from prunability.foundation.errors import Interrupted

LINE_EVERY = 15.0
# Before so many pieces are done, and this share of all, what is left cannot be told.
LEAST, LEAST_SHARE = 3, 0.05
LINE = "{n_fmt} of {total_fmt}, {elapsed} gone{postfix}"


@contextmanager
def progress(total: int, title: str, known: Callable[[], int] | None = None) -> Iterator[Callable[[str], None]]:
    """Show how far ``total`` pieces of work are; a notebook keeps none of it once they are done.

    Yields what is called once for each finished piece, with a word on it. Where many are told at once, in the end,
    ``known`` says how many can be seen to be done before; it is asked now and then.

    Raises:
        Interrupted: somebody interrupted the work, which a notebook says in a line.
    """
    look: dict[str, Any]
    if (show := _notebook_line()) is not None:
        look = {"file": _Line(show), "bar_format": "{bar:20} {desc}: " + LINE, "ascii": " █", "leave": False}
    elif sys.stderr.isatty():
        look = {"bar_format": "{desc}: {percentage:3.0f}%|{bar}| " + LINE, "dynamic_ncols": True}
    else:
        look = {"file": _Line(say), "bar_format": "{desc}: " + LINE, "mininterval": LINE_EVERY}
    with tqdm(total=total, desc=title, miniters=1, smoothing=0, **look) as bar:
        told, lock = itertools.count(1), threading.Lock()

        def advance(done: int, note: str = "") -> None:
            with lock:
                if done > bar.n:
                    left = _left(done, total, bar.format_dict["elapsed"])
                    bar.set_postfix_str(", ".join(filter(None, (left, note))), refresh=False)
                    bar.update(done - bar.n)

        try:
            with _now_and_then(lambda: advance(known())) if known else nullcontext():
                yield lambda note: advance(next(told), note)
        except KeyboardInterrupt as error:
            raise Interrupted from error


@contextmanager
def _now_and_then(look: Callable[[], None]) -> Iterator[None]:
    """Call it in a thread of its own, as long as this lasts; a disk that does not answer may the next time."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LINE_EVERY):
            with suppress(OSError):
                look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _left(done: int, total: int, seconds: float) -> str:
    """About how long the rest takes, once that can be told: the first pieces of work are not like the others."""
    if not max(LEAST, LEAST_SHARE * total) <= done < total:
        return ""
    return f"about {tqdm.format_interval(seconds / done * (total - done))} left"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say what is waited for; a notebook forgets it once that is over."""
    show = _notebook_line() or say
    show(text)
    try:
        yield
    finally:
        show("")


class _Line:
    """What tqdm takes for a file: each new state of its line is shown."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show, self.shown = show, ""

    def write(self, text: str) -> None:
        # With no text at all tqdm only tries whether it can write.
        if text and (line := text.strip()) != self.shown:
            self.show(line)
            self.shown = line

    def flush(self) -> None:
        """Nothing is held back."""


def say(line: str) -> None:
    """A line on stderr, for whoever reads along; nothing where it is empty."""
    if line:
        print(line, file=sys.stderr, flush=True)


def _notebook_line() -> Callable[[str], None] | None:
    """What writes a line over the last one, where this runs in a Jupyter kernel; an empty one leaves no trace."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display  # noqa: PLC0415  (only where Jupyter is)

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    assert handle is not None
    return lambda line: handle.update({"text/plain": line}, raw=True)
