"""Files: whether a folder can be written, checksums, and JSON that several processes share."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from prunability.foundation.errors import PrunabilityError


def writable(folder: Path, what: str) -> None:
    """Make a folder and see that it can be written, before any work is done for it.

    Raises:
        PrunabilityError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PrunabilityError(
            f"{what}: cannot write in {folder} ({error.strerror}); name another folder"
        ) from error


def digest(content: object) -> str:
    """SHA-256 of the canonical JSON of ``content``, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def updated(path: Path) -> Iterator[dict[str, Any]]:
    """The content of a JSON file to be changed, which is then written atomically, names in order.

    Processes take turns. What cannot be read, or is not there, is empty.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock stands elsewhere, so as not to be published.
    with FileLock(Path(tempfile.gettempdir()) / f"prunability-{digest(str(path))[:16]}.lock"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            content = {}
        content = content if isinstance(content, dict) else {}
        yield content
        # What is no number is null, for JSON has no word for it.
        plain = json.loads(json.dumps(dict(sorted(content.items()))), parse_constant=lambda _: None)
        text = json.dumps(plain, indent=1, ensure_ascii=False)
        partial = path.with_suffix(".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
