"""Files: whether a folder can be written, whole files or none, checksums, and JSON that several processes share."""

import errno
import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from prunability.foundation.errors import PrunabilityError

CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)
NOT_REGULAR = "it is not a regular file"


def expanded(path: str, what: str) -> Path:
    """A path as a user names it, in which ~ is a home; nothing need be there.

    Raises:
        PrunabilityError: there is no such home, or there can be nothing of that name.
    """
    try:
        path.encode()
        found = Path(path).expanduser()
        found.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise PrunabilityError(f"{what}: {path}: {error.strerror}; name another place") from error
    except (RuntimeError, ValueError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeError) else str(error).rstrip(".")
        raise PrunabilityError(f"{what}: {path!r} can be no path ({why}); name another place") from error
    return found


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


def replaceable(path: Path) -> None:
    """See that a file can be written at ``path``, new or in place of one.

    Raises:
        PrunabilityError: what is there is a link, a device or a folder, which is never replaced.
    """
    if not_regular(path) or path.is_symlink():
        raise PrunabilityError(f"{path} is not a regular file, and is left as it is: name another one")


def not_regular(path: Path) -> bool:
    """Whether something is there that is no file to be read: a folder, a pipe, a device, a link to nothing."""
    return not path.is_file() and (path.is_symlink() or path.exists())


def read(path: Path | str) -> bytes:
    """The content of a regular file; a pipe is not waited for.

    Raises:
        OSError: it cannot be read, is not there or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if not_regular(Path(path)):
            raise OSError(errno.EINVAL, NOT_REGULAR, str(path)) from error
        raise
    # What was opened is looked at: it is then what is read, and a store of many files is read in half the time.
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
        content = os.read(descriptor, found.st_size + 1)
        if len(content) == found.st_size:
            return content
        with open(descriptor, "rb", buffering=0, closefd=False) as stream:  # of a very large one there is more
            return content + stream.readall()
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, to be written, which at the end takes its place; after an error it is removed.

    Whoever reads ``path`` finds the old content or the new one, whole, also after a loss of power. The new file's
    name is nobody else's, on any machine.

    Raises:
        PrunabilityError: what is there is a link, a device or a folder, which is never replaced.
    """
    replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:  # said of the file that was meant
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, content: bytes | str) -> None:
    """Write a file as :func:`replacing` does; text is UTF-8."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def canonical(content: object) -> bytes:
    """The JSON of ``content`` that checksums are taken of: no spaces, keys in order, only finite numbers."""
    return CANONICAL.encode(content).encode()


def digest(content: object) -> str:
    """SHA-256 of the canonical JSON of ``content``, in hexadecimal."""
    return hashlib.sha256(canonical(content)).hexdigest()


@contextmanager
def updated(path: Path) -> Iterator[dict[str, Any]]:
    """The content of a JSON file to be changed, which is then written atomically, names in order.

    Processes take turns. What cannot be read, or is not there, is empty.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        try:
            content = json.loads(read(path))
        except (FileNotFoundError, ValueError):
            content = {}
        content = content if isinstance(content, dict) else {}
        yield content
        # What is no number is null, for JSON has no word for it.
        plain = json.loads(json.dumps(dict(sorted(content.items()))), parse_constant=lambda _: None)
        write(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
