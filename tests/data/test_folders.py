import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import CLASSES, pack, picture_folder, saved
from PIL import Image
from typer.testing import CliRunner

from prunability.cli import app
from prunability.data import folder as folder_module
from prunability.data import kept
from prunability.data.decode import decode
from prunability.data.images import ImageSet
from prunability.data.sources import load_images
from prunability.foundation.errors import PrunabilityError

PICTURE = saved(Image.new("RGB", (4, 5), "red"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return picture_folder(tmp_path / "my images")


@pytest.fixture
def load(tmp_path: Path) -> Callable[[Path], ImageSet]:
    """Loads a folder or an archive as another process would."""

    def fresh(path: Path) -> ImageSet:
        folder_module._decoded.cache_clear()
        return load_images(f"folder:{path}", tmp_path / "cache")

    return fresh


def copies(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "cache" / "decoded").glob("[!.]*"))


def test_folder_pixels_and_labels(folder: Path, load: Callable[[Path], ImageSet]) -> None:
    found = load(folder)
    assert found.images["train"].shape == (18, 3, 5, 4)
    assert found.labels["test"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert (found.classes, found.title, found.left_out) == (3, "my images", "")
    with Image.open(folder / "train" / "bee" / "002.png") as image:
        expected = np.asarray(image).transpose(2, 0, 1)
    assert (found.images["train"][6 + 2].numpy() == expected).all()


def test_identity_is_the_content_and_not_the_place(
    folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet]
) -> None:
    here = load(folder)
    elsewhere = tmp_path / "moved"
    shutil.copytree(folder, elsewhere)
    packed = pack(folder, tmp_path / "packed.tar.xz")
    nested = pack(folder, tmp_path / "nested.tar.xz", "some/where/")
    for place in (elsewhere, packed, nested):
        assert load(place).checksum == here.checksum
    pixels = np.asarray(Image.open(folder / "test" / "ant" / "000.png")).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(elsewhere / "test" / "ant" / "000.png")
    assert load(elsewhere).checksum != here.checksum


def test_other_bytes_of_the_same_name_size_and_time_are_other_images(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process and in another; two files that change places between classes too."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    source, cache = f"folder:{folder}", tmp_path / "cache"
    before = load_images(source, cache)
    one, other = folder / "train" / "ant" / "000.png", folder / "train" / "bee" / "000.png"
    # Images of noise, of one size as files.
    one_bytes, other_bytes = (file.read_bytes() for file in (one, other))
    assert len(one_bytes) == len(other_bytes)
    for file, content in ((one, other_bytes), (other, one_bytes)):
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        file.write_bytes(content)
        os.utime(file, ns=times)
    swapped = load_images(source, cache)
    assert swapped.checksum != before.checksum
    assert torch.equal(swapped.images["train"][0], before.images["train"][6])
    folder_module._decoded.cache_clear()
    assert load_images(source, cache).checksum == swapped.checksum


def test_what_settled_is_not_read_again(
    folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(folder, tmp_path / "packed.tar.xz")
    now = time.time()
    for place in (folder, packed):
        first = load(place)
        with monkeypatch.context() as patch:
            # Just written, it may be written again within one tick of the clock: it is read, and found to be known.
            patch.setattr(folder_module, "decode", lambda *_: pytest.fail("decoded again"))
            load(place)
            patch.setattr(folder_module, "_content", lambda *_: pytest.fail("read again"))
            with pytest.raises(pytest.fail.Exception, match="read again"):
                load(place)
            patch.undo()
            patch.setattr(time, "time", lambda: now + 60)
            load(place)
            patch.setattr(folder_module, "decode", lambda *_: pytest.fail("decoded again"))
            patch.setattr(folder_module, "_content", lambda *_: pytest.fail("read again"))
            again = load(place)
            patch.setattr(folder_module, "DECODER", ["a later one"])
            with pytest.raises(pytest.fail.Exception, match="read again"):
                load(place)
        assert again.checksum == first.checksum
        assert torch.equal(again.images["train"], first.images["train"])


@pytest.mark.parametrize(
    "harm", ["a byte", "a half", "nothing in it", "a folder", "a pipe", "no index", "an odd index", "a pipe for it"]
)
def test_a_damaged_copy_is_made_anew(
    folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet], harm: str
) -> None:
    before = load(folder)
    index = tmp_path / "cache" / "decoded" / kept.INDEX
    (copy,) = index.parent.glob("*.safetensors")
    content = copy.read_bytes()
    if harm == "a byte":
        copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "a half":
        copy.write_bytes(content[: len(content) // 2])
    elif harm == "nothing in it":
        copy.write_bytes(b"")
    elif harm == "a folder":
        copy.unlink()
        copy.mkdir()
    elif harm.startswith("a pipe"):
        pipe = copy if harm == "a pipe" else index
        pipe.unlink()
        os.mkfifo(pipe)
    else:
        index.write_text("" if harm == "no index" else '{"/": 3, "x": {"key": 3}}')
    for _ in range(2):
        again = load(folder)
        assert again.checksum == before.checksum
        assert torch.equal(again.images["test"], before.images["test"])
    if harm not in ("a folder", "a pipe", "a pipe for it"):
        assert copy.read_bytes() == content
        assert kept.trusted(tmp_path / "cache", folder, "") is not None


def test_nothing_is_kept_where_nothing_can_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cache in (tmp_path / "file", Path("/proc/nowhere")):
        for _ in range(2):
            assert load_images(f"folder:{folder}", cache).classes == 3


def test_old_copies_are_cleared_away(folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet]) -> None:
    """Those of former contents, of folders that are gone, of earlier versions, and of writers that were killed."""
    packed = pack(folder, tmp_path / "packed.tar.xz")
    for place in (folder, packed):
        load(place)
    before = copies(tmp_path)
    assert len(before) == 3
    decoded = tmp_path / "cache" / "decoded"
    for name in ("0123.safetensors", "0123.safetensors.4567.partial"):
        (decoded / name).touch()
    (folder / "train" / "ant" / "more.png").write_bytes(PICTURE)
    load(folder)
    after = copies(tmp_path)
    assert len(after) == 3
    assert len({*after} & {*before}) == 2
    packed.unlink()
    (folder / "train" / "ant" / "more.png").unlink()
    load(folder)
    assert len(copies(tmp_path)) == 2
    assert set(json.loads((decoded / kept.INDEX).read_text())) == {str(folder)}


def test_what_changes_while_it_is_read_is_refused(
    folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:

    def changing(content: bytes) -> np.ndarray:
        (folder / "train" / "ant" / "001.png").write_bytes(PICTURE)
        return decode(content)

    monkeypatch.setattr(folder_module, "decode", changing)
    with pytest.raises(PrunabilityError, match="changed while it was read: run again"):
        load(folder)
    assert not (tmp_path / "cache").exists()


def test_what_is_no_image_is_counted(folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet]) -> None:
    before = load(folder)
    for name in ("._000.png", "Thumbs.db", ".DS_Store", "notes.txt"):
        (folder / "train" / "ant" / name).write_bytes(b"whatever")
    (folder / "train" / "labels.csv").touch()
    for hidden in (folder / "train" / ".ipynb_checkpoints", folder / "test" / "ant" / "__MACOSX"):
        hidden.mkdir()
        (hidden / "000.png").write_bytes(PICTURE)
    for beside in ("train.csv", "validation", ".git"):
        (folder / beside).mkdir()
    for empty in ("empty", "xx.png"):  # of which one would be missed
        (folder / "train" / "ant" / empty).mkdir()
    for place in (folder, pack(folder, tmp_path / "packed.tar")):
        found = load(place)
        assert found.checksum == before.checksum
        assert found.left_out == "6 of the files are no images and left out, such as train/ant/.DS_Store"
    told = CliRunner().invoke(app, ["images", f"folder:{folder}"])
    assert told.exit_code == 0
    assert found.left_out in told.output.splitlines()


def test_links_are_followed_as_far_as_classes(
    folder: Path, tmp_path: Path, load: Callable[[Path], ImageSet]
) -> None:
    before = load(folder)
    linked = tmp_path / "linked"
    (linked / "train").mkdir(parents=True)
    (linked / "test").symlink_to(folder / "test")
    (linked / "train" / "bee").symlink_to(folder / "train" / "bee")
    for name in ("ant", "cat"):
        (linked / "train" / name).mkdir()
        for file in (folder / "train" / name).iterdir():
            (linked / "train" / name / file.name).symlink_to(file)
    assert load(linked).checksum == before.checksum


def remove(*paths: Path) -> None:
    for path in paths:
        shutil.rmtree(path)


Change = Callable[[Path], object]
BAD: dict[str, tuple[Change, str]] = {
    "no test set": (lambda f: remove(f / "test"), "no image under test/<class>/"),
    "an empty test set": (
        lambda f: remove(*(f / "test").iterdir()),
        "no image under test/<class>/",
    ),
    "capital letters": (lambda f: (f / "train").rename(f / "Train"), "no image under train/<class>/"),
    "a class without test images": (
        lambda f: remove(f / "test" / "bee"),
        r"classes \['bee'\] are in one of",
    ),
    "a class of no images": (lambda f: (f / "train" / "dog").mkdir(), "train/dog/ holds no image: put PNG,"),
    "a class of other files": (
        lambda f: [file.rename(file.with_suffix(".npy")) for file in (f / "train" / "bee").iterdir()],
        "train/bee/ holds no image but 6 other files, such as train/bee/000.npy: put PNG,",
    ),
    "a class of hidden files": (
        lambda f: [file.rename(file.with_name(f"._{file.name}")) for file in (f / "train" / "bee").iterdir()],
        "train/bee/ holds no image but 6 other files",
    ),
    "endings of other letters": (
        lambda f: (f / "train" / "bee" / "000.png").rename(f / "train" / "bee" / "000.AVIF"),
        "train/bee/000.AVIF: .avif is not read; convert it to one of PNG",
    ),
    "an image one level deeper": (
        lambda f: shutil.move(f / "train" / "bee", f / "train" / "ant"),
        "train/ant/bee/000.png must lie in train/<class>/, not above it or deeper",
    ),
    "an image one level higher": (
        lambda f: (f / "test" / "0.png").write_bytes(PICTURE),
        "test/0.png must lie in test/<class>/, not above it or deeper",
    ),
    "one class": (
        lambda f: remove(*(f / split / name for split in ("train", "test") for name in ("bee", "cat"))),
        r"at least two classes are needed, found \['ant'\]",
    ),
    "many classes of one split": (
        lambda f: [shutil.copytree(f / "train" / "bee", f / "train" / f"{n}") for n in range(100)],
        r"classes \['0', '1', '10'\] and 97 more are in one of",
    ),
    "a dangling link": (
        lambda f: (f / "train" / "bee" / "9.png").symlink_to("nowhere"),
        "train/bee/9.png is a link that leads nowhere",
    ),
    "a dangling class": (
        lambda f: (f / "train" / "dog").symlink_to("nowhere"),
        "train/dog is a link that leads nowhere",
    ),
    "a link to itself": (
        lambda f: (f / "train" / "dog").symlink_to("dog"),
        "train/dog cannot be read .Too many levels of symbolic links",
    ),
    "a link to a folder in a class": (
        lambda f: (f / "train" / "bee" / "more").symlink_to(f / "train"),
        "train/bee/more is a link to a folder, inside a class",
    ),
    "a pipe": (
        lambda f: os.mkfifo(f / "train" / "bee" / "9.png"),
        "train/bee/9.png is neither a file nor a folder",
    ),
    "another size": (
        lambda f: (f / "train" / "bee" / "9.png").write_bytes(saved(Image.new("RGB", (5, 4)))),
        r"one size.*\(3, 5, 4\) of test/ant/000.png and \(3, 4, 5\) of train/bee/9.png",
    ),
    "another number of channels": (
        lambda f: (f / "train" / "bee" / "9.png").write_bytes(saved(Image.new("L", (4, 5)))),
        r"all be grey or all in colour.*\(1, 5, 4\) of train/bee/9.png",
    ),
    "600 sizes": (
        lambda f: [
            (f / "train" / "bee" / f"{n}.png").write_bytes(saved(Image.new("L", (n, 1)))) for n in range(1, 601)
        ],
        "one size",
    ),
    "no image by content": (
        lambda f: (f / "train" / "bee" / "9.png").write_bytes(b"text"),
        "train/bee/9.png: not a readable image .its content is none of PNG",
    ),
    "an image of no bytes": (
        lambda f: (f / "train" / "bee" / "9.png").touch(),
        "train/bee/9.png: not a readable image",
    ),
    "a huge file": (
        lambda f: os.truncate((f / "train" / "bee" / "000.png"), 2**40),
        "train/bee/000.png: 1,099,511,627,776 bytes are too many, at most",
    ),
    "odd letters": (
        lambda f: (f / "train" / "bee" / os.fsdecode(b"\xe9\n.png")).write_bytes(b"text"),
        r"train/bee/\\udce9\\n.png: not a readable image",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_refused_in_one_line(folder: Path, tmp_path: Path, name: str) -> None:
    change, expected = BAD[name]
    change(folder)
    told = CliRunner().invoke(app, ["images", f"folder:{folder}"])
    with pytest.raises(PrunabilityError, match=rf"data folder:{folder}: .*{expected}") as refused:
        load_images(f"folder:{folder}", tmp_path / "cache")
    assert told.exit_code == 2
    assert str(refused.value) in told.output.replace("\\\\", "\\")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value).encode()) < 500
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("mnist", r"unknown data 'mnist'.*digits, cifar10.* or folder:PATH"),
        ("folder:", "unknown data 'folder:'"),
        ("folder:/nowhere/at all", "there is no such folder or archive: name one of train/<class>/"),
        ("folder:/dev/null", "neither a folder nor an archive"),
        ("folder:~nouser/images", "data: '~nouser/images' can be no path .*name another place"),
        (f"folder:/{'x' * 300}", "data: /.*: File name too long; name another place"),
        (f"folder:/tmp/{'/x' * 3000}", "data: /.*: File name too long; name another place"),
        ("folder:/nowhere\0", r"data: '/nowhere\\x00' can be no path"),
        ("folder:/nowhere\udce9", r"data: '/nowhere\\udce9' can be no path .it is not UTF-8"),
        ("folder:/nowhere\ud800", r"data: '/nowhere\\ud800' can be no path .it is not UTF-8"),
    ],
)
def test_a_place_that_is_none(tmp_path: Path, source: str, expected: str) -> None:
    with pytest.raises(PrunabilityError, match=expected) as refused:
        load_images(source, tmp_path)
    str(refused.value).encode()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("v1.0", "v1.0"),
        (".hidden", ".hidden"),
        ("café", "café"),
        ("v1.5.tar.gz", "v1.5"),
        ("v1.5.tgz", "v1.5"),
        (".tar", "images"),
    ],
)
def test_titles_are_names(folder: Path, load: Callable[[Path], ImageSet], name: str, title: str) -> None:
    place = folder.with_name(name)
    if ".t" in name:
        pack(folder, place, mode="w:gz" if "gz" in name else "w")
    else:
        folder.rename(place)
    for _ in range(2):
        found = load(place)
        assert found.title == title
        found.title.encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    names=st.sets(
        st.sampled_from([*"ab-~é.", "A", "b-2", "b ", "\n", "train", "x.png", "日本"]), min_size=2, max_size=4
    )
)
def test_any_names_give_one_identity_in_a_folder_and_in_a_tar(tmp_path: Path, names: set[str]) -> None:
    names -= {"."}
    root = tmp_path / "set"
    shutil.rmtree(root, ignore_errors=True)
    for split in ("train", "test"):
        for number, name in enumerate(sorted(names)):
            for file in sorted(names):
                (root / split / name).mkdir(parents=True, exist_ok=True)
                pixels = np.full((2, 2), number + 16 * len(file), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{file}0.png")
    if len(names) < 2:
        return
    found = load_images(f"folder:{root}", tmp_path / "cache")
    for mode in ("w", "w:gz"):
        packed = pack(root, tmp_path / "set.tar", "deep/", mode)
        again = load_images(f"folder:{packed}", tmp_path / "cache")
        assert again.checksum == found.checksum
    assert found.classes == len(names)


def test_classes_are_those_of_the_fixture(folder: Path) -> None:
    assert sorted(place.name for place in (folder / "train").iterdir()) == sorted(CLASSES)
