import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import pack, picture_folder, saved
from PIL import Image

from prunability.data import archive as archive_module
from prunability.data import tree as tree_module
from prunability.data.archive import unpacked
from prunability.data.layout import choose
from prunability.data.sources import load_images
from prunability.foundation.errors import PrunabilityError

QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
Change = Callable[[tarfile.TarFile], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folder(tmp_path_factory.mktemp("pictures") / "set", 2, 1)


def picture(value: int) -> bytes:
    return saved(Image.fromarray(np.full((5, 4, 3), value, dtype=np.uint8)))


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = ""
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, to, len(content)
    archive.addfile(member, io.BytesIO(content))


def archive_of(target: Path, *changes: Change, mode: str = "w") -> Path:
    """Two classes of one image in each split, and what is added."""
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]
        for number, place in enumerate(("train/ant", "train/bee", "test/ant", "test/bee")):
            add(archive, f"{place}/0.png", picture(number))
        for change in changes:
            change(archive)
    return target


def contents(path: Path) -> list[tuple[tuple[str, ...], bytes]]:
    return [
        (parts, item if isinstance(item, bytes) else item.read_bytes())
        for parts, item in choose(unpacked(path)).files
    ]


GOOD: dict[str, list[Change]] = {
    "a link to an image": [lambda a: add(a, "train/bee/1.png", kind=tarfile.SYMTYPE, to="../ant/0.png")],
    "a link to a file beside the splits": [
        lambda a: add(a, "objects/12ab", picture(9)),
        lambda a: add(a, "train/bee/1.png", kind=tarfile.SYMTYPE, to="./../../objects//12ab"),
    ],
    "a link to what comes later": [
        lambda a: add(a, "test/bee/1.png", kind=tarfile.SYMTYPE, to="2.png"),
        lambda a: add(a, "test/bee/2.png", picture(9)),
    ],
    "a hard link": [lambda a: add(a, "train/bee/1.png", kind=tarfile.LNKTYPE, to="train/ant/0.png")],
    "a hard link to what is replaced": [
        lambda a: add(a, "train/bee/1.png", kind=tarfile.LNKTYPE, to="./train/ant/0.png"),
        lambda a: add(a, "train/ant/0.png", picture(9)),
    ],
    "a linked class": [
        lambda a: add(a, "more/cat/0.png", picture(9)),
        lambda a: add(a, "train/cat", kind=tarfile.SYMTYPE, to="../more/cat"),
        lambda a: add(a, "test/cat", kind=tarfile.SYMTYPE, to="../train/cat"),
    ],
    "the same name twice": [lambda a: add(a, "train/ant/0.png", picture(9))],
    "names with dots and slashes": [lambda a: add(a, "./train//ant/./1.png", picture(9))],
    "long names": [lambda a: add(a, f"train/ant/{'x' * 150}.png", picture(9))],
    "folders by name": [
        lambda a: add(a, "./train/ant/", kind=tarfile.DIRTYPE),
        lambda a: add(a, "./", kind=tarfile.DIRTYPE),
    ],
    "other files": [
        lambda a: add(a, "README.md", b"what it is"),
        lambda a: add(a, "train/ant/notes.txt", b"what it is"),
        lambda a: add(a, "__MACOSX/train/ant/0.png", b"fork"),
        lambda a: add(a, "__MACOSX/test/ant/0.png", b"fork"),
    ],
    "a pipe beside the splits": [lambda a: add(a, "pipe.png", kind=tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", GOOD)
def test_an_archive_is_what_it_unpacks_to(
    tmp_path: Path, name: str, form: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarfile.TarFile, "format", form)
    packed = archive_of(tmp_path / "packed.tar", *GOOD[name])
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", tmp_path / "unpacked"], check=True)
    again = tmp_path / "again.tar.gz"
    subprocess.run(["tar", "-czf", again, "-C", tmp_path, "unpacked"], check=True)
    here = [load_images(f"folder:{place}", tmp_path / "cache") for place in (packed, tmp_path / "unpacked", again)]
    assert len({images.checksum for images in here}) == 1
    assert len({images.left_out for images in here}) == 1


def test_sparse_files_are_whole(tmp_path: Path) -> None:
    """What is mostly zeros can be stored without them."""
    black = saved(Image.new("RGB", (200, 200)), "BMP")
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            (tmp_path / "set" / split / name / "0.bmp").write_bytes(black[:54])
            os.truncate(tmp_path / "set" / split / name / "0.bmp", len(black))
    packed = tmp_path / "sparse.tar"
    subprocess.run(["tar", "--sparse", "-cf", packed, "-C", tmp_path / "set", "train", "test"], check=True)
    assert packed.stat().st_size < len(black)
    assert contents(packed) == [((*parts,), black) for parts, _ in contents(packed)]


BAD: dict[str, tuple[list[Change], str]] = {
    "a link to nothing": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.SYMTYPE, to="nowhere.png")],
        "train/ant/1.png is a link that leads nowhere",
    ),
    "a link to itself": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.SYMTYPE, to="1.png")],
        "train/ant/1.png is a link that leads nowhere",
    ),
    "a link out": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.SYMTYPE, to="../../../x.png")],
        "train/ant/1.png is a link that leads nowhere",
    ),
    "an absolute link": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.SYMTYPE, to="/etc/passwd")],
        "train/ant/1.png is a link that leads nowhere",
    ),
    "a hard link to nothing": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.LNKTYPE, to="train/ant/9.png")],
        "train/ant/1.png is a hard link to train/ant/9.png, which is no file before it",
    ),
    "a hard link to a folder": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.LNKTYPE, to="train")],
        "train/ant/1.png is a hard link to train, which is no file before it",
    ),
    "a hard link out": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.LNKTYPE, to="../x")],
        "../x would unpack outside its folder",
    ),
    "an absolute name": (
        [lambda a: add(a, "/train/ant/1.png", picture(9))],
        "/train/ant/1.png would unpack outside",
    ),
    "dots": ([lambda a: add(a, "train/../../x.png", picture(9))], "train/../../x.png would unpack outside"),
    "a file below a link": (
        [
            lambda a: add(a, "train/cat", kind=tarfile.SYMTYPE, to="/tmp"),
            lambda a: add(a, "train/cat/0.png", picture(9)),
        ],
        "train/cat/0.png lies below what is no folder",
    ),
    "a file that is a folder": ([lambda a: add(a, "train/ant", b"")], "train/ant is both a folder and a file"),
    "a folder that is a file": (
        [lambda a: add(a, "train/ant/0.png", kind=tarfile.DIRTYPE)],
        "train/ant/0.png is both a folder and a file",
    ),
    "a pipe": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.FIFOTYPE)],
        "train/ant/1.png is neither a file nor a folder",
    ),
    "a device": (
        [lambda a: add(a, "train/ant/1.png", kind=tarfile.BLKTYPE)],
        "train/ant/1.png is neither a file nor a folder",
    ),
    "an empty class": ([lambda a: add(a, "train/dog", kind=tarfile.DIRTYPE)], "train/dog/ holds no image"),
    "deep": (
        [lambda a: add(a, "train/ant/1/2/3.png", picture(9))],
        "train/ant/1/2/3.png must lie in train/<class>/",
    ),
    "a name of no letters": (
        [lambda a: add(a, "train/ant/\x1b[2J\n.png", b"x")],
        r"ant/\\x1b\[2J\\n.png: not a readable",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("mode", ["w", "w:bz2"])
def test_a_bad_archive_is_refused_in_one_line(tmp_path: Path, name: str, mode: str) -> None:
    changes, expected = BAD[name]
    packed = archive_of(tmp_path / "packed.tar", *changes, mode=mode)
    with pytest.raises(PrunabilityError, match=f"data folder:{packed}: .*{expected}") as refused:
        load_images(f"folder:{packed}", tmp_path / "cache")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "cache").exists()


