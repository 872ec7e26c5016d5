"""What ends a process from outside."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def as_by_keyboard() -> Iterator[None]:
    """SIGTERM and the loss of the terminal end this process as Ctrl-C does, with its workers; once is enough."""

    def interrupt(*_: object) -> None:
        for kind in known:
            signal.signal(kind, signal.SIG_IGN)
        raise KeyboardInterrupt

    known: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        known = {kind: now for kind in kinds if (now := signal.getsignal(kind)) is not signal.SIG_IGN}
    for kind in known:
        signal.signal(kind, interrupt)
    try:
        yield
    finally:
        for kind, before in known.items():
            signal.signal(kind, before)
