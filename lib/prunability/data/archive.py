"""What a tar unpacks to, without unpacking it: its folders, files and links, or what is wrong with it."""

import bz2
import gzip
import lzma
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from prunability.data.decode import MOST_BYTES
from prunability.data.layout import Listing, Odd, Parts, is_image, listing, name_of
from prunability.data.tree import Folder, Link, Node, inside, put, shared
from prunability.data.tree import roots as roots_of
from prunability.foundation.errors import PrunabilityError

# Bytes of all that an archive unpacks to, and what counts for each name.
MOST_IN_ALL, EACH = 2**32, 2**11
STREAMS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# What tarfile and the streams raise of damaged or hostile bytes.
STREAM_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)
DAMAGE = (*STREAM_ERRORS, ValueError, LookupError, ArithmeticError, RecursionError)


def unpacked(path: Path) -> Listing:
    """All below ``train/`` and ``test/`` of an archive, which lie in one folder of it, wherever that is.

    The last of equal names counts and links are followed, as when it is unpacked; it is read to its end first.

    Raises:
        PrunabilityError: it is damaged, too large or unsafe, or holds no such folder, or two.
    """
    try:
        with path.open("rb") as file:
            tree = _tree(file)
        roots = list(roots_of(tree, tree, ()))
    except DAMAGE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise PrunabilityError(f"not a folder, nor a whole tar archive ({why}): pack or fetch it anew") from error
    if not roots:
        raise PrunabilityError("no folder in it holds both train/ and test/: pack the folder that does")
    if len(roots) > 1:
        raise PrunabilityError(
            f"it holds several train/ or test/, such as in {name_of(roots[0])} and {name_of(roots[1])}: pack one"
        )
    return listing(roots[0], lambda place: inside(tree, place))


class _Bounded:
    """A stream of which no header can ask for more than one image file may have."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MOST_BYTES:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self.stream.read(size)


def _tree(file: IO[bytes]) -> Folder:
    magic = file.read(max(map(len, STREAMS)))
    file.seek(0)
    stream = next((of(file, mode="rb") for mark, of in STREAMS.items() if magic.startswith(mark)), file)
    tree: Folder = {}
    total = 0
    with tarfile.open(fileobj=_Bounded(stream), mode="r:", encoding="utf-8") as archive:  # type: ignore[call-overload]
        while (member := archive.next()) is not None:
            archive.members.clear()
            if member.size < 0:
                raise tarfile.ReadError(f"a file of {member.size} bytes")
            total += member.size + EACH
            if total > MOST_IN_ALL:
                raise PrunabilityError(f"it unpacks to more than {MOST_IN_ALL >> 30} GiB: pack fewer images")
            _add(tree, member, archive)
        _read_to_end(stream, archive.offset)
    return tree


def _read_to_end(stream: IO[bytes], offset: int) -> None:
    """An archive ends with two blocks of zeros, else it was cut or damaged; what compressed it, with a checksum."""
    stream.seek(offset)
    if len(end := stream.read(2 * tarfile.BLOCKSIZE)) < 2 * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is cut off")
    while end:
        if end.strip(b"\0"):
            raise tarfile.ReadError(f"damaged after byte {offset:,}")
        end = stream.read(2**20)
        if stream.tell() > 2 * MOST_IN_ALL:
            raise tarfile.ReadError("it does not end")


def _add(tree: Folder, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    parts = _parts(member.name)
    if not parts:
        return
    node: Node = Odd("neither a file nor a folder")
    if member.isdir():
        node = {}
    elif member.issym():
        node = Link(member.linkname)
    elif member.islnk():
        node = shared(tree, _parts(member.linkname), parts)
    elif member.isfile() and member.size > MOST_BYTES:
        node = Odd("too large") if is_image(parts[-1]) else b""
    elif member.isfile() and (content := archive.extractfile(member)):
        node = content.read()
    put(tree, parts, node)


def _parts(name: str) -> Parts:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts:
        raise PrunabilityError(f"{name_of((name,))} would unpack outside its folder: pack it with names inside it")
    return parts