def test_archives_without_one_set(tmp_path: Path, folder: Path) -> None:
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        archive.add(folder, "one")
        archive.add(folder, "two")
    with pytest.raises(PrunabilityError, match=r"several train/ or test/, such as in one and two: pack one"):
        unpacked(tmp_path / "two.tar")
    with tarfile.open(tmp_path / "parted.tar", "w") as archive:
        archive.add(folder / "train", "one/train")
        archive.add(folder / "test", "two/test")
    with pytest.raises(PrunabilityError, match=r"no folder in it holds both train/ and test/"):
        unpacked(tmp_path / "parted.tar")
    for content in (
        b"",
        b"not an archive",
        b"PK\3\4" + bytes(600),
        b"\x1f\x8bno",
        b"\xfd7zXZ\0no",
        b"BZhno",
        bytes(512),
    ):
        (tmp_path / "no.tar").write_bytes(content)
        with pytest.raises(PrunabilityError, match=r"nor a whole tar archive \(.+\): pack or fetch it anew"):
            unpacked(tmp_path / "no.tar")


def header(size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo("train/ant/0.png")
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    return bytes(block)


@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE]
)
@pytest.mark.parametrize(
    "size", [b"77777777777\0", b"\x80" + b"\x7f" * 11, b"\xff" * 10 + b"\xfe\0", b"letters here"]
)
def test_hostile_sizes_end_in_one_line(tmp_path: Path, kind: bytes, size: bytes) -> None:
    packed = tmp_path / "hostile.tar"
    packed.write_bytes(header(size, kind) + bytes(10240))
    with pytest.raises(PrunabilityError, match=r"nor a whole tar archive|more than 4 GiB"):
        unpacked(packed)


