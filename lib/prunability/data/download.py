"""One file from the network: whole and the one that is meant, or an error in one line."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from urllib.request import urlopen

from prunability.foundation.errors import PrunabilityError, shown
from prunability.foundation.files import replacing
from prunability.foundation.progress import waiting

# Seconds without a byte after which nothing more is expected, and after which an interruption is heard.
SILENCE, TICK = 20.0, 0.2
CHUNK = 2**18


def download(url: str, path: Path, md5: str) -> None:
    """Fetch a file, unless it is there; nothing takes its place unless it has the checksum.

    Raises:
        PrunabilityError: it cannot be had, or something else is sent in its place.
    """
    if path.is_file():  # a pipe would be waited for
        with path.open("rb") as file:
            if hashlib.file_digest(file, _md5).hexdigest() == md5:
                return
    with waiting(f"downloading {url} to {path}"), replacing(path) as partial, partial.open("wb") as file:
        total, size, begin = _md5(), 0, b""
        for chunk in _chunks(url):
            file.write(chunk)
            total.update(chunk)
            size, begin = size + len(chunk), begin or chunk[:40]
        if total.hexdigest() != md5:
            text = shown(begin.decode("utf-8", "replace"))
            raise PrunabilityError(
                f"{url} sent another file, or not all of it: {size:,} bytes, beginning with {text!r}"
            )


def _chunks(url: str) -> Iterator[bytes]:
    """What is sent, as it comes. Another thread waits for the network, which no interruption would end."""
    arrived: Queue[bytes | Exception] = Queue(8)

    def fetch() -> None:
        # Nobody takes what comes: whoever asked was interrupted.
        with suppress(Full):
            try:
                with urlopen(url, timeout=SILENCE) as answer:  # noqa: S310  (an address that the library names)
                    while chunk := answer.read1(CHUNK):
                        arrived.put(chunk, timeout=SILENCE)
                arrived.put(b"")
            except (OSError, HTTPException, ValueError) as error:
                arrived.put(error, timeout=SILENCE)

    Thread(target=fetch, daemon=True).start()
    while True:
        with suppress(Empty):
            item = arrived.get(timeout=TICK)
            if isinstance(item, Exception):
                raise PrunabilityError(f"{url}: {shown(str(item)) or type(item).__name__}") from item
            if not item:
                return
            yield item


def _md5() -> "hashlib._Hash":
    # It finds other files and damage; nobody hides in it.
    return hashlib.md5(usedforsecurity=False)
