"""Files: whether a folder can be written, and the checksum of what a file would hold."""

import hashlib
import json
import tempfile
from pathlib import Path

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