def test_what_grows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small archive of large files, of one large image, of many names, of many zeros, of many levels."""
    monkeypatch.setattr(archive_module, "MOST_IN_ALL", 2**20)
    monkeypatch.setattr(archive_module, "MOST_BYTES", 2**19)
    zeros = bytes(2**19)
    many = archive_of(tmp_path / "1.tar.xz", *[lambda a: add(a, "notes", zeros)] * 2, mode="w:xz")
    with pytest.raises(PrunabilityError, match="it unpacks to more than 0 GiB: pack fewer images"):
        unpacked(many)
    names = archive_of(tmp_path / "2.tar.xz", *[lambda a: add(a, "notes")] * 600, mode="w:xz")
    with pytest.raises(PrunabilityError, match="it unpacks to more than"):
        unpacked(names)
    large = archive_of(tmp_path / "3.tar.xz", lambda a: add(a, "train/ant/1.png", zeros + b"0"), mode="w:xz")
    with pytest.raises(PrunabilityError, match=r"train/ant/1.png is too large"):
        choose(unpacked(large))
    endless = archive_of(tmp_path / "4.tar", lambda a: a.fileobj and a.fileobj.write(bytes(2**22)))
    with pytest.raises(PrunabilityError, match="it does not end"):
        unpacked(endless)
    with tarfile.open(tmp_path / "5.tar", "w") as deep:
        add(deep, "x/" * 3000)
    with pytest.raises(PrunabilityError, match="not a folder, nor a whole tar"):
        unpacked(tmp_path / "5.tar")
    loops = archive_of(
        tmp_path / "6.tar",
        *[lambda a, n=n: add(a, f"train/ant/{n}.png", kind=tarfile.SYMTYPE, to=f"{n + 1}.png") for n in range(50)],
    )
    with pytest.raises(PrunabilityError, match=r"train/ant/0.png is a link that leads nowhere"):
        choose(unpacked(loops))
    assert tree_module.MOST_LINKS < 50


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The archives of one folder, and no smaller ones: each image of its own noise."""
    place = tmp_path_factory.mktemp("packed")
    return {mode: pack(folder, place / "x.tar", mode=mode).read_bytes() for mode in ("w", "w:gz", "w:xz", "w:bz2")}


def same_or_refused(path: Path, content: bytes, whole: bytes) -> None:
    """Nothing but the same images, or one line, may come of a damaged archive."""
    path.write_bytes(whole)
    before = load_images(f"folder:{path}", path.parent / "cache")
    path.write_bytes(content)
    try:
        found = load_images(f"folder:{path}", path.parent / "cache")
    except PrunabilityError as error:
        assert str(error).startswith(f"data folder:{path}: ")
        assert "\n" not in str(error)
    else:
        assert found.checksum == before.checksum


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@QUICK
@given(data=st.data(), change=st.integers(1, 255))
def test_one_changed_byte(
    tmp_path: Path, packed: dict[str, bytes], mode: str, data: st.DataObject, change: int
) -> None:
    content = bytearray(packed[mode])
    content[data.draw(st.integers(0, len(content) - 1))] ^= change
    same_or_refused(tmp_path / "x.tar", bytes(content), packed[mode])


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@QUICK
@given(data=st.data())
def test_a_cut_or_zeroed_or_longer_archive(
    tmp_path: Path, packed: dict[str, bytes], mode: str, data: st.DataObject
) -> None:
    whole = packed[mode]
    place = data.draw(st.integers(0, len(whole) - 1))
    begin = place // 512 * 512
    for content in (
        whole[:place],
        whole[:begin],
        whole[:begin] + bytes(512) + whole[begin + 512 :],
        whole + whole[begin:],
    ):
        same_or_refused(tmp_path / "x.tar", content, whole)


def test_cut_headers_are_not_the_end(tmp_path: Path, packed: dict[str, bytes]) -> None:
    """Where reading would end there and find all that it needs before."""
    whole = packed["w"]
    blocks = range(512, len(whole), 512)
    headers = [place for place in blocks if whole[place + 257 : place + 262] == b"ustar"]
    for place in headers[-3:]:
        for content in (whole[:place], whole[:place] + b"x" + whole[place + 1 :], whole[: place + 100]):
            (tmp_path / "x.tar").write_bytes(content)
            with pytest.raises(PrunabilityError, match="not a folder, nor a whole tar archive"):
                unpacked(tmp_path / "x.tar")


def test_one_identity_however_packed(tmp_path: Path, folder: Path) -> None:
    before = load_images(f"folder:{folder}", tmp_path / "cache")
    for flag in ("--format=ustar", "--format=v7", "--format=gnu", "--format=posix", "-z", "-j", "-J"):
        place = tmp_path / "again.tar"
        subprocess.run(["tar", flag, "-cf", place, "-C", folder.parent, folder.name], check=True)
        assert load_images(f"folder:{place}", tmp_path / "cache").checksum == before.checksum
    shutil.rmtree(tmp_path / "cache")
